"""Attributions are those of TransformerLens, an independent implementation.

TransformerLens attributes a second, teacher-forced pass; ours is captured while generating. Its
compatibility mode folds the norms into the weights and centres the unembedding over the vocabulary,
which is our target `token`; a difference of two tokens is our target `end`.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import tiny_model
from tiny_tokenizers import byte_level_tokenizer
from toys import NO_STOP, as_batch, ragged_prompts
from transformers import AutoTokenizer

from lengthlens.attribution.dla import KINDS, TARGETS, attribute_batch, attribute_steps
from lengthlens.decoding.decode import Decoded, Decoder
from lengthlens.generation.loaded import load
from lengthlens.generation.records import Batch
from lengthlens.models.anatomy import dissect
from lengthlens.models.readout import readout_of
from lengthlens.weights.checkpoints import ModelSpec

pytest.importorskip("transformer_lens", reason="TransformerLens is a development dependency")

LIMITS = [6, 9, 4, 7]
PROMPTS = ragged_prompts([3, 9, 5, 7], seed=31, shared=2)
POCKET = Path(__file__).parents[2] / "resources" / "pocket"


def reference(model, folder: Path, prompts, batch: Batch) -> dict[str, np.ndarray]:
    """TransformerLens' attributions [target, step, …] of all steps, one prompt at a time."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        str(folder),
        hf_model=copy.deepcopy(model),  # compatibility mode changes its weights
        tokenizer=AutoTokenizer.from_pretrained(folder, local_files_only=True),
    )
    # NOTE by default it also moves the values' biases from the heads into a bias of the layer.
    bridge.enable_compatibility_mode(fold_value_biases=False)
    layers, heads = dissect(model).n_layers, dissect(model).n_heads
    parts: dict[str, list[np.ndarray]] = {"head": [], "mlp": [], "embed": []}
    steps = batch.steps
    for sample, prompt in enumerate(prompts):
        mine = steps.sample == sample
        tokens = torch.from_numpy(steps.token[mine])
        ids = torch.cat([torch.tensor(prompt), tokens[:-1]])[None]
        with torch.inference_mode():
            _, cache = bridge.run_with_cache(ids)
            stack = torch.cat(
                [
                    cache.stack_head_results(layer=-1),
                    torch.stack([cache[f"blocks.{i}.hook_mlp_out"] for i in range(layers)]),
                    cache["blocks.0.hook_resid_pre"][None],
                ]
            )
            # At each position the token to explain; the first positions are not looked at.
            pad = torch.zeros(len(prompt) - 1, dtype=torch.long)

            def at(column: np.ndarray, pad=pad, mine=mine) -> torch.Tensor:
                return torch.cat([pad, torch.from_numpy(column[mine])])[None]

            token = cache.logit_attrs(stack, at(steps.token))
            end = cache.logit_attrs(stack, at(steps.ender_token), at(steps.word_token))
        scores = torch.stack([token, end])[:, :, 0, len(prompt) - 1 :].transpose(1, 2).numpy()
        cut = layers * heads
        parts["head"].append(scores[..., :cut].reshape(2, -1, layers, heads))
        parts["mlp"].append(scores[..., cut:-1])
        parts["embed"].append(scores[..., -1])
    return {kind: np.concatenate(values, axis=1) for kind, values in parts.items()}


def check(model, folder: Path, prompts, decoded: Decoded, tolerance: float) -> None:
    """Compare DLA of all components and steps, and CWA, relative to max |logit|."""
    rng = np.random.default_rng(0)
    marks = [{"sign": rng.choice([-1, 1], len(t)).astype(np.int8)} for t in decoded.tokens]
    batch = as_batch(decoded, marks)
    theirs = reference(model, folder, prompts, batch)
    ours = attribute_steps(readout_of(model), batch.steps, batch.residuals)
    sums = attribute_batch(readout_of(model), batch)
    size = np.abs(batch.steps.logit).max()
    for kind, expected in theirs.items():
        dla = getattr(ours, kind)[[TARGETS.index("token"), TARGETS.index("end")]]
        assert np.abs(expected).max() > 1e-3 * size
        assert np.abs(dla - expected).max() <= tolerance * size, f"DLA of {kind}"
        sign = batch.steps.sign.reshape(-1, *[1] * (expected.ndim - 2))
        cwa = np.stack(
            [(expected * sign)[:, batch.steps.sample == s].sum(1) for s in range(len(prompts))], 1
        )
        dims = ("target", "sample", *KINDS[kind])
        found = sums[f"cwa_{kind}"].sel(target=["token", "end"]).transpose(*dims).to_numpy()
        longest = max(len(tokens) for tokens in decoded.tokens)
        assert np.abs(found - cwa).max() <= tolerance * size * longest, f"CWA of {kind}"


@pytest.mark.parametrize("row", ["llama", "mistral", "qwen2", "gpt2"])
def test_tiny_models(row: str, tmp_path: Path) -> None:
    """Measured: 5.5e-7 of max |logit|."""
    model = tiny_model(row)
    model.save_pretrained(tmp_path)
    byte_level_tokenizer().save_pretrained(tmp_path)
    decoded = Decoder(model, dissect(model), NO_STOP).decode(PROMPTS, LIMITS, capture=True)
    check(model, tmp_path, PROMPTS, decoded, 2e-6)


@pytest.mark.parametrize("name", ["base", "instruct"])
def test_the_pocket_models(name: str) -> None:
    """Measured: 3.4e-7 of max |logit|."""
    folder = POCKET / name
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"{folder} has no weights")
    loaded = load(ModelSpec(name=name, variant=name, path=str(folder)))
    texts = ["Write a sentence of exactly 5 words about the sea.", "Scrivi una frase di 4 parole."]
    prompts = [loaded.encode(text, "2024-07-26") for text in texts]
    decoded = loaded.decode(prompts, 16, capture=True)
    check(loaded.model, folder, prompts, decoded, 2e-6)
