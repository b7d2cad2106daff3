"""What attribution costs beside plain generation, and beside other tools.

    PYTHONPATH=scripts python benchmarks/attribution.py [--sizes 30M 200M] [--prompts 128 512]

On random Llama models and the study's own prompts (see `workload`) it runs, interleaved, every
method of `methods`, each in a process of its own, so that peak memory is its own. Wall and CPU
seconds cover the whole workload, not loading; memory is the peak resident set beyond what the
process held before it (model, tokenizer, prompts). Methods whose package is not installed are left
out, with a word. Results are printed, and kept in benchmarks/results.json, from which `draw.py`
draws.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
VARIANTS = {"instruct": "answers that stop early", "base": "answers at the cap"}
WORKLOAD = ("processor", "size", "variant", "prompts", "rows")
KEY = (*WORKLOAD, "method")
PACKAGES = ("torch", "transformers", "transformer-lens", "nnsight", "h5py")


def measure(cell: dict) -> dict:
    """Run one method on one workload in this process."""
    import torch
    from methods import METHODS
    from workload import in_place_of, pocket, random_llama, study

    torch.set_num_threads(1)
    loaded = pocket(cell["variant"])
    work = study(loaded, cell["prompts"], cell["rows"], cell["cap"])
    loaded = in_place_of(loaded, random_llama(cell["size"], loaded.anatomy.vocabulary_size))
    with tempfile.TemporaryDirectory() as folder:
        loaded.model.save_pretrained(folder)  # some tools want a folder
        loaded.tokenizer.save_pretrained(folder)
        method = METHODS[cell["method"]][0](loaded, Path(folder))
        before = start_peak()
        wall, cpu = time.perf_counter(), time.process_time()
        errors = [
            method.run(batch, lengths)
            for batch, lengths in zip(work.batches, work.lengths, strict=True)
        ]
        method.close()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_memory() - before
    found = {"wall": wall, "cpu": cpu, "memory": peak / 1024, "tokens": work.tokens}
    found["processor"] = machine()["processor"]
    return found | ({} if errors[0] is None else {"error": max(errors)})


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


def run(cell: dict, environment: Mapping[str, str] | None = None) -> dict:
    """One measurement in a process of its own, with further environment variables."""
    command = [sys.executable, __file__, "--measure", json.dumps(cell)]
    variables = os.environ | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode:
        raise SystemExit(f"{cell['method']} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def installed(names: list[str]) -> list[str]:
    """Those of the methods whose packages are there."""
    from methods import METHODS

    kept = []
    for name in names:
        absent = [p for p in METHODS[name][2] if importlib.util.find_spec(p) is None]
        if absent:
            print(f"{name}: left out, {absent[0]} is not installed here")
        else:
            kept.append(name)
    return kept


def machine() -> dict:
    """What the numbers hold for."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for package in PACKAGES:
        if importlib.util.find_spec(package.replace("-", "_")) is not None:
            versions[package] = importlib.metadata.version(package)
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def table(runs: list[dict]) -> str:
    """Medians of every cell beside plain generate, as Markdown."""
    cells: dict[tuple, list[dict]] = {}
    for entry in runs:
        cells.setdefault(tuple(entry[key] for key in KEY), []).append(entry)
    lines = [
        "| processor | model | answers | prompts | batch | method | runs | wall s | CPU s | wall × "
        "| CPU × | memory MB | error |",
        "|---" * 13 + "|",
    ]
    for cell, found in cells.items():
        reference = cells.get((*cell[: len(WORKLOAD)], "generate"))
        wall, cpu, memory = (median(found, key) for key in ("wall", "cpu", "memory"))
        ratios = [
            f"{value / median(reference, key):.2f}" if reference else "–"
            for key, value in (("wall", wall), ("cpu", cpu))
        ]
        error = f"{max(e['error'] for e in found):.0e}" if "error" in found[0] else "–"
        row = (*cell, len(found), f"{wall:.1f}", f"{cpu:.1f}", *ratios, f"{memory:.0f}", error)
        lines.append("| " + " | ".join(map(str, row)) + " |")
    return "\n".join([*lines, "", *whole_workload(cells)])


def whole_workload(cells: dict[tuple, list[dict]]) -> list[str]:
    """CPU seconds of both kinds of answers together beside plain generate's, as Markdown."""
    both: dict[tuple, dict[str, dict[str, float]]] = {}
    for (processor, size, variant, prompts, rows, method), found in cells.items():
        times = both.setdefault((processor, size, prompts, rows), {}).setdefault(method, {})
        times[variant] = median(found, "cpu")
    lines = [
        "| processor | model | prompts | batch | method | CPU s, both answers | CPU × |",
        "|---" * 7 + "|",
    ]
    for workload, methods in both.items():
        whole = {m: sum(t.values()) for m, t in methods.items() if len(t) == len(VARIANTS)}
        if "generate" not in whole:
            continue
        for method, seconds in whole.items():
            row = (*workload, method, f"{seconds:.1f}", f"{seconds / whole['generate']:.2f}")
            lines.append("| " + " | ".join(map(str, row)) + " |")
    return lines


def median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["30M", "200M"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--prompts", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--methods", nargs="+", help="some of the methods (all)")
    parser.add_argument("--rows", type=int, default=32, help="prompts in a batch, at most")
    parser.add_argument("--cap", type=int, default=24, help="tokens of an answer, at most")
    parser.add_argument("--runs", type=int, default=3, help="of ours and of generate")
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

    methods = installed(given.methods or list(METHODS))
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
                        cell |= {"rows": given.rows, "method": method, "cap": given.cap}
                        found = cell | run(cell)
                        print(*(f"{value:.3g}" if isinstance(value, float) else value
                                for value in found.values()), flush=True)  # fmt: skip
                        runs.append(found)
                        saved = {"machines": machines, "runs": runs}
                        RESULTS.write_text(json.dumps(saved, indent=1) + "\n")
    print(table(runs))


if __name__ == "__main__":
    main()
