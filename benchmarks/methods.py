"""The methods that the benchmark compares; each takes a batch and returns its largest error.

An error is |sum of a token's attributions - its logit|, relative to the largest |logit|; None where
a method attributes nothing.
"""

from __future__ import annotations

from pathlib import Path

import torch
from workload import STOP, ImposedLengths, imposed, padded

from lengthlens.attribution.dla import attribute_batch
from lengthlens.generation.activations import ActivationWriter
from lengthlens.generation.answers import record_batch
from lengthlens.generation.loaded import LoadedModel
from lengthlens.models.readout import readout_of


def _generated(model, prompts: list[list[int]], lengths: list[int]) -> torch.Tensor:
    """transformers' greedy generate; the new tokens [row, step]."""
    ids, mask = padded(prompts)
    options = {"do_sample": False, "pad_token_id": 0, "eos_token_id": STOP}
    with torch.inference_mode():
        output = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max(lengths),
            logits_processor=[ImposedLengths(lengths, ids.shape[1])],
            **options,
        )
    return output[:, ids.shape[1] :]


class Generate:
    """transformers' generate alone: the reference."""

    def __init__(self, loaded: LoadedModel, folder: Path) -> None:
        self.model = loaded.model

    def close(self) -> None:
        """Finish what is written."""

    def run(self, batch, lengths: list[int]) -> float | None:
        _generated(self.model, [request.tokens for request in batch], lengths)
        return None


class Loop(Generate):
    """lengthlens' own decode loop alone: nothing is captured, annotated or attributed."""

    def __init__(self, loaded: LoadedModel, folder: Path) -> None:
        self.loaded = loaded

    def run(self, batch, lengths: list[int]) -> float | None:
        loaded, prompts = self.loaded, [request.tokens for request in batch]
        options = {"choose": imposed(lengths)}
        loaded.decode(prompts, lengths, **options)
        return None


class Ours(Generate):
    """lengthlens: decoded with capture, attributed by folding; nothing is written."""

    def __init__(self, loaded: LoadedModel, folder: Path) -> None:
        self.loaded, self.readout = loaded, readout_of(loaded.model)

    def run(self, batch, lengths: list[int]) -> float | None:
        loaded, prompts = self.loaded, [request.tokens for request in batch]
        options = {"choose": imposed(lengths), "capture": True}
        decoded = loaded.decode(prompts, lengths, **options)
        recorded = record_batch(batch, decoded, loaded, "whitespace")
        self.write(recorded)
        found = attribute_batch(self.readout, recorded)
        return float((found["completeness_error"] / found["logit_scale"].max()).max())

    def write(self, recorded) -> None:
        """Nothing is written."""


class OursWithDump(Ours):
    """The same, and everything captured is written to HDF5."""

    def __init__(self, loaded: LoadedModel, folder: Path) -> None:
        super().__init__(loaded, folder)
        self.writer = ActivationWriter(folder / "dump.h5", {}).__enter__()

    def write(self, recorded) -> None:
        self.writer.write(recorded)

    def close(self) -> None:
        self.writer.__exit__(None, None, None)


class TransformerLens(Generate):
    """Prompt by prompt: generate, then a second pass with the whole cache."""

    KEEP = None  # all activations

    def __init__(self, loaded: LoadedModel, folder: Path) -> None:
        from transformer_lens.model_bridge import TransformerBridge

        super().__init__(loaded, folder)
        copy = type(loaded.model)(loaded.model.config).eval()
        copy.load_state_dict(loaded.model.state_dict())
        self.bridge = TransformerBridge.boot_transformers(
            str(folder), hf_model=copy, tokenizer=loaded.tokenizer
        )
        self.bridge.enable_compatibility_mode(fold_value_biases=False)

    def run(self, batch, lengths: list[int]) -> float | None:
        prompts = [request.tokens for request in batch]
        parts = zip(prompts, lengths, strict=True)
        return max(self._attribute([prompt], [length]) for prompt, length in parts)

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
            logits, cache = self.bridge.run_with_cache(ids, names_filter=self.KEEP)
            layers = self.bridge.cfg.n_layers
            mlps = torch.stack([cache[f"blocks.{layer}.hook_mlp_out"] for layer in range(layers)])
            embed = cache["blocks.0.hook_resid_pre"][None]
            stack = torch.cat([cache.stack_head_results(layer=-1), mlps, embed])
            total = cache.logit_attrs(stack, targets).sum(0)[wanted]
            logit = logits.gather(-1, targets[..., None])[..., 0][wanted]
        return float((total - logit).abs().max() / logit.abs().max())


class TransformerLensBatched(TransformerLens):
    """Batch by batch, keeping only what attribution needs."""

    @staticmethod
    def KEEP(name: str) -> bool:
        wanted = ("attn.hook_z", "hook_mlp_out", "ln_final.hook_scale")
        return name.endswith(wanted) or name == "blocks.0.hook_resid_pre"

    def run(self, batch, lengths: list[int]) -> float | None:
        return self._attribute([request.tokens for request in batch], lengths)


class NNsight(Generate):
    """nnsight inside generate, with attribution written by hand: folded, as ours."""

    def __init__(self, loaded: LoadedModel, folder: Path) -> None:
        from nnsight import LanguageModel

        self.loaded, self.readout = loaded, readout_of(loaded.model)
        self.traced = LanguageModel(loaded.model, tokenizer=loaded.tokenizer)

    def run(self, batch, lengths: list[int]) -> float | None:
        ids, mask = padded([request.tokens for request in batch])
        traced, layers = self.traced, range(self.loaded.anatomy.n_layers)
        inputs = {"input_ids": ids, "attention_mask": mask}
        options = {
            "max_new_tokens": max(lengths),
            "do_sample": False,
            "pad_token_id": 0,
            "eos_token_id": STOP,
            "logits_processor": [ImposedLengths(lengths, ids.shape[1])],
        }
        n_steps = max(lengths)
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


METHODS = {
    "generate": (Generate, "transformers generate, no attribution", ()),
    "loop": (Loop, "lengthlens' decode loop, no attribution", ()),
    "ours": (Ours, "lengthlens: capture + attribution", ()),
    "dump": (OursWithDump, "lengthlens: capture + attribution + HDF5 dump", ()),
    "nnsight": (NNsight, "nnsight in generate + attribution by hand", ("nnsight",)),
    "lens-batched": (
        TransformerLensBatched,
        "TransformerLens, batched, filtered cache",
        ("transformer_lens",),
    ),
    "lens": (
        TransformerLens,
        "TransformerLens, prompt by prompt, full cache",
        ("transformer_lens",),
    ),
}
