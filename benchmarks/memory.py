"""Whether memory grows with the number of prompts, and what other tools take.

    PYTHONPATH=scripts python benchmarks/memory.py [--prompts 128 512 1024] [--runs 2]

Peak memory beyond the model, on the workload of `attribution`, in batches of 16, which 128 prompts
fill for every N. Each method runs in a process of its own, other tools for the fewest prompts only.
The C library keeps freed memory for later, the more of it the longer a process runs, be it ours or
plain generate. Here it is told to give it back at once (`RETURN`), so that a peak is what is in use
at one time. That costs time, of which this benchmark says nothing. Results are printed, and kept in
benchmarks/memory.json, which `show.py` shows.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
from pathlib import Path

from processes import HERE, VARIANTS, installed, machine, measured

RESULTS = HERE / "memory.json"
RETURN = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "131072"}  # glibc; bytes
SIZE, ROWS, CAP = "30M", 16, 24


def measure(cell: dict) -> dict:
    """Peak memory [MB] of one method on one workload, beyond what this process held before it."""
    import torch
    from methods import METHODS
    from workload import in_place_of, pocket, random_llama, saved, study

    torch.set_num_threads(1)
    loaded = pocket(cell["variant"])
    work = study(loaded, cell["prompts"], ROWS, CAP)
    loaded = in_place_of(loaded, random_llama(SIZE, loaded.anatomy.vocabulary_size))
    with saved(loaded) as folder:
        method = METHODS[cell["method"]][0](loaded, folder)
        before = start_peak()
        for batch, lengths in zip(work.batches, work.lengths, strict=True):
            method.run(batch, lengths)
        method.close()
    return {"memory": (peak_memory() - before) / 1024}


def start_peak() -> int:
    """Forget earlier peaks, where the system can; what is held now [kB]."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """The largest resident set so far [kB]."""
    # NOTE on Linux a new process inherits its parent's peak in getrusage, but not in this file.
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peaks_of(runs: list[dict]) -> dict[tuple[str, str], dict[int, float]]:
    """Median peak [MB] of every (answers, method), by number of prompts."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for run in runs:
        line = found.setdefault((run["variant"], run["method"]), {})
        line.setdefault(run["prompts"], []).append(run["memory"])
    return {
        key: {prompts: statistics.median(peaks) for prompts, peaks in sorted(line.items())}
        for key, line in found.items()
    }


def table(runs: list[dict]) -> str:
    """Medians [MB] of every kind of answers and method, a column a number of prompts."""
    prompts = sorted({run["prompts"] for run in runs})
    lines = [
        f"| answers | method | {' | '.join(f'{n:,}' for n in prompts)} | last ÷ first |",
        "|---" * (len(prompts) + 3) + "|",
    ]
    for (variant, method), peaks in peaks_of(runs).items():
        cells = " | ".join(f"{peaks[n]:.1f}" if n in peaks else "–" for n in prompts)
        grown = f"{peaks[prompts[-1]] / peaks[prompts[0]]:.2f}" if prompts[-1] in peaks else "–"
        lines.append(f"| {variant} | {method} | {cells} | {grown} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prompts", nargs="+", type=int, default=[128, 512, 1024])
    parser.add_argument("--methods", nargs="+", help="some of the methods (all)")
    parser.add_argument("--runs", type=int, default=2, help="of ours and of generate")
    parser.add_argument("--keep", action="store_true", help="add to the results that there are")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    from methods import METHODS

    methods = installed(given.methods or list(METHODS))
    runs = json.loads(RESULTS.read_text())["runs"] if given.keep and RESULTS.exists() else []
    for repeat in range(given.runs):
        for variant in VARIANTS:
            for prompts in given.prompts:
                for method in methods:
                    if METHODS[method][2] and (repeat or prompts > min(given.prompts)):
                        continue
                    cell = {"variant": variant, "prompts": prompts, "method": method}
                    runs.append(cell | measured(Path(__file__), cell, RETURN))
                    print(*cell.values(), f"{runs[-1]['memory']:.1f} MB", flush=True)
                    saved = {"machine": machine(), "runs": runs}
                    RESULTS.write_text(json.dumps(saved, indent=1) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
