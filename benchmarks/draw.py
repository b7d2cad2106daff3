"""Draws cost beside plain generate (results.json) and memory against prompts (memory.json).

python benchmarks/draw.py
"""

from __future__ import annotations

import json

import matplotlib
import memory
from attribution import HERE, KEY, RESULTS, WORKLOAD, median

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402

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
    cells: dict[tuple, list[dict]] = {}
    for run in json.loads(RESULTS.read_text())["runs"]:
        cells.setdefault(tuple(run[key] for key in KEY), []).append(run)
    draw_time(cells)
    draw_memory(json.loads(memory.RESULTS.read_text())["runs"])


def draw_time(cells: dict[tuple, list[dict]]) -> None:
    """CPU time of every method as a multiple of plain generate's; a panel a processor."""
    workloads: dict[str, list[tuple]] = {}
    for workload in dict.fromkeys(cell[: len(WORKLOAD)] for cell in cells):
        if (*workload, "ours") in cells:
            workloads.setdefault(workload[0], []).append(workload)
    heights = [len(found) for found in workloads.values()]
    figure, axes = plt.subplots(
        len(heights),
        figsize=(7, 1.4 + 0.7 * sum(heights)),
        height_ratios=heights,
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    for axis, (processor, found) in zip(axes[:, 0], workloads.items(), strict=True):
        for place, workload in enumerate(found):
            reference = median(cells[(*workload, "generate")], "cpu")
            shown = [method for method in LABELS if (*workload, method) in cells]
            height = 0.8 / len(shown)
            for row, method in enumerate(shown):
                y = place - 0.4 + (row + 0.5) * height
                ratios = [run["cpu"] / reference for run in cells[(*workload, method)]]
                middle = median(cells[(*workload, method)], "cpu") / reference
                axis.barh(y, middle, height * 0.9, color=COLOURS[method])
                axis.plot(ratios, [y] * len(ratios), "|", color="black", markersize=4)
                axis.text(max(ratios) + 0.03, y, f"{middle:.2f}", va="center", fontsize=6)
        axis.axvline(1, color="#555555", linewidth=0.8)
        axis.set_yticks(
            range(len(found)),
            ["{1}, {2}\n{3} prompts, batches of {4}".format(*workload) for workload in found],
        )
        axis.invert_yaxis()
        axis.margins(x=0.12)  # room for the numbers
        axis.set_title(processor, fontsize=9, loc="left")
    axes[-1, 0].set_xlabel("CPU time, as a multiple of plain generate (ticks: single runs)")
    handles = [Patch(color=COLOURS[method], label=label) for method, label in LABELS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    save(figure, "time")


def draw_memory(runs: list[dict]) -> None:
    """Peak memory beyond the model against the number of prompts."""
    figure, axis = plt.subplots(figsize=(5, 3.5), layout="constrained")
    lines: dict[tuple[str, str], dict[int, list[dict]]] = {}
    for run in runs:
        line = lines.setdefault((run["variant"], run["method"]), {})
        line.setdefault(run["prompts"], []).append(run)
    for (variant, method), line in lines.items():
        axis.plot(
            sorted(line),
            [median(line[prompts], "memory") for prompts in sorted(line)],
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
