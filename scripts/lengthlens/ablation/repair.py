"""What the drop of the end margin after a removal consists of, exactly: direct, others, scale.

At the decision step of the unablated answer the end margin is m = <u, r>/σ + constant, with u the
direction of the clean run's best ender minus its best new word. With the same u, removing a set C
changes the residual stream from r to r' and the final norm's scale from σ to σ':

    m - m' = sum over c in C of <u, c - c'>/σ        direct: what C itself gave
           + sum over j not in C of <u, j - j'>/σ    by component: what j gives less
           + <u, r'> (1/σ - 1/σ')                    scale: what is left is read with another scale

What j gives less is two things in one: it no longer reads what C wrote (mediation), and it may do
more than before in its place (self-repair). Negative: the second outweighs the first. Positive: j
lost by it; that says nothing against self-repair.

Everything is teacher-forced on the unablated answer, and adds up to the drop m - m' of the model's
own logits (tested). u stays fixed, so m' is about the clean run's two tokens even where the ablated
model prefers others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from lengthlens.ablation.ablate import AblationStudy, coordinates_of, decisions
from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.ablation.resample import DonorBook
from lengthlens.decoding.capture import Residuals
from lengthlens.generation.score import answer_terms
from lengthlens.models.readout import Readout, readout_of
from lengthlens.patching.runs import best_pair

TERMS = ("drop", "direct", "scale", "error")


@dataclass(frozen=True)
class Shares:
    """Every component's share of the margin along one direction, divided by one scale σ."""

    head: Float[Tensor, "set layer head"]
    mlp: Float[Tensor, "set layer"]
    rest: Float[Tensor, " set"]  # embedding and biases of the output projections

    def total(self) -> Float[Tensor, " set"]:
        """<u, r>/σ."""
        return self.head.sum((1, 2)) + self.mlp.sum(1) + self.rest


def share_margin(
    readout: Readout, u: Float[Tensor, " d_model"], terms: Residuals, scale: Float[Tensor, ""]
) -> Shares:
    """Shares of all components along u in float64: `dla`'s target `end` at a given σ."""
    u = u.double()
    scale = scale.to(u)
    heads = []
    gain = terms.attention_scale
    for layer, output in enumerate(readout.output):
        folded = (u @ output.to(u)).unflatten(-1, (readout.n_heads, -1))
        share = (terms.head[:, layer].to(u) * folded).sum(-1)
        heads.append(share if gain is None else share / gain[:, layer, None].to(u))
    rest = terms.embed.to(u) @ u
    if readout.output_bias is not None:
        biases = (readout.output_bias.to(u) @ u).expand(len(rest), -1)
        rest = rest + (biases if gain is None else biases / gain.to(u)).sum(1)
    return Shares(torch.stack(heads, 1) / scale, terms.mlp.to(u) @ u / scale, rest / scale)


def repaired_conditions(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions whose repair is measured: `none`, and in the main mode what was chosen.

    That is the top sets of the prompts' own language and the sets by position, each with those of
    its controls that are scored on neutral sentences.
    """
    language = conditions[0].source_language
    main = next((c.mode for c in conditions if c.chosen_by), "none")
    return [conditions[0]] + [
        c
        for c in conditions[1:]
        if c.mode == main
        and c.chosen_by in ("top", "position")
        and c.source_language == language
        and c.neutral
        and c.pool != "all"
    ]


def measure_repair(
    study: AblationStudy,
    conditions: Sequence[Condition],
    answers: Sequence[Sequence[int]],
    book: DonorBook | None = None,
) -> xr.Dataset:
    """Decompose the drop of the end margin under every condition.

    Args:
        study: model, prompts and settings.
        conditions: `none` first.
        answers: the unablated answer to every prompt.
        book: donors, where a condition resamples.

    Returns:
        The variables of a repair file (docs/files.md), NaN where an answer has no decision step.
    """
    loaded = study.loaded
    sets = ConditionSets(conditions, loaded.anatomy, loaded.device, study.replacement)
    readout, anatomy = readout_of(loaded.model), loaded.anatomy
    size = (len(sets), len(study.prompts))
    found = {name: np.full(size, np.nan) for name in TERMS}
    shapes = {"head": (anatomy.n_layers, anatomy.n_heads), "mlp": (anatomy.n_layers,)}
    for kind, shape in shapes.items():
        found[f"share_{kind}"] = np.full((*size, *shape), np.nan, dtype=np.float32)
    gone_heads, gone_mlps = (
        mask.to(readout.unembedding.device) for mask in (sets.heads, sets.mlps)
    )
    for column, decided in decisions(study, sets, book, answers):
        terms, logits = answer_terms(*decided)
        ender, word = best_pair(logits[0], loaded.classes)
        up, down = readout.directions(torch.tensor([ender, word], device=logits.device))
        margins = logits[:, ender] - logits[:, word]
        parts = _decomposed(readout, up - down, terms, margins)
        own = (parts["share_head"] * gone_heads).sum((1, 2))
        parts["direct"] = own + (parts["share_mlp"] * gone_mlps).sum(1)
        for name, value in parts.items():
            found[name][:, column] = value.cpu().numpy()
    dims = {"share_head": ("layer", "head"), "share_mlp": ("layer",)}
    data = {
        name: (("condition", "sample", *dims.get(name, ())), values[sets.order])
        for name, values in found.items()
    }
    data["removed_head"] = (("condition", "layer", "head"), sets.heads.cpu().numpy()[sets.order])
    data["removed_mlp"] = (("condition", "layer"), sets.mlps.cpu().numpy()[sets.order])
    dataset = xr.Dataset(data, coords=coordinates_of(conditions, study.prompts, sets, book))
    shares = anatomy.layout.blanked(dataset[["share_head", "share_mlp"]])
    return dataset.assign(shares.data_vars)


def _decomposed(
    readout: Readout,
    u: Float[Tensor, " d_model"],
    terms: Residuals,
    margins: Float[Tensor, " set"],
) -> dict[str, Float[Tensor, "set ..."]]:
    """What every component gives less, the scale's part, the drop along u, and their error."""
    shares = share_margin(readout, u, terms, terms.scale[0])
    head, mlp = (value[:1] - value for value in (shares.head, shares.mlp))
    ratio = terms.scale[0].double() / terms.scale.double()
    scale = shares.total() * (1 - ratio.to(head.device))
    margins = margins.to(head)
    drop = margins[0] - margins
    whole = head.sum((1, 2)) + mlp.sum(1) + shares.rest[0] - shares.rest + scale
    error = (drop - whole).abs()
    return {"drop": drop, "scale": scale, "error": error, "share_head": head, "share_mlp": mlp}
