"""What attribution costs beside plain generation, and beside other tools.

    PYTHONPATH=scripts python benchmarks/attribution.py [--sizes 30M 200M] [--prompts 128 512]

On random Llama models and the study's own prompts (see `workload`). Each method of `methods` runs
in a process of its own, and in turn with two references, batch by batch: transformers' plain
`generate`, and our own decode loop without capture. All meet the same machine, so that their ratios
say more than seconds do: the first is what a user saves or pays, the second is what attribution
costs. Seconds cover the whole workload, not loading. Methods whose package is not installed are
left out, with a word. Results are kept in benchmarks/results.json, which `show.py` shows.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json

from processes import HERE, METHODS, TOOLS, VARIANTS, installed, machine, measured

RESULTS = HERE / "results.json"
REFERENCES = ("generate", "loop")


def measure(cell: dict) -> dict:
    """Run one method beside both references in this process."""
    import torch
    from methods import runner
    from workload import in_place_of, pocket, random_llama, saved, study, timed

    torch.set_num_threads(1)
    loaded = pocket(cell["variant"])
    work = study(loaded, cell["prompts"], cell["rows"], cell["cap"])
    # NOTE a model each: some tools change the one that they are given.
    reference, own = (
        in_place_of(loaded, random_llama(cell["size"], loaded.anatomy.vocabulary_size))
        for _ in range(2)
    )
    names = [*REFERENCES, "method"]
    cpu, wall = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    errors = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(saved(own))
        runs = {n: stack.enter_context(runner(n, reference, folder)) for n in REFERENCES}
        method = contextlib.ExitStack()
        runs["method"] = method.enter_context(runner(cell["method"], own, folder))

        def spend(name: str, action, *given) -> None:
            of_cpu, of_wall, result = timed(action, *given)
            cpu[name] += of_cpu
            wall[name] += of_wall
            if isinstance(result, float):
                errors.append(result)

        for place, (batch, lengths) in enumerate(zip(work.batches, work.lengths, strict=True)):
            first = place % len(names)
            for name in names[first:] + names[:first]:
                spend(name, runs[name], batch, lengths)
        spend("method", method.close)  # finishes what it writes
    found = {"wall": wall["method"], "cpu": cpu["method"], "tokens": work.tokens}
    for name in REFERENCES:
        found |= {f"{name}_wall": wall[name], f"{name}_cpu": cpu[name]}
    found["processor"] = machine()["processor"]
    return found | ({"error": max(errors)} if errors else {})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["30M", "200M"])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--prompts", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="some of the methods (all)")
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
    methods = installed(given.methods or [name for name in METHODS if name not in REFERENCES])
    kept = json.loads(RESULTS.read_text()) if given.keep and RESULTS.exists() else {}
    machines, runs = kept.get("machines", []), kept.get("runs", [])
    if machine() not in machines:
        machines.append(machine())
    for size, prompts, repeat, variant, method in itertools.product(
        given.sizes, given.prompts, range(given.runs), given.variants, methods
    ):
        if method in TOOLS and repeat >= given.peer_runs:
            continue
        cell = {"size": size, "variant": variant, "prompts": prompts}
        cell |= {"rows": given.rows, "cap": given.cap, "method": method}
        found = cell | measured(__file__, cell)
        ratios = (found["cpu"] / found[f"{name}_cpu"] for name in REFERENCES)
        print(*cell.values(), *(f"{ratio:.2f}" for ratio in ratios), flush=True)
        runs.append(found)
        RESULTS.write_text(json.dumps({"machines": machines, "runs": runs}, indent=1) + "\n")
    print("python benchmarks/show.py writes them into README.md")


if __name__ == "__main__":
    main()
