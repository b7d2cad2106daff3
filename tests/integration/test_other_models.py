"""The whole study of tiny random models that are no plain transformers, from prompts to report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from study import LITTLE_MECHANISM, copy_project, snakemake
from tiny_checkpoints import tiny_checkpoint
from transformers import AutoConfig

import lengthlens
from lengthlens.models.layout import Layout

# Heads of every layer, and what the report says of the layers; nothing of those that are all alike.
KINDS = {
    "qwen3_5_text": ([4, 4, 4], "layers 0, 2: a mixer in place of attention, of 4 heads"),
    "lfm2": ([1, 4, 1], "layers 0, 2: a mixer in place of attention, of one component"),
    "deepseek_v3": ([4, 4, 4], ""),
    "gemma4": ([4, 4, 4], ""),
}
SMALL = (
    """
languages: [en]
n_words: [3, 5]
prompts: {per_n: 6, shard: 6}
generation: {max_new_tokens: 16}
statistics: {resamples: 100}
patching: {per_n: 4, further_per_n: 1, atp_per_n: 4}
ablation: {k: [1, 2], further_k: [2], controls: 5, test_controls: 5, answered_controls: 2,
  base_controls: 2, base_prompts: 2, untuned: []}
probes: {languages: [], n_words: [10], per_n: 2}
figures: {dpi: 80}
report: {answers: 4}
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
    return yaml.safe_load(SMALL) | {"run": "small", "models": models, "pairs": pairs}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_study(kind: str, tmp_path: Path) -> None:
    heads, told = KINDS[kind]
    folder = copy_project(tmp_path / "project")
    config = configuration(tmp_path / "models", kind)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(folder, "all", "--configfile", "mine.yaml")
    assert done.returncode == 0, done.stderr[-4000:]
    results = folder / "results/small"
    attribution = lengthlens.open_attribution(results / "attribution/tuned.en.nc")
    there = np.arange(max(heads)) < np.array(heads)[:, None]
    assert (np.isfinite(attribution["cwa_head"].sel(target="token")) == there).all()
    assert (attribution["completeness_error"] <= 1e-4 * attribution["logit_scale"]).all()
    forced = lengthlens.open_forced(results / "forced/tuned.en.nc")
    layout = Layout.told(forced.attrs, len(heads), max(heads), int(forced.attrs["n_kv_heads"]))
    assert (layout.has_head == there).all() and layout.mlps == tuple(range(len(heads)))
    patching = lengthlens.open_patching(results / "patching/tuned.en.nc")
    assert (patching["patched_head"] > 0).to_numpy()[there].all()
    assert np.isnan(patching["noising_head"].to_numpy()[..., ~there]).all()
    report = (results / "report.html").read_text(encoding="utf-8")
    assert told in report


def test_checkpoints_are_what_they_are_called(tmp_path: Path) -> None:
    """Gemma 4 with a tower for images: a wrapper, whose text part has the vocabulary of pocket."""
    folder = tiny_checkpoint(tmp_path / "m", "gemma4", "instruct")
    config = AutoConfig.from_pretrained(folder)
    assert config.vision_config is not None
    assert config.get_text_config() is not config and config.get_text_config().vocab_size == 2689
