"""Whether memory grows with the number of prompts.

    PYTHONPATH=scripts python benchmarks/memory.py [--prompts 128 512 1024] [--runs 2]

Peak memory beyond the model, on the workload of `attribution`, in batches of 16, which 128 prompts
fill for every N. The C library keeps freed memory for later, the more of it the longer a process
runs, be it ours or plain generate. Here it is told to give it back at once (`RETURN`), so that a
peak is what is in use at one time. That costs time, of which this benchmark says nothing. Results
are printed, and kept in benchmarks/memory.json, from which `draw.py` draws.
"""

from __future__ import annotations

import argparse
import json

from attribution import HERE, VARIANTS, machine, median, run

RESULTS = HERE / "memory.json"
RETURN = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "131072"}  # glibc; bytes
METHODS = ("generate", "ours", "dump")
SIZE, ROWS, CAP = "30M", 16, 24


def table(runs: list[dict]) -> str:
    """Medians [MB] of every kind of answers and method, a column a number of prompts."""
    prompts = sorted({entry["prompts"] for entry in runs})
    lines = [
        f"| answers | method | {' | '.join(f'{n:,}' for n in prompts)} | last ÷ first |",
        "|---" * (len(prompts) + 3) + "|",
    ]
    for variant, method in dict.fromkeys((entry["variant"], entry["method"]) for entry in runs):
        mine = [e for e in runs if (e["variant"], e["method"]) == (variant, method)]
        values = [median([e for e in mine if e["prompts"] == n], "memory") for n in prompts]
        cells = " | ".join(f"{value:.1f}" for value in values)
        lines.append(f"| {variant} | {method} | {cells} | {values[-1] / values[0]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--prompts", nargs="+", type=int, default=[128, 512, 1024])
    parser.add_argument("--runs", type=int, default=2)
    given = parser.parse_args()
    runs = []
    for _ in range(given.runs):
        for variant in VARIANTS:
            for prompts in given.prompts:
                for method in METHODS:
                    cell = {"size": SIZE, "variant": variant, "prompts": prompts, "rows": ROWS}
                    cell |= {"method": method, "cap": CAP}
                    runs.append(cell | run(cell, RETURN))
                    print(variant, prompts, method, f"{runs[-1]['memory']:.1f} MB", flush=True)
                    saved = {"machine": machine(), "runs": runs}
                    RESULTS.write_text(json.dumps(saved, indent=1) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
