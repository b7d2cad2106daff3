"""Did a change of the code make it slower? The same workload with the code of two commits, in turn.

    PYTHONPATH=scripts python benchmarks/two_commits.py BEFORE [AFTER] [--runs 5] [--size 30M]

Each commit gets a work tree of its own, and each run a process that measures `attribution.py`'s
method `ours` there, with that commit's benchmarks and package: first BEFORE, then AFTER, then
BEFORE again. Every run also measures transformers' plain `generate` and our own loop without
capture, batch by batch. As `generate` is no code of ours, its CPU time tells how fast the machine
was in that run: what is compared are CPU seconds in multiples of it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from pathlib import Path

from processes import HERE, VARIANTS, measured

from lengthlens.files.marks import markdown_table

QUANTITIES = {"our loop": "loop_cpu", "with attribution": "cpu"}


def measure(tree: Path, cell: dict) -> dict:
    """What one run with the code of a work tree finds."""
    script, package = tree / "benchmarks/attribution.py", tree / "scripts"
    return measured(str(script), cell, {"PYTHONPATH": str(package)})


def in_words(ratios: list[float]) -> str:
    """The median, with the smallest and largest."""
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f}–{max(ratios):.3f})"


def table(runs: dict[str, list[dict]]) -> str:
    """CPU seconds of both commits in multiples of `generate`'s, and of one another, as Markdown."""
    rows = []
    for name, key in QUANTITIES.items():
        before, after = (
            [run[key] / run["generate_cpu"] for run in runs[which]] for which in ("before", "after")
        )
        quotients = [b / a for a, b in zip(before, after, strict=True)]
        rows.append((name, *map(in_words, (before, after, quotients))))
    head = ["", "before, × generate", "after, × generate", "after ÷ before"]
    return markdown_table(head, rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", help="a commit")
    parser.add_argument("after", nargs="?", default="HEAD", help="another (HEAD)")
    parser.add_argument("--runs", type=int, default=5, help="of each commit")
    parser.add_argument("--size", default="30M")
    parser.add_argument("--variant", choices=VARIANTS, default="instruct")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--rows", type=int, default=32, help="prompts in a batch, at most")
    parser.add_argument("--cap", type=int, default=64, help="tokens of an answer, at most")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    cell = {name: getattr(given, name) for name in ("size", "variant", "prompts", "rows", "cap")}
    git = ["git", "-C", str(HERE.parent), "worktree"]
    runs: dict[str, list[dict]] = {"before": [], "after": []}
    with tempfile.TemporaryDirectory() as folder:
        trees = {name: Path(folder) / name for name in runs}
        try:
            for name, tree in trees.items():
                commit = getattr(given, name)
                subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
            for _ in range(given.runs):
                for name, tree in trees.items():
                    runs[name].append(found := measure(tree, cell | {"method": "ours"}))
                    plain = found["generate_cpu"]
                    ratios = (f"{found[key] / plain:.3f}" for key in QUANTITIES.values())
                    print(name, *ratios, f"{plain:.1f} s", flush=True)
        finally:
            for tree in trees.values():
                subprocess.run([*git, "remove", "--force", str(tree)], check=False)
    print(table(runs))


if __name__ == "__main__":
    main()
