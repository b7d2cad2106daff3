"""A model on the hub is fetched once, hashed, and then used without the network."""

from __future__ import annotations

import json

import pytest
from fake_hub import COMMIT, FakeHub, served
from study import ROOT, copy_project, snakemake

pytestmark = pytest.mark.slow

CONFIG = f"""
run: hub
models: {{pocket: {{hub: someone/pocket, revision: {COMMIT}, variant: instruct}}}}
languages: [it]
n_words: [3, 5]
prompts: {{per_n: 4, shard: 4}}
"""


def test_the_study_fetches_and_then_needs_no_hub(tmp_path, monkeypatch):
    project = copy_project(tmp_path / "project")
    (project / "hub.yaml").write_text(CONFIG)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    hub = FakeHub("someone/pocket", ROOT / "resources/pocket/instruct")
    with served(hub):
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.token = "hf_secret"
        refused = snakemake(project, "generate", "--configfile", "hub.yaml")
        assert refused.returncode != 0
        assert "someone/pocket is gated; accept its licence" in refused.stderr
        assert "localrule" not in refused.stderr  # no job was started
        assert not list((project / "results").rglob("*.json"))

        hub.token = None
        done = snakemake(project, "generate", "--configfile", "hub.yaml")
        assert done.returncode == 0, done.stderr
        assert "MB to fetch into" in done.stderr
    shard = next((project / "results/hub/shards").glob("*.jsonl"))
    asked = len(hub.ranges)
    shard.unlink()
    again = snakemake(project, "generate", "--configfile", "hub.yaml")  # the hub is down
    assert again.returncode == 0, again.stderr
    assert len(hub.ranges) == asked
    [manifest] = (project / "results/weights").glob("pocket.????????.json")
    shipped = (ROOT / "resources/pocket/SHA256SUMS").read_text()
    found = json.loads(manifest.read_text())["files"]["model.safetensors"]["sha256"]
    assert f"{found}  instruct/model.safetensors" in shipped
