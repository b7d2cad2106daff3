"""Finished shards are put back, not made again, unless anything that made them has changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lengthlens.generation.kept import KeptShards, code_hash, shard_identity
from lengthlens.language.prompts import build_prompts, load_language

LANGUAGE = load_language(Path(__file__).parents[2] / "resources/languages/en.yaml")
PROMPTS = build_prompts(LANGUAGE, 5, 0, 4, 0)
CONFIG = {"generation": {"seed": 0}, "prompts": {"seed": 0}}
MODEL = {"path": "somewhere", "variant": "base"}
COMPUTED = {"device": "cpu", "dtype": "float32", "torch": "2.9.0"}
IDENTITY = shard_identity(CONFIG, MODEL, "weights", PROMPTS, "code", COMPUTED)


def files_of(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.jsonl", folder / f"{name}.h5"]


def remove(folder: Path) -> None:
    """What Snakemake does before a job starts."""
    for path in folder.glob("*.*"):
        if path.is_file():
            path.unlink()


def run(
    folder: Path, shards: dict[str, str], made: str, computed: dict | None = None, **options
) -> list[str]:
    """A job over shards {name: identity}; the names of those that it had to make."""
    entries = [(name, identity, files_of(folder, name)) for name, identity in shards.items()]
    names = []
    kept = KeptShards(folder / ".kept", computed or COMPUTED)
    for place, files in kept.unfinished(entries, **options):
        names.append(entries[place][0])
        for path in files:
            path.write_text(f"{made} {path.name}")
    return names


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    assert run(tmp_path, {"n3": "a", "n4": "a"}, "first") == ["n3", "n4"]
    inodes = {path.name: path.stat().st_ino for path in tmp_path.glob("n*.h5")}
    remove(tmp_path)
    assert run(tmp_path, {"n3": "a", "n4": "a", "n5": "a"}, "second") == ["n5"]
    assert (tmp_path / "n3.h5").read_text() == "first n3.h5"
    assert (tmp_path / "n5.h5").read_text() == "second n5.h5"
    assert {name: (tmp_path / name).stat().st_ino for name in inodes} == inodes  # not copied


def test_another_identity_is_made_anew_and_the_old_one_forgotten(tmp_path: Path) -> None:
    run(tmp_path, {"n3": "a", "n4": "a"}, "first")
    assert run(tmp_path, {"n3": "b", "n4": "a"}, "second") == ["n3"]
    assert (tmp_path / "n3.h5").read_text() == "second n3.h5"
    assert [path.name for path in (tmp_path / ".kept/n3").iterdir()] == ["b"]


def test_it_is_told_why_a_kept_shard_is_made_anew(tmp_path: Path, capsys) -> None:
    """Only where what computes it has changed: another configuration is nothing to wonder about."""
    run(tmp_path, {"n3": "a", "n4": "a"}, "first")
    assert run(tmp_path, {"n4": "b"}, "second") == ["n4"]
    assert capsys.readouterr().err == ""
    other = COMPUTED | {"torch": "2.10.0", "device": "cuda"}
    assert run(tmp_path, {"n3": "c"}, "third", other) == ["n3"]
    told = "n3 is made anew: it was made with device cpu instead of cuda, torch 2.9.0 instead of "
    assert capsys.readouterr().err == told + "2.10.0 now\n"


def interrupted(shards: Iterator[tuple[int, Sequence[Path]]]) -> None:
    for place, files in shards:
        for path in files:
            path.write_text("whole")
            if place == 1:
                raise KeyboardInterrupt


def test_what_was_finished_before_an_interruption_stays(tmp_path: Path) -> None:
    entries = [(name, "a", files_of(tmp_path, name)) for name in ("n3", "n4", "n5")]
    with pytest.raises(KeyboardInterrupt):
        interrupted(KeptShards(tmp_path / ".kept").unfinished(entries))
    remove(tmp_path)
    assert run(tmp_path, {"n3": "a", "n4": "a", "n5": "a"}, "second") == ["n4", "n5"]
    assert (tmp_path / "n3.h5").read_text() == "whole"
    assert (tmp_path / "n4.h5").read_text() == "second n4.h5"


def test_half_a_kept_shard_is_none(tmp_path: Path) -> None:
    run(tmp_path, {"n3": "a"}, "first")
    (tmp_path / ".kept/n3/a/n3.h5").unlink()
    remove(tmp_path)
    assert run(tmp_path, {"n3": "a"}, "second") == ["n3"]


@pytest.mark.parametrize("damage", ["content", "hashes"])
def test_what_was_damaged_since_is_made_again(tmp_path: Path, damage: str) -> None:
    """The two names are one file: whoever changes the first changes the kept one."""
    run(tmp_path, {"n3": "a", "n4": "a"}, "first")
    broken = tmp_path / ("n3.h5" if damage == "content" else ".kept/n3/a/sha256.json")
    content = bytearray(broken.read_bytes())
    content[0] ^= 1
    broken.write_bytes(content)
    remove(tmp_path)
    assert run(tmp_path, {"n3": "a", "n4": "a"}, "second") == ["n3"]
    assert (tmp_path / "n3.h5").read_text() == "second n3.h5"


def test_temporary_files_are_not_kept_beyond_the_job(tmp_path: Path) -> None:
    run(tmp_path, {"n3": "a"}, "first", temporary=True)
    assert not list(tmp_path.rglob(".kept/*/*/*"))


def test_a_file_system_without_hard_links_gets_copies(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    run(tmp_path, {"n3": "a"}, "first")
    remove(tmp_path)
    assert run(tmp_path, {"n3": "a"}, "second") == []
    assert (tmp_path / "n3.h5").read_text() == "first n3.h5"


@pytest.mark.parametrize(
    "changed",
    [
        (CONFIG | {"counting": "unicode"}, MODEL, "weights", PROMPTS, "code", COMPUTED),
        (CONFIG, MODEL | {"variant": "instruct"}, "weights", PROMPTS, "code", COMPUTED),
        (CONFIG, MODEL | {"stop_tokens": ["."]}, "weights", PROMPTS, "code", COMPUTED),
        (CONFIG, MODEL, "other weights", PROMPTS, "code", COMPUTED),
        (CONFIG, MODEL, "weights", PROMPTS[:-1], "code", COMPUTED),
        (
            CONFIG,
            MODEL,
            "weights",
            [*PROMPTS[:-1], replace(PROMPTS[-1], text="Other")],
            "code",
            COMPUTED,
        ),
        (CONFIG, MODEL, "weights", PROMPTS, "other code", COMPUTED),
        (CONFIG, MODEL, "weights", PROMPTS, "code", COMPUTED | {"device": "cuda"}),
        (CONFIG, MODEL, "weights", PROMPTS, "code", COMPUTED | {"dtype": "bfloat16"}),
        (CONFIG, MODEL, "weights", PROMPTS, "code", COMPUTED | {"torch": "2.10.0"}),
    ],
)
def test_everything_that_makes_a_shard_counts(changed: tuple) -> None:
    assert shard_identity(*changed) != IDENTITY


def test_where_the_weights_lie_does_not_count() -> None:
    moved = {"hub": "some/model", "revision": "1", "variant": "base"}
    assert shard_identity(CONFIG, moved, "weights", PROMPTS, "code", COMPUTED) == IDENTITY


def test_code_is_compared_by_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("1")
    second.write_text("2")
    whole = code_hash([first, second])
    os.utime(first, (0, 0))
    assert code_hash([first, second]) == whole
    second.write_text("3")
    assert code_hash([first, second]) != whole
