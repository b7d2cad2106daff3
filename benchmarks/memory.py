"""Whether memory grows with the number of prompts, and what other tools take.

    PYTHONPATH=scripts python benchmarks/memory.py [--prompts 128 512 1024] [--runs 2]

Peak memory beyond the model, on the workload of `attribution`, in batches of 16, which 128 prompts
fill for every N. Each method runs in a process of its own, other tools for the fewest prompts only.
The C library keeps freed memory for later, the more of it the longer a process runs, be it ours or
plain generate. Here it is told to give it back at once (`RETURN`), so that a peak is what is in use
at one time. That costs time, of which this benchmark says nothing. Results are kept in
benchmarks/memory.json, which `show.py` shows.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
from pathlib import Path

from processes import HERE, METHODS, TOOLS, VARIANTS, installed, machine, measured

RESULTS = HERE / "memory.json"
RETURN = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "131072"}  # glibc; bytes
SIZE, ROWS, CAP = "30M", 16, 24


def measure(cell: dict) -> dict:
    """Peak memory [MB] of one method on one workload, beyond what this process held before it."""
    import torch
    from methods import runner
    from workload import in_place_of, pocket, random_llama, saved, study

    torch.set_num_threads(1)
    loaded = pocket(cell["variant"])
    work = study(loaded, cell["prompts"], ROWS, CAP)
    loaded = in_place_of(loaded, random_llama(SIZE, loaded.anatomy.vocabulary_size))
    with saved(loaded) as folder, runner(cell["method"], loaded, folder) as run:
        before = start_peak()
        for batch, lengths in zip(work.batches, work.lengths, strict=True):
            run(batch, lengths)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prompts", nargs="+", type=int, default=[128, 512, 1024])
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="some of the methods (all)")
    parser.add_argument("--runs", type=int, default=2, help="of ours and of generate")
    parser.add_argument("--keep", action="store_true", help="add to the results that there are")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return
    methods = installed(given.methods or list(METHODS))
    runs = json.loads(RESULTS.read_text())["runs"] if given.keep and RESULTS.exists() else []
    for repeat, variant, prompts, method in itertools.product(
        range(given.runs), VARIANTS, given.prompts, methods
    ):
        if method in TOOLS and (repeat or prompts > min(given.prompts)):
            continue
        cell = {"variant": variant, "prompts": prompts, "method": method}
        runs.append(cell | measured(__file__, cell, RETURN))
        print(*cell.values(), f"{runs[-1]['memory']:.1f} MB", flush=True)
        RESULTS.write_text(json.dumps({"machine": machine(), "runs": runs}, indent=1) + "\n")
    print("python benchmarks/show.py writes them into README.md")


if __name__ == "__main__":
    main()
