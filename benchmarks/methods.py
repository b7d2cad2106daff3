"""The methods that the benchmark compares: each answers batches, and tells its largest error.

An error is |sum of a token's attributions - its logit|, relative to the largest |logit|: a float,
which methods that attribute nothing do not return.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from workload import STOP, ImposedLengths, imposed, padded, transformer_lens

from lengthlens.attribution.dla import attribute_batch
from lengthlens.generation.activations import ActivationWriter
from lengthlens.generation.answers import Request, record_batch
from lengthlens.generation.loaded import LoadedModel
from lengthlens.models.readout import readout_of

Run = Callable[[list[Request], list[int]], object]


@contextlib.contextmanager
def runner(method: str, loaded: LoadedModel, folder: Path) -> Iterator[Run]:
    """What answers a batch with answers of given lengths; the model is also saved in `folder`."""
    if method == "generate":
        yield lambda batch, lengths: _generated(loaded.model, _tokens(batch), lengths)
    elif method == "loop":
        yield lambda batch, lengths: _decoded(loaded, batch, lengths, capture=False)
    elif method == "ours":
        yield _attributing(loaded)
    elif method == "dump":
        with ActivationWriter(folder / "dump.h5", {}) as writer:
            yield _attributing(loaded, writer)
    elif method == "nnsight":
        yield NNsight(loaded)
    else:
        yield TransformerLens(loaded, folder, batched=method == "lens-batched")


def _tokens(batch: list[Request]) -> list[list[int]]:
    return [request.tokens for request in batch]


def _options(prompts: list[list[int]], lengths: list[int]) -> dict:
    """What makes transformers' generate greedy, with answers of these lengths."""
    return {
        "max_new_tokens": max(lengths),
        "do_sample": False,
        "pad_token_id": 0,
        "eos_token_id": STOP,
        "logits_processor": [ImposedLengths(lengths, max(map(len, prompts)))],
    }


def _generated(model, prompts: list[list[int]], lengths: list[int]) -> torch.Tensor:
    """transformers' greedy generate; the new tokens [row, step]."""
    ids, mask = padded(prompts)
    with torch.inference_mode():
        output = model.generate(ids, attention_mask=mask, **_options(prompts, lengths))
    return output[:, ids.shape[1] :]


def _decoded(loaded: LoadedModel, batch: list[Request], lengths: list[int], capture: bool):
    """lengthlens' own decode loop."""
    return loaded.decode(_tokens(batch), lengths, choose=imposed(lengths), capture=capture)


def _attributing(loaded: LoadedModel, writer: ActivationWriter | None = None) -> Run:
    """lengthlens: decoded with capture, attributed by folding; perhaps written to HDF5."""
    readout = readout_of(loaded.model)

    def run(batch: list[Request], lengths: list[int]) -> float:
        decoded = _decoded(loaded, batch, lengths, capture=True)
        recorded = record_batch(batch, decoded, loaded, "whitespace")
        if writer is not None:
            writer.write(recorded)
        found = attribute_batch(readout, recorded)
        return float((found["completeness_error"] / found["logit_scale"].max()).max())

    return run


def _needed(name: str) -> bool:
    """Whether attribution by TransformerLens needs an activation."""
    wanted = ("attn.hook_z", "hook_mlp_out", "ln_final.hook_scale")
    return name.endswith(wanted) or name == "blocks.0.hook_resid_pre"


class TransformerLens:
    """generate, then a second pass: by batch with what is needed, or by prompt with everything."""

    def __init__(self, loaded: LoadedModel, folder: Path, batched: bool) -> None:
        self.model, self.batched = loaded.model, batched
        self.bridge = transformer_lens(loaded, folder)

    def __call__(self, batch: list[Request], lengths: list[int]) -> float:
        prompts = _tokens(batch)
        if self.batched:
            return self._attribute(prompts, lengths)
        pairs = zip(prompts, lengths, strict=True)
        return max(self._attribute([prompt], [length]) for prompt, length in pairs)

    def _attribute(self, prompts: list[list[int]], lengths: list[int]) -> float:
        new = _generated(self.model, prompts, lengths).tolist()
        answers = [tokens[:length] for tokens, length in zip(new, lengths, strict=True)]
        rows = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        ids = torch.zeros(len(rows), max(map(len, rows)) - 1, dtype=torch.long)
        targets, wanted = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for row, tokens in enumerate(rows):  # padded on the right, where nothing looks
            ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
            targets[row, : len(tokens) - 1] = torch.tensor(tokens[1:])
            wanted[row, len(prompts[row]) - 1 : len(tokens) - 1] = True
        with torch.inference_mode():
            kept = _needed if self.batched else None
            logits, cache = self.bridge.run_with_cache(ids, names_filter=kept)
            layers = self.bridge.cfg.n_layers
            mlps = torch.stack([cache[f"blocks.{layer}.hook_mlp_out"] for layer in range(layers)])
            embed = cache["blocks.0.hook_resid_pre"][None]
            stack = torch.cat([cache.stack_head_results(layer=-1), mlps, embed])
            total = cache.logit_attrs(stack, targets).sum(0)[wanted]
            logit = logits.gather(-1, targets[..., None])[..., 0][wanted]
        return float((total - logit).abs().max() / logit.abs().max())


class NNsight:
    """nnsight inside generate, with attribution written by hand: folded, as ours."""

    def __init__(self, loaded: LoadedModel) -> None:
        from nnsight import LanguageModel

        self.loaded, self.readout = loaded, readout_of(loaded.model)
        self.traced = LanguageModel(loaded.model, tokenizer=loaded.tokenizer)

    def __call__(self, batch: list[Request], lengths: list[int]) -> float:
        ids, mask = padded(_tokens(batch))
        traced, layers = self.traced, range(self.loaded.anatomy.n_layers)
        inputs = {"input_ids": ids, "attention_mask": mask}
        options, n_steps = _options(_tokens(batch), lengths), max(lengths)
        with torch.inference_mode(), traced.generate(inputs, **options) as tracer:
            embeds, heads, mlps, streams, logits = (list().save() for _ in range(5))
            for _ in tracer.iter[:n_steps]:
                embeds.append(traced.model.layers[0].input[:, -1])
                for layer in layers:
                    heads.append(traced.model.layers[layer].self_attn.o_proj.input[:, -1])
                    mlps.append(traced.model.layers[layer].mlp.output[:, -1])
                streams.append(traced.model.norm.input[:, -1])
                logits.append(traced.lm_head.output[:, -1])
            output = tracer.result.save()
        return self._attribute(output[:, ids.shape[1] :], embeds, heads, mlps, streams, logits)

    def _attribute(self, tokens, embeds, heads, mlps, streams, logits) -> float:
        depth, worst, size = self.loaded.anatomy.n_layers, 0.0, 0.0
        epsilon = self.loaded.model.config.rms_norm_eps
        for step, stream in enumerate(streams):
            produced = tokens[:, step]
            u = self.readout.directions(produced)
            total = (embeds[step] * u).sum(-1)
            for layer, output in enumerate(self.readout.output):
                x, v = heads[step * depth + layer], u @ output
                by_head = (x * v).unflatten(-1, (self.readout.n_heads, -1)).sum(-1)
                total = total + by_head.sum(-1) + (mlps[step * depth + layer] * u).sum(-1)
            logit = logits[step].gather(-1, produced[:, None])[:, 0]
            total = total / (stream.square().mean(-1) + epsilon).sqrt()
            worst = max(worst, float((total - logit).abs().max()))
            size = max(size, float(logit.abs().max()))
        return worst / size
