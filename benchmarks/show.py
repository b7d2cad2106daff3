"""Shows what was measured: the figures and tables of README.md, from results.json and memory.json.

python benchmarks/show.py
"""

from __future__ import annotations

import json
import statistics

import attribution
import matplotlib
import memory

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from processes import HERE  # noqa: E402

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


def main() -> None:
    plt.rcParams.update({"svg.hashsalt": "lengthlens", "font.size": 9, "axes.axisbelow": True})
    times, peaks = (
        json.loads(path.read_text())["runs"] for path in (attribution.RESULTS, memory.RESULTS)
    )
    cells = attribution.cells_of(times)
    draw_time(cells)
    draw_memory(peaks)
    text = PAGE.read_text(encoding="utf-8")
    tables = {
        "workload": attribution.workload_table(cells),
        "cells": attribution.cell_table(cells),
        "memory": memory.table(peaks),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    PAGE.write_text(text, encoding="utf-8")


def draw_time(cells: dict[tuple, list[dict]]) -> None:
    """CPU time of every method as a multiple of plain generate's; a panel a processor."""
    panels: dict[str, dict[tuple, list[str]]] = {}
    for *workload, method in cells:
        panels.setdefault(workload[0], {}).setdefault(tuple(workload), []).append(method)
    heights = [sum(1 + len(methods) for methods in panel.values()) for panel in panels.values()]
    figure, axes = plt.subplots(
        len(heights),
        figsize=(7, 1.4 + 0.16 * sum(heights)),
        height_ratios=heights,
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    for axis, (processor, panel) in zip(axes[:, 0], panels.items(), strict=True):
        y, ticks = 0, []
        for workload, methods in panel.items():
            ticks.append((y + (len(methods) - 1) / 2, "{1}, {2}\n{3} prompts".format(*workload)))
            for method in methods:
                found = attribution.ratios(cells[(*workload, method)])
                middle = statistics.median(found)
                axis.barh(y, middle, 0.9, color=COLOURS[method])
                axis.plot(found, [y] * len(found), "|", color="black", markersize=4)
                axis.text(max(1, *found) + 0.03, y, f"{middle:.2f}", va="center", fontsize=6)
                y += 1
            y += 1
        axis.axvline(1, color="#555555", linewidth=0.8)
        axis.set_yticks(*zip(*ticks, strict=True))
        axis.invert_yaxis()
        axis.margins(x=0.12)  # room for the numbers
        axis.set_title(processor, fontsize=9, loc="left")
    axes[-1, 0].set_xlabel("CPU time, as a multiple of plain generate (ticks: single runs)")
    shown = {method for *_, method in cells}
    handles = [
        Patch(color=COLOURS[method], label=label)
        for method, label in LABELS.items()
        if method in shown
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    save(figure, "time")


def draw_memory(runs: list[dict]) -> None:
    """Peak memory beyond the model against the number of prompts."""
    figure, axis = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for (variant, method), peaks in memory.peaks_of(runs).items():
        if len(peaks) > 1:
            axis.plot(
                list(peaks),
                list(peaks.values()),
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
