"""Answers as coloured text: what a component or a layer adds to each token's logit.

In a notebook the page is shown by itself; elsewhere `print` gives a table. Blue raises the logit,
orange lowers it; the strength of a colour is the share's size beside the largest one shown. Colours
are laid over the page's own, so both light and dark pages can be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
import xarray as xr

from lengthlens.attribution.dla import TARGETS
from lengthlens.errors import LengthlensError
from lengthlens.lens.components import named

_WHOLE = {"embedding": "dla_embed", "biases": "dla_bias"}
_BLUE, _ORANGE = "31, 119, 200", "230, 100, 0"
_STRONGEST = 0.6  # opacity: text stays legible on black and on white
_STOP, _PART = "■", "·"  # a stop token; a token that is part of a character
_STYLE = (
    ".lengthlens{font:15px/1.9 system-ui,sans-serif;color:inherit;max-width:60em}"
    ".lengthlens p{margin:.3em 0}.lengthlens small{opacity:.75}"
    ".lengthlens .answer{white-space:pre-wrap;overflow-wrap:anywhere}"
    ".lengthlens .answer span{border-radius:.2em;padding:.15em 0}"
    ".lengthlens .decision{outline:2px solid currentColor}"
)


@dataclass(frozen=True)
class Token:
    """One token as it is shown; `share` and `sign` are NaN where they are not defined."""

    text: str
    share: float
    words: int
    sign: float
    decision: bool


@dataclass(frozen=True)
class Answer:
    """A prompt, and the tokens that answer it."""

    prompt: str
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Shown:
    """Answers to be looked at: `print` it, or leave it as the last value of a notebook's cell.

    Attributes:
        component: whose share it is.
        target: of what.
        answers: one entry a sample.
    """

    component: str
    target: str
    answers: tuple[Answer, ...]

    def _title(self) -> str:
        what = {
            "token": "of each token's logit beyond the vocabulary's mean",
            "logit": "of each token's logit",
            "end": "of the margin between ending and a new word",
        }
        return f"{self.component}: share {what[self.target]}, in logits"

    def __str__(self) -> str:
        lines = [self._title()]
        for answer in self.answers:
            lines += ["", answer.prompt, f"{'words':>5} {'sign':>4} {'share':>9}  token"]
            for token in answer.tokens:
                share = "" if np.isnan(token.share) else f"{token.share:+.3f}"
                mark = "  ← decision" if token.decision else ""
                sign = {1: "+", -1: "−"}.get(token.sign, "")
                text = _visible(token.text).replace("\n", "")
                lines.append(f"{token.words:>5} {sign:>4} {share:>9}  {text}{mark}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The answers as HTML that needs nothing else; every text is escaped."""
        sizes = [abs(token.share) for answer in self.answers for token in answer.tokens]
        largest = max((size for size in sizes if np.isfinite(size)), default=0.0)
        legend = "".join(
            f'<span style="{_background(value, 1)}"> {value * largest:+.3g} </span> '
            for value in (-1, -0.5, 0.5, 1)
        )
        parts = [
            f"<p><b>{escape(self._title())}</b></p>",
            f'<p class="answer"><small>{legend}'
            "underlined: breaks n; framed: decision step</small></p>",
        ]
        for answer in self.answers:
            spans = "".join(_span(token, largest) for token in answer.tokens)
            parts.append(f"<p><small>{escape(answer.prompt)}</small></p>")
            parts.append(f'<p class="answer">{spans}</p>')
        return f'<div class="lengthlens"><style>{_STYLE}</style>{"".join(parts)}</div>'


def show(dataset: xr.Dataset, component: str | None = None, target: str = "token") -> Shown:
    """The answers of a dataset as coloured text.

    Args:
        dataset: from `Lens.generate` or `Lens.attribute`; take some of its samples with
            `dataset.isel(sample=[0, 1])`.
        component: `L5H3` (a head), `L5M` (an MLP), `L5` (a layer's heads and MLP), `embedding` or
            `biases`; by default the head or MLP whose share is largest, as a mean of its size.
        target: `token`, `logit` or `end` (see `Lens.generate`).

    Raises:
        LengthlensError: the dataset holds no attribution, or no such component or target.
    """
    if "dla_head" not in dataset:
        raise LengthlensError(
            "the dataset holds no dla_head: give one that Lens.generate or Lens.attribute returned"
        )
    if target not in TARGETS:
        raise LengthlensError(f"target is {target!r}; write one of {list(TARGETS)}")
    if "sample" not in dataset.dims:
        dataset = dataset.expand_dims("sample")
    dataset = dataset.sel(target=target)
    component = _largest_component(dataset) if component is None else component
    shares = _shares(dataset, component).transpose("sample", "step").to_numpy()
    answers = []
    for row, own in enumerate(shares):
        one = dataset.isel(sample=row)
        answers.append(Answer(str(one["prompt"].item()), tuple(_tokens(one, own))))
    return Shown(component, target, tuple(answers))


def _shares(dataset: xr.Dataset, component: str) -> xr.DataArray:
    """The share of a component, or of a layer's together (sample, step)."""
    if component in _WHOLE:
        return dataset[_WHOLE[component]]
    there = (dataset[name].transpose("layer", ...) for name in ("has_head", "has_mlp"))
    heads, mlps = named(component, *(mask.to_numpy() for mask in there))
    parts = [dataset["dla_head"].sel(layer=layer, head=head) for layer, head in heads]
    parts += [dataset["dla_mlp"].sel(layer=layer) for layer in mlps]
    parts = [part.reset_coords(drop=True) for part in parts]
    return xr.concat(parts, dim="part").sum("part", skipna=False)


def _largest_component(dataset: xr.Dataset) -> str:
    """The head or MLP with the largest mean |share|."""
    heads = abs(dataset["dla_head"]).mean(("sample", "step")).transpose("layer", "head").to_numpy()
    mlps = abs(dataset["dla_mlp"]).mean(("sample", "step")).to_numpy()
    if np.isnan(heads).all():
        return f"L{dataset.sizes['layer'] - 1}M"
    if np.nanmax(mlps) > np.nanmax(heads):
        return f"L{int(np.nanargmax(mlps))}M"
    layer, head = np.unravel_index(np.nanargmax(heads), heads.shape)
    return f"L{layer}H{head}"


def _tokens(one: xr.Dataset, shares: np.ndarray) -> Iterator[Token]:
    length = int((one["token_id"] >= 0).sum())
    unknown = xr.full_like(one["words_after"], np.nan)
    labels = (one.coords.get(name, unknown) for name in ("words_after", "sign", "decision"))
    columns = (one["token"], *labels)
    rows = zip(shares, *(column.to_numpy() for column in columns), strict=True)
    for step, (share, text, words, sign, decision) in enumerate(itertools.islice(rows, length)):
        stop = step == length - 1 and bool(one["stopped"])
        shown = _STOP if stop else str(text) or _PART
        yield Token(shown, float(share), int(words), float(sign), bool(decision == 1))


def _visible(text: str) -> str:
    """A token's text with its line breaks to be seen."""
    return text.replace("\n", "↵\n")


def _background(share: float, largest: float) -> str:
    """The colour of a share, as a style."""
    if not largest or not np.isfinite(share):
        return ""
    colour = _BLUE if share > 0 else _ORANGE
    return f"background:rgba({colour}, {_STRONGEST * abs(share) / largest:.3f})"


def _span(token: Token, largest: float) -> str:
    share = "not defined here" if np.isnan(token.share) else f"{token.share:+.4g} logits"
    told = f"{share}; words so far: {token.words}"
    style = _background(token.share, largest)
    if token.sign == -1:
        style += ";text-decoration:underline"
    kind = ' class="decision"' if token.decision else ""
    text = escape(_visible(token.text))
    return f'<span{kind} title="{escape(told)}" style="{style}">{text}</span>'
