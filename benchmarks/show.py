"""Shows what was measured: the figures and tables of README.md, from results.json and memory.json.

PYTHONPATH=scripts python benchmarks/show.py
"""

from __future__ import annotations

import json

import attribution
import matplotlib
import memory
import pandas as pd

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from processes import HERE, VARIANTS  # noqa: E402

from lengthlens.files.marks import markdown_table, put_between  # noqa: E402

WORKLOAD = ["processor", "size", "variant", "prompts", "rows", "cap"]
NAMES = {"size": "model", "variant": "answers", "rows": "batch"}  # of columns in tables
TIMES = ["× generate", "× our loop"]
PAGE = HERE / "README.md"
LABELS = {
    "generate": "generate alone",
    "ours": "lengthlens",
    "dump": "lengthlens, with dump",
    "nnsight": "nnsight, by hand",
    "lens-batched": "TransformerLens, batched",
    "lens": "TransformerLens, by prompt",
}
COLOURS = {
    "generate": "#555555",
    "ours": "#0072b2",
    "dump": "#56b4e9",
    "nnsight": "#009e73",
    "lens-batched": "#e69f00",
    "lens": "#d55e00",
}


def ratios(runs: pd.DataFrame, clock: str = "cpu", reference: str = "generate") -> pd.Series:
    """Seconds of a method as multiples of a reference's in the same run, where it was measured."""
    return (runs[clock] / runs[f"{reference}_{clock}"]).dropna()


def beside(runs: pd.DataFrame, reference: str) -> str:
    """The median of CPU ratios to a reference, with the smallest and largest of several."""
    found = ratios(runs, reference=reference)
    if found.empty:
        return "–"
    text = f"{found.median():.2f}"
    return text if len(found) == 1 else f"{text} ({found.min():.2f}–{found.max():.2f})"


def cell_table(runs: pd.DataFrame) -> str:
    """Medians of every method on every workload beside both references."""
    rows = []
    for cell, found in runs.groupby([*WORKLOAD, "method"], sort=False):
        seconds = [f"{found[name].median():.1f}" for name in ("cpu", "generate_cpu")]
        times = [beside(found, name) for name in attribution.REFERENCES]
        wall = f"{ratios(found, 'wall').median():.2f}"
        rows.append((*cell, len(found), *seconds, *times, wall, f"{found['error'].max():.0e}"))
    head = [NAMES.get(name, name) for name in (*WORKLOAD, "method", "runs")]
    head += ["CPU s", "generate, CPU s", *TIMES, "wall × generate", "error"]
    return markdown_table(head, rows)


def workload_table(runs: pd.DataFrame) -> str:
    """CPU seconds of both kinds of answers together beside the references'."""
    seconds = ["cpu", *(f"{name}_cpu" for name in attribution.REFERENCES)]
    medians = runs.groupby([*WORKLOAD, "method"], sort=False)[seconds].median()
    both = [name for name in medians.index.names if name != "variant"]
    rows = []
    for workload, kinds in medians.groupby(both, sort=False):
        if len(kinds) == len(VARIANTS):
            cpu, *references = kinds.sum(skipna=False)
            told = ["–" if pd.isna(one) else f"{one:.1f}" for one in references]
            told += ["–" if pd.isna(one) else f"{cpu / one:.2f}" for one in references]
            rows.append((*workload, f"{cpu:.1f}", *told))
    head = [NAMES.get(name, name) for name in both]
    head += ["CPU s", "generate, CPU s", "our loop, CPU s", *TIMES]
    return markdown_table(head, rows)


def peaks_of(runs: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """Median peak [MB] of every (answers, method), by number of prompts."""
    lines = runs.groupby(["variant", "method"], sort=False)
    return {line: found.groupby("prompts")["memory"].median() for line, found in lines}


def memory_table(runs: pd.DataFrame) -> str:
    """Medians [MB] of every kind of answers and method, a column a number of prompts."""
    prompts = sorted(set(runs["prompts"]))
    rows = []
    for line, peaks in peaks_of(runs).items():
        cells = [f"{peaks[n]:.1f}" if n in peaks else "–" for n in prompts]
        grown = peaks[prompts[-1]] / peaks[prompts[0]] if prompts[-1] in peaks else None
        rows.append((*line, *cells, "–" if grown is None else f"{grown:.2f}"))
    named = [f"{n:,}" for n in prompts]
    return markdown_table(["answers", "method", *named, "last ÷ first"], rows)


def main() -> None:
    plt.rcParams.update({"svg.hashsalt": "lengthlens", "font.size": 9, "axes.axisbelow": True})
    times, peaks = (
        pd.DataFrame(json.loads(path.read_text())["runs"])
        for path in (attribution.RESULTS, memory.RESULTS)
    )
    draw_time(times)
    draw_memory(peaks)
    text = PAGE.read_text(encoding="utf-8")
    tables = {
        "workload": workload_table(times),
        "cells": cell_table(times),
        "memory": memory_table(peaks),
    }
    for name, table in tables.items():
        text = put_between(text, name, table)
    PAGE.write_text(text, encoding="utf-8")


def draw_time(runs: pd.DataFrame) -> None:
    """CPU time of every method as a multiple of plain generate's; a panel a processor."""
    panels = []
    for _, panel in runs.groupby("processor", sort=False):
        workloads = panel.groupby(WORKLOAD, sort=False)
        panels.append(
            {key: dict(list(one.groupby("method", sort=False))) for key, one in workloads}
        )
    heights = [sum(1 + len(methods) for methods in panel.values()) for panel in panels]
    figure, axes = plt.subplots(
        len(heights),
        figsize=(7, 1.4 + 0.16 * sum(heights)),
        height_ratios=heights,
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        y, ticks = 0, []
        for workload, methods in panel.items():
            ticks.append((y + (len(methods) - 1) / 2, "{1}, {2}\n{3} prompts".format(*workload)))
            for method, measured in methods.items():
                found = ratios(measured)
                axis.barh(y, found.median(), 0.9, color=COLOURS[method])
                axis.plot(found, [y] * len(found), "|", color="black", markersize=4)
                end = max(1, found.max()) + 0.03
                axis.text(end, y, f"{found.median():.2f}", va="center", fontsize=6)
                y += 1
            y += 1
        axis.axvline(1, color="#555555", linewidth=0.8)
        axis.set_yticks(*zip(*ticks, strict=True))
        axis.invert_yaxis()
        axis.margins(x=0.12)  # room for the numbers
        axis.set_title(next(iter(panel))[0], fontsize=9, loc="left")
    axes[-1, 0].set_xlabel("CPU time, as a multiple of plain generate (ticks: single runs)")
    shown = set(runs["method"])
    handles = [Patch(color=COLOURS[m], label=label) for m, label in LABELS.items() if m in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    save(figure, "time")


def draw_memory(runs: pd.DataFrame) -> None:
    """Peak memory beyond the model against the number of prompts."""
    figure, axis = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for (variant, method), peaks in peaks_of(runs).items():
        if len(peaks) > 1:
            axis.plot(
                peaks.index,
                peaks,
                "-o" if variant == "instruct" else "--s",
                color=COLOURS[method],
                label=f"{LABELS[method]} ({variant})",
                markersize=4,
            )
    axis.set(xlabel="prompts", ylabel="peak memory beyond the model [MB]", ylim=(0, None))
    axis.legend(fontsize=7, frameon=False)
    save(figure, "memory")


def save(figure, name: str) -> None:
    for ending in ("svg", "png"):
        metadata = {"Date": None} if ending == "svg" else None
        figure.savefig(HERE / f"{name}.{ending}", dpi=160, metadata=metadata)
    plt.close(figure)


if __name__ == "__main__":
    main()
