"""What attribution costs beside plain generation, and beside other tools.

    PYTHONPATH=scripts python benchmarks/attribution.py [--sizes 30M 200M] [--prompts 128 512]

On random Llama models and the study's own prompts (see `workload`). Each method of `methods` runs
in a process of its own, and in turn with two references, batch by batch: transformers' plain
`generate`, and our own decode loop without capture. All meet the same machine, so that their ratios
say more than seconds do: the first is what a user saves or pays, the second is what attribution
costs. Seconds cover the whole workload, not loading. Methods whose package is not installed are
left out, with a word. Results are printed, and kept in benchmarks/results.json, which `show.py`
shows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from processes import HERE, VARIANTS, installed, machine, measured

RESULTS = HERE / "results.json"
REFERENCES = ("generate", "loop")
WORKLOAD = ("processor", "size", "variant", "prompts", "rows", "cap")
KEY = (*WORKLOAD, "method")


def measure(cell: dict) -> dict:
    """Run one method beside both references in this process."""
    import torch
    from methods import METHODS
    from workload import in_place_of, pocket, random_llama, saved, study

    torch.set_num_threads(1)
    loaded = pocket(cell["variant"])
    work = study(loaded, cell["prompts"], cell["rows"], cell["cap"])
    # NOTE a model each: some tools change the one that they are given.
    reference, own = (
        in_place_of(loaded, random_llama(cell["size"], loaded.anatomy.vocabulary_size))
        for _ in range(2)
    )
    spent = {name: [0.0, 0.0] for name in (*REFERENCES, "method")}
    errors: list[float] = []
    with saved(own) as folder:
        runners = {name: METHODS[name][0](reference, folder) for name in REFERENCES}
        runners["method"] = METHODS[cell["method"]][0](own, folder)

        def timed(name: str, action, *given) -> float | None:
            wall, cpu = time.perf_counter(), time.process_time()
            result = action(*given)
            spent[name][0] += time.perf_counter() - wall
            spent[name][1] += time.process_time() - cpu
            return result

        for place, (batch, lengths) in enumerate(zip(work.batches, work.lengths, strict=True)):
            first = place % len(runners)
            for name in [*runners][first:] + [*runners][:first]:
                error = timed(name, runners[name].run, batch, lengths)
                errors += [] if error is None else [error]
        timed("method", runners["method"].close)
    wall, cpu = spent["method"]
    found = {"wall": wall, "cpu": cpu, "tokens": work.tokens}
    for name in REFERENCES:
        found |= {f"{name}_wall": spent[name][0], f"{name}_cpu": spent[name][1]}
    found["processor"] = machine()["processor"]
    return found | ({"error": max(errors)} if errors else {})


def cells_of(runs: list[dict]) -> dict[tuple, list[dict]]:
    """Runs of the same method on the same workload, in the order of their first."""
    cells: dict[tuple, list[dict]] = {}
    for run in runs:
        cells.setdefault(tuple(run[key] for key in KEY), []).append(run)
    return cells


def ratios(runs: list[dict], clock: str = "cpu", reference: str = "generate") -> list[float]:
    """Seconds of a method as multiples of a reference's in the same run, where it was measured."""
    measured = [run for run in runs if f"{reference}_{clock}" in run]
    return [run[clock] / run[f"{reference}_{clock}"] for run in measured]


def beside(runs: list[dict], reference: str) -> str:
    """The median of CPU ratios to a reference, with the smallest and largest of several."""
    found = ratios(runs, reference=reference)
    if not found:
        return "–"
    text = f"{statistics.median(found):.2f}"
    return text if len(found) == 1 else f"{text} ({min(found):.2f}–{max(found):.2f})"


def cell_table(cells: dict[tuple, list[dict]]) -> str:
    """Medians of every cell beside both references, as Markdown."""
    lines = [
        "| processor | model | answers | prompts | batch | cap | method | runs | CPU s | generate, "
        "CPU s | × generate | × our loop | wall × generate | error |",
        "|---" * 14 + "|",
    ]
    for cell, found in cells.items():
        cpu, generate = (median(found, key) for key in ("cpu", "generate_cpu"))
        row = (*cell, len(found), f"{cpu:.1f}", f"{generate:.1f}")
        row += tuple(beside(found, reference) for reference in REFERENCES)
        row += (f"{statistics.median(ratios(found, 'wall')):.2f}",)
        row += (f"{max(run['error'] for run in found):.0e}",)
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def workload_table(cells: dict[tuple, list[dict]]) -> str:
    """CPU seconds of both kinds of answers together beside the references', as Markdown."""
    both: dict[tuple, dict[str, list[dict]]] = {}
    for (processor, size, variant, prompts, rows, cap, method), found in cells.items():
        workload = (processor, size, prompts, rows, cap, method)
        both.setdefault(workload, {})[variant] = found
    lines = [
        "| processor | model | prompts | batch | cap | method | CPU s | generate, CPU s | "
        "our loop, CPU s | × generate | × our loop |",
        "|---" * 11 + "|",
    ]
    for workload, kinds in both.items():
        if len(kinds) == len(VARIANTS):
            cpu, *references = (
                _summed(kinds, key) for key in ("cpu", *(f"{name}_cpu" for name in REFERENCES))
            )
            row = (*workload, f"{cpu:.1f}")
            row += tuple("–" if seconds is None else f"{seconds:.1f}" for seconds in references)
            row += tuple(
                "–" if seconds is None else f"{cpu / seconds:.2f}" for seconds in references
            )
            lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join(lines)


def _summed(kinds: dict[str, list[dict]], key: str) -> float | None:
    """Median seconds of each kind of answers, summed; None where some were not measured."""
    if not all(key in run for found in kinds.values() for run in found):
        return None
    return sum(median(found, key) for found in kinds.values())


def median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["30M", "200M"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--prompts", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--methods", nargs="+", help="some of the methods (all)")
    parser.add_argument("--rows", type=int, default=32, help="prompts in a batch, at most")
    parser.add_argument("--cap", type=int, default=64, help="tokens of an answer, at most")
    parser.add_argument("--runs", type=int, default=3, help="of ours")
    parser.add_argument("--peer-runs", type=int, default=1, help="of the other tools")
    parser.add_argument("--keep", action="store_true", help="add to the results that there are")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    from methods import METHODS

    methods = installed(given.methods or [name for name in METHODS if name not in REFERENCES])
    kept = json.loads(RESULTS.read_text()) if given.keep and RESULTS.exists() else {}
    machines, runs = kept.get("machines", []), kept.get("runs", [])
    if machine() not in machines:
        machines.append(machine())
    for size in given.sizes:
        for prompts in given.prompts:
            for repeat in range(given.runs):
                for variant in given.variants:
                    for method in methods:
                        if METHODS[method][2] and repeat >= given.peer_runs:
                            continue
                        cell = {"size": size, "variant": variant, "prompts": prompts}
                        cell |= {"rows": given.rows, "cap": given.cap, "method": method}
                        found = cell | measured(Path(__file__), cell)
                        print(
                            *cell.values(),
                            *(beside([found], name) for name in REFERENCES),
                            flush=True,
                        )
                        runs.append(found)
                        saved = {"machines": machines, "runs": runs}
                        RESULTS.write_text(json.dumps(saved, indent=1) + "\n")
    cells = cells_of(runs)
    print(cell_table(cells), workload_table(cells), sep="\n\n")


if __name__ == "__main__":
    main()
