"""The whole study of tiny random models that are no plain transformers, from prompts to report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from study import LITTLE_MECHANISM, copy_project, snakemake
from three_ways import tied
from tiny_checkpoints import tiny_checkpoint
from transformers import AutoConfig, AutoModelForCausalLM

import lengthlens
from lengthlens.figures.registry import FIGURES
from lengthlens.figures.style import Cast
from lengthlens.generation.loaded import load
from lengthlens.models.layout import Layout
from lengthlens.reporting.explorer import draw_explorer
from lengthlens.weights.checkpoints import ModelSpec

# Heads of every layer, and what the report says of the layers; nothing of those that are all alike.
KINDS = {
    "qwen3_5_text": ([4, 4, 4], "layers 0, 2: a mixer in place of attention, of 4 heads"),
    "lfm2": ([1, 4, 1], "layers 0, 2: a mixer in place of attention, of one component"),
    "deepseek_v3": ([4, 4, 4], ""),
    "gemma4": ([4, 4, 4, 4], ""),
}
LIMIT, COMPARED = 16, 4  # tokens of an answer; answers that transformers writes, too
SMALL = (
    """
languages: [en]
n_words: [3, 5]
prompts: {per_n: 6, shard: 6}
statistics: {resamples: 100}
patching: {per_n: 4, further_per_n: 1, atp_per_n: 4}
forced: {per_n: 2}
ablation: {k: [1], further_k: [1], controls: 3, test_controls: 3, answered_controls: 1,
  further_controls: 1, base_controls: 1, base_prompts: 2, untuned: []}
probes: {languages: [], n_words: [6], per_n: 2}
figures: {dpi: 50, formats: [png]}
report: {answers: 2}
"""
    + LITTLE_MECHANISM
)


def configuration(folder: Path, kind: str) -> dict:
    """A study of a pair of tiny models, which are made below the folder."""
    variants = {"plain": "base", "tuned": "instruct"}
    models = {
        name: {"path": str(tiny_checkpoint(folder / name, kind, variant)), "variant": variant}
        for name, variant in variants.items()
    }
    pairs = [{"untuned": "plain", "tuned": "tuned"}]
    own = {"run": "small", "models": models, "pairs": pairs}
    return yaml.safe_load(SMALL) | own | {"generation": {"max_new_tokens": LIMIT}}


@pytest.fixture(scope="module", params=KINDS)
def study(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The kind of the models, and the folder of the project in which their study was run."""
    folder = copy_project(tmp_path_factory.mktemp(request.param) / "project")
    config = configuration(folder.parent / "models", request.param)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "all", "--configfile", "mine.yaml", forked=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return request.param, folder


def heads_there(kind: str) -> np.ndarray:
    """Which heads there are, [layer, head]."""
    heads = KINDS[kind][0]
    return np.arange(max(heads)) < np.array(heads)[:, None]


@pytest.mark.slow
def test_every_step_is_measured_and_attributed_completely(study) -> None:
    kind, results, there = study[0], study[1] / "results/small", heads_there(study[0])
    for model in ("plain", "tuned"):
        attribution = lengthlens.open_attribution(results / f"attribution/{model}.en.nc")
        assert (np.isfinite(attribution["cwa_head"].sel(target="token")) == there).all()
        assert (attribution["completeness_error"] <= 1e-4 * attribution["logit_scale"]).all()
        assert (attribution["n_steps"] > 0).all()
    forced = lengthlens.open_forced(results / "forced/tuned.en.nc")
    layout = Layout.told(forced.attrs, *there.shape, int(forced.attrs["n_kv_heads"]))
    assert (layout.has_head == there).all() and layout.mlps == tuple(range(len(there)))
    patching = lengthlens.open_patching(results / "patching/tuned.en.nc")
    assert (patching["patched_head"] > 0).to_numpy()[there].all(), kind
    assert np.isnan(patching["noising_head"].to_numpy()[..., ~there]).all()


@pytest.mark.slow
def test_the_report_shows_what_there_is(study) -> None:
    """A head that a layer lacks is missing from the maps and the tables; it is nowhere a zero."""
    results, there = study[1] / "results/small", heads_there(study[0])
    report = (results / "report.html").read_text(encoding="utf-8")
    assert KINDS[study[0]][1] in report
    # The page leaves the map out, for random models do not count; it is drawn from this file.
    cast = Cast({"plain": "untuned", "tuned": "tuned"}, {"en": "English"})
    maps = draw_explorer(lengthlens.open_cwa(results / "cwa.nc"), cast)["data"]["values"]
    assert {one["model"] for one in maps} == {"plain", "tuned"}
    for one in (one for one in maps if one["target"] == "token"):
        cells = np.array(one["value"], dtype=float).reshape(len(there), -1)
        assert (np.isfinite(cells) == np.pad(there, ((0, 0), (0, 1)), constant_values=True)).all()
    for name in FIGURES:
        assert (results / f"figures/{name}.png").stat().st_size > 2000, name
    names = {f"L{layer}H{head}" for layer, head in np.argwhere(there)}
    told = set()
    for table in [*results.glob("tables/*.csv"), *results.glob("selection/*.csv")]:
        for values in pd.read_csv(table, dtype=str).to_numpy(dtype=str).ravel():
            told |= set(re.findall(r"\bL\d+H\d+\b", values))
    assert told == names


@pytest.mark.slow
def test_answers_are_those_of_transformers(study) -> None:
    """Greedy ones; they may part where the two best logits are all but equal."""
    _, folder = study
    entry = yaml.safe_load((folder / "mine.yaml").read_text())["models"]["tuned"]
    defaults = yaml.safe_load((folder / "config.yaml").read_text())["generation"]
    loaded = load(ModelSpec.from_config("tuned", entry))
    model = AutoModelForCausalLM.from_pretrained(entry["path"]).eval()
    prompts = {row["id"]: row for row in rows_of(folder / "results/small/prompts/en.jsonl")}
    rows = rows_of(folder / "results/small/generations/tuned.en.jsonl")
    assert len(rows) == len(prompts) == 12
    for row in rows[:: len(rows) // COMPARED]:
        prompt = loaded.encode(prompts[row["prompt_id"]]["text"], defaults["date"])
        theirs = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=LIMIT)[
            0, len(prompt) :
        ]
        ours, theirs = row["tokens"], theirs.tolist()
        assert len(ours) > 1
        assert ours == theirs or tied(model, prompt, ours, theirs), row["sample_id"]


def rows_of(path: Path) -> list[dict]:
    """The lines of a file, without the header."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in found if "id" in row or "sample_id" in row]


def test_checkpoints_are_what_they_are_called(tmp_path: Path) -> None:
    """Gemma 4 with a tower for images, whose last layers read the keys and values of earlier ones.

    A wrapper, whose text part has the vocabulary of pocket.
    """
    folder = tiny_checkpoint(tmp_path / "m", "gemma4", "instruct")
    config = AutoConfig.from_pretrained(folder)
    text = config.get_text_config()
    assert config.vision_config is not None
    assert text is not config and text.vocab_size == 2689
    assert text.kv_sharing_modes == ["store", "store", "reuse", "reuse"]
