"""Flipped bits in every kind of file: read back, and met by the workflow."""

from __future__ import annotations

import multiprocessing
import os
import random
from pathlib import Path

from cases import FAILED, HARMLESS, RECOVERED, REFUSED, Ledger
from runs import Project, differences


def torture_readers(ledger: Ledger, results: Path, cases: int, seed: int) -> None:
    """Flip one to three bits of a file, open it, and put it back; kinds in turn."""
    from readback import kind_of, kinds, read_back

    chance = random.Random(seed)
    by_kind = kinds(results)
    whole: dict[Path, str] = {}
    turn = list(by_kind)
    for case in range(cases):
        kind = turn[case % len(turn)]
        path = chance.choice(by_kind[kind])
        content = path.read_bytes()
        opened = _opener(path)
        if opened not in whole:
            whole[opened] = read_back(opened)
        places = [chance.randrange(len(content)) for _ in range(chance.randint(1, 3))]
        changed = bytearray(content)
        for place in places:
            changed[place] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        try:
            outcome, words = _outcome(opened, path, whole[opened])
        finally:
            path.write_bytes(content)
        ledger.add(f"flipped bits: {kind}", f"{path.name} at {places}", outcome, words)
        assert kind_of(path) == kind


def _opener(path: Path) -> Path:
    """The file that a reader is given: a provenance's text, else the file itself."""
    if not path.name.endswith(".provenance.json"):
        return path
    stem = path.name.removesuffix(".provenance.json")
    return next(
        path.with_name(stem + ending)
        for ending in (".jsonl", ".csv")
        if path.with_name(stem + ending).exists()
    )


def _outcome(opened: Path, path: Path, whole: str) -> tuple[str, str]:
    """What opening gives: in a process of its own, for HDF5 can crash."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(_read(opened, path, whole)))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
        return FAILED, "it did not end within a minute"
    if child.exitcode or not receiver.poll():
        return FAILED, f"the process ended with {child.exitcode}"
    return receiver.recv()


def _read(opened: Path, path: Path, whole: str) -> tuple[str, str]:
    from readback import read_back

    from lengthlens.errors import LengthlensError

    try:
        found = read_back(opened)
    except LengthlensError as error:
        return _named(str(error), path)
    except Exception as error:
        return FAILED, f"{type(error).__name__}: {error}"[:200]
    return (HARMLESS, "") if found == whole else (FAILED, "another content was read")


def _named(words: str, path: Path) -> tuple[str, str]:
    """Refused, if the words name the file and what to do."""
    stem = path.name.removesuffix(".provenance.json")
    named = stem in words and ("delete" in words or "run again" in words)
    return (REFUSED, "") if named else (FAILED, f"the file is not named: {words[:200]}")


def torture_workflow(ledger: Ledger, project: Project, expected: dict, seed: int) -> None:
    """A file of a finished run rots; what reads it refuses; deleted, it is made again, equal."""
    chance = random.Random(seed)
    kind = "flipped bits, met by the workflow"
    for name, consumer in (
        ("torture/figures/error_by_n.svg", "render_report"),
        ("torture/tables/behaviour.csv", "render_report"),
        ("torture/selection/instruct.en.csv", "draw_cwa_heatmaps"),
    ):
        path = project.results / name
        dates = path.stat()
        content = bytearray(path.read_bytes())
        place = chance.randrange(len(content))
        content[place] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))  # as a disk does it
        before = len(project.output())
        failed = project.do("all", "--forcerun", consumer) != 0
        told = project.output()[before:]
        if not failed:
            ledger.add(kind, name, FAILED, "nothing was said")
            continue
        if path.name not in told or "delete it and run again" not in told or "Traceback" in told:
            ledger.add(kind, name, FAILED, f"not in plain words: {told[-300:]!r}")
            continue
        ledger.add(kind, name, REFUSED)
        path.unlink()
        left = project.resume()
        other = differences(project.files(), expected)
        good = left == 0 and not other
        words = "" if good else f"exit {left}, {other}"
        outcome = RECOVERED if good else FAILED
        ledger.add("a damaged file deleted, then resumed", name, outcome, words)
