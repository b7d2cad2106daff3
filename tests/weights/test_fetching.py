"""Fetching models, against a hub on this machine: whole, interrupted, gated, and not there."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_hub import COMMIT, FakeHub, served
from safetensors.torch import save_file

from lengthlens.errors import LengthlensError
from lengthlens.weights import presence
from lengthlens.weights.checkpoints import ModelSpec, weights_manifest
from lengthlens.weights.fetching import check_fetched
from lengthlens.weights.presence import check_model, check_models, told

SCRIPTS = Path(__file__).parents[2] / "scripts"
REPOSITORY = "someone/tiny"

# In a process of its own, for huggingface_hub reads its environment when it is imported.
PROGRAM = """
import json, os, sys
from lengthlens.weights import fetching
from lengthlens.weights.checkpoints import ModelSpec
from lengthlens.errors import LengthlensError
from lengthlens.weights.fetching import fetch_model
from lengthlens.weights.presence import check_model
fetching.ANSWER_SECONDS = float(os.environ.get("ANSWER_SECONDS", fetching.ANSWER_SECONDS))
spec = ModelSpec("tiny", "instruct", hub=sys.argv[2], revision=sys.argv[3])
try:
    if sys.argv[1] == "fetch":
        print(json.dumps(fetch_model(spec)))
    else:
        found = check_model(spec, was_fetched=False)
        print(json.dumps([found.state, found.problem]))
except LengthlensError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def hub(tiny_llama_dir, tmp_path):
    """The tiny model on a hub, beside files that must not be fetched."""
    folder = Path(shutil.copytree(tiny_llama_dir, tmp_path / "served"))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "README.md").write_text("a card")
    with served(FakeHub(REPOSITORY, folder)) as running:
        yield running


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The hub's cache of this test, for this process and for those it starts."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home/hub"


def run(hub: FakeHub, action: str, repository=REPOSITORY, revision=COMMIT, **environment):
    """Fetch or check in another process, which is told of the hub."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, action, repository, revision],
        env=os.environ | {"HF_ENDPOINT": hub.url, "PYTHONPATH": str(SCRIPTS)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def wait_for(condition) -> None:
    """Wait until the condition holds, for a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited for a minute"
        time.sleep(0.05)


def spec(repository: str = REPOSITORY, revision: str = COMMIT) -> ModelSpec:
    return ModelSpec("tiny", "instruct", hub=repository, revision=revision)


def test_a_fetched_model_is_the_same_as_the_folder(hub, cache, tiny_llama_dir):
    done = run(hub, "fetch")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["commit"] == COMMIT
    assert set(record["files"]) == {path.name for path in tiny_llama_dir.iterdir()}
    local = ModelSpec("tiny", "instruct", path=str(tiny_llama_dir))
    assert weights_manifest(spec())["sha256"] == weights_manifest(local)["sha256"]
    assert "model.safetensors" in done.stderr or "Fetching" in done.stderr  # its progress bars
    check_fetched(spec(), record)
    assert check_model(spec(), was_fetched=True).problem is None


def test_a_branch_is_resolved_to_its_commit(hub, cache):
    assert json.loads(run(hub, "fetch", revision="main").stdout)["commit"] == COMMIT
    assert weights_manifest(spec(revision="main"))["files"]


def large_weights(path: Path) -> int:
    """Weights of 25 MB that do not compress, of one tensor; their size in bytes."""
    save_file({"weight": torch.randint(256, (25_000_000,), dtype=torch.uint8)}, path)
    return path.stat().st_size


@pytest.mark.slow
def test_a_broken_connection_goes_on_in_the_middle_of_the_file(hub, cache):
    """The library writes 10 MiB at a time, and asks for the rest of what it has written."""
    size = large_weights(hub.folder / "model.safetensors")
    hub.cut_after = 12_000_000
    done = run(hub, "fetch")
    assert done.returncode == 0, done.stderr
    begun = [first for name, first in hub.ranges if name == "model.safetensors"]
    assert begun == [0, 10 * 2**20, 20 * 2**20]
    assert weights_manifest(spec())["files"]["model.safetensors"]["bytes"] == size


@pytest.mark.slow
def test_a_killed_fetch_is_never_taken_for_whole_and_keeps_finished_files(hub, cache):
    """Files that were whole are not asked for again; the one that it was in starts anew."""
    size = large_weights(hub.folder / "model.safetensors")
    hub.stall_after = 12_000_000
    killed = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "fetch", REPOSITORY, COMMIT],
        env=os.environ | {"HF_ENDPOINT": hub.url, "PYTHONPATH": str(SCRIPTS)},
        stderr=subprocess.DEVNULL,
    )
    assert hub.stalled.wait(60)
    wait_for(lambda: len(list(cache.glob("models--*/snapshots/*/*.json"))) >= 4)
    killed.kill()
    killed.wait()
    assert list(cache.glob("models--*/blobs/*.incomplete"))
    with pytest.raises(LengthlensError, match="holds no weights"):
        weights_manifest(spec())
    assert "25.0 MB to fetch" in json.loads(run(hub, "check").stdout)[0]

    hub.stall_after = None
    hub.ranges.clear()
    done = run(hub, "fetch")
    assert done.returncode == 0, done.stderr
    assert {name for name, _ in hub.ranges} <= {"model.safetensors", "chat_template.jinja"}
    assert weights_manifest(spec())["files"]["model.safetensors"]["bytes"] == size


def test_a_gated_model_says_where_the_licence_is(hub, cache):
    hub.token = "hf_right"
    for action in ("fetch", "check"):
        done = run(hub, action)
        words = done.stderr if action == "fetch" else done.stdout
        assert f"{REPOSITORY} is gated" in words, done
        assert f"{hub.url}/{REPOSITORY}" in words
        assert "there is no token now" in words
    done = run(hub, "fetch", HF_TOKEN="hf_wrong")
    assert "a token is set" in done.stderr
    assert "hf_wrong" not in done.stderr + done.stdout
    done = run(hub, "fetch", HF_TOKEN="hf_right")
    assert done.returncode == 0, done.stderr


def test_what_the_hub_does_not_have(hub, cache):
    assert "knows no model someone/else" in run(hub, "fetch", "someone/else").stderr
    assert "has no revision" in run(hub, "fetch", revision="f" * 40).stderr


def test_the_check_tells_the_size_and_fetches_nothing(hub, cache):
    state, problem = json.loads(run(hub, "check").stdout)
    assert problem is None
    assert "MB to fetch into" in state and str(cache) in state
    assert not hub.ranges


def test_without_a_network(hub, cache):
    state, problem = json.loads(run(hub, "check", HF_HUB_OFFLINE="1").stdout)
    assert "HF_HUB_OFFLINE forbids" in problem and f"hf download {REPOSITORY}" in problem
    nowhere = FakeHub(REPOSITORY, hub.folder, url="http://127.0.0.1:9")
    problem = json.loads(run(nowhere, "check").stdout)[1]
    assert "http://127.0.0.1:9 cannot be reached from here" in problem
    assert f"hf download {REPOSITORY} --revision {COMMIT}" in problem
    assert str(cache) in problem and "HF_HOME" in problem and "`path:`" in problem


@pytest.mark.slow
def test_a_hub_that_takes_the_question_and_never_answers_is_not_waited_for(hub, cache):
    """As behind a firewall that swallows packets: the library alone would wait for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = run(FakeHub(REPOSITORY, hub.folder, url=url), "check", ANSWER_SECONDS="1")
    assert "cannot be reached from here" in json.loads(done.stdout)[1]


def test_models_that_fit_on_the_disk_one_by_one_but_not_together(monkeypatch, cache):
    """Each takes 3 MB, and 5 MB are free."""
    monkeypatch.setattr(presence, "bytes_on_hub", lambda spec: 3_000_000)
    specs = [spec("someone/one"), spec("someone/two")]
    for free, whole in ((6_000_000, True), (5_000_000, False), (2_000_000, False)):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free)
        )
        problems = [model.problem for model in check_models(specs, {})]
        assert (problems == [None, None]) is whole
        if not whole:
            assert "make room, or set HF_HOME" in problems[-1]
        if free == 5_000_000:
            assert "All models together need 6.0 MB" in problems[-1]


def test_a_file_that_went_or_changed_is_noticed(hub, cache):
    record = json.loads(run(hub, "fetch").stdout)
    weights = next(cache.glob("models--*/snapshots/*/model.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.resolve().write_bytes(content)
    with pytest.raises(LengthlensError, match="is damaged.*fetch the model again"):
        weights_manifest(spec())
    weights.unlink()
    with pytest.raises(LengthlensError, match="bytes that was fetched; .*hf download"):
        check_fetched(spec(), record)
    gone = check_model(spec(), was_fetched=True)
    assert "no weights" in gone.problem
    assert gone.problem in told([gone])
