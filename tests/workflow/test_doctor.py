"""The doctor tells what is missing and what to do, and fails only for what must be mended."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lengthlens.workflow import doctor
from lengthlens.workflow.doctor import ABSENT, OK, WRONG, check_device, check_hub, check_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    """An empty cache, no token, and a hub that does not exist."""
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))


def test_the_default_study_needs_nothing(monkeypatch):
    monkeypatch.setattr(doctor, "check_hub", lambda: iter([(ABSENT, "not asked")]))
    monkeypatch.setattr(doctor, "check_slurm", lambda: iter(()))
    assert [state for state, _ in check_study([])] == [OK, OK, OK]
    assert doctor.main([]) == 0


@pytest.mark.parametrize("config", sorted((ROOT / "config").glob("*b.yaml")), ids=lambda p: p.stem)
def test_models_that_are_not_there(config, monkeypatch):
    """Each model's line says how to get it; those of Llama, where the licence is."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = list(check_study([str(config)]))
    problems = [text for state, text in found if state == WRONG and text.startswith("Model")]
    models = yaml.safe_load(config.read_text())["models"].values()
    assert len(problems) == len(models) == 2
    for text, model in zip(problems, models, strict=True):
        assert f"hf download {model['hub']} --revision {model['revision']}" in text
        assert f"licence at https://huggingface.co/{model['hub']}" in text
        assert "HF_HOME" in text and "`path:`" in text


def test_a_gpu_that_the_configuration_asks_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    [(state, text)] = check_device("cuda")
    assert state == WRONG and "finds no GPU" in text and "generation.device to auto" in text
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    [(state, _)] = check_device("split")
    assert state == ABSENT  # the login node of a cluster has none
    assert not list(check_device("auto")) and not list(check_device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not list(check_device("cuda"))


def test_without_a_network(monkeypatch):
    """Not wrong: what is in the cache needs none."""

    def ask(self, name, **options):
        assert options["timeout"] == 10
        raise RuntimeError("in the network library") from socket.gaierror("no such name")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", ask)
    (token, told), (network, reason) = check_hub()
    assert (token, network) == (ABSENT, ABSENT)
    assert "hf auth login" in told and "cannot be reached (RuntimeError)" in reason


def test_a_token_that_the_hub_does_not_accept(monkeypatch):
    def refuse(self):
        raise ValueError("401")

    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda self, name, timeout: None)
    monkeypatch.setattr("huggingface_hub.HfApi.whoami", refuse)
    (network, _), (token, text) = check_hub()
    assert (network, token) == (OK, WRONG)
    assert "hf auth login" in text and "hf_secret" not in text


def test_findings_fit_a_narrow_terminal(monkeypatch):
    """Lines go on under their text; only words that are longer than a line stand out."""
    monkeypatch.setenv("COLUMNS", "40")
    text = "a configuration:\n  - the key has no value that would do here\nend"
    assert doctor.line_of(WRONG, text) == (
        "!!  a configuration:\n      - the key has no value that would\n      do here\n    end"
    )
    assert doctor.line_of(OK, f"{'x' * 60} is there") == f"ok  {'x' * 60}\n    is there"


@pytest.mark.slow
def test_a_terminal_that_knows_ascii_alone_gets_every_finding():
    """Not UTF-8, and nothing that would make Python read files as if it were."""
    surroundings = {
        "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii",
        "COLUMNS": "40", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "scripts"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "lengthlens.workflow.doctor", "config/tiny.yaml"],
        cwd=ROOT, env=os.environ | surroundings, capture_output=True, check=False,
    )  # fmt: skip
    said = done.stdout.decode("ascii")
    assert b"Traceback" not in done.stderr
    assert "ok  the configuration of the run tiny" in said
    long = [line for line in said.splitlines() if len(line) > 40]
    assert not [line for line in long if " " in line[4:].strip()]  # but for words that are long
