"""What pushed towards ending or towards going on at each step of an answer.

At a boundary step the model chooses between ending and a new word, and the end margin (best ender
minus best word-beginning token) says which is ahead. Direct logit attribution splits the margin
into the shares of the components: a positive share pushes to end, a negative one to go on. Of
every step the largest shares of both signs are kept; with the rest they add up to the margin.

Beside them stands what all heads, all MLPs, the embedding and the biases add to the produced token
(target `token`), step by step: with the adherence signs these are the terms of CWA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from lengthlens.attribution.dla import KINDS, TARGETS, Scores
from lengthlens.generation.records import Batch
from lengthlens.generation.steps import Decode

LARGEST = 5  # components a step and direction
_DIGITS = 4


def component_names(n_layers: int, n_heads: int) -> list[str]:
    """Names in the order of `flat_shares`: heads "L3H5", MLPs "L3M", "embedding" and "biases"."""
    heads = [f"L{layer}H{head}" for layer in range(n_layers) for head in range(n_heads)]
    return [*heads, *(f"L{layer}M" for layer in range(n_layers)), "embedding", "biases"]


def flat_shares(scores: Scores) -> Float[np.ndarray, "step component"]:
    """Shares of the end margin of all components; zero at steps that are not boundary steps."""
    end = TARGETS.index("end")
    shares = [getattr(scores, kind)[end] for kind in KINDS]
    return np.concatenate([share.reshape(len(share), -1) for share in shares], axis=1)


def produced_scores(scores: Scores) -> dict[str, Float[np.ndarray, " step"]]:
    """What all components of a kind together add to the produced token (target `token`)."""
    token = TARGETS.index("token")
    kinds = {f"dla_{kind}": getattr(scores, kind)[token].astype(np.float64) for kind in KINDS}
    return {name: score.reshape(len(score), -1).sum(1) for name, score in kinds.items()}


def batch_pushes(scores: Scores, batch: Batch) -> list[dict]:
    """One row a sample, ready for JSON; lists have one entry a step, None where no boundary is.

    Args:
        scores: of the batch's steps.
        batch: the answers.
    """
    names = component_names(*scores.head.shape[2:])
    shares, steps, samples = flat_shares(scores), batch.steps, batch.samples
    at = [step if boundary else None for step, boundary in enumerate(steps.boundary)]
    columns = {
        "token": steps.token.tolist(),
        "sign": steps.sign.tolist(),
        "words": steps.words_after.tolist(),
        "decision": steps.decision.tolist(),
        "margin": _each(at, lambda s: _rounded(steps.ender_logit[s] - steps.word_logit[s])),
        "ender": _each(at, lambda s: int(steps.ender_token[s])),
        "word": _each(at, lambda s: int(steps.word_token[s])),
        "to_end": _each(at, lambda s: _largest(shares[s], names)),
        "to_go_on": _each(at, lambda s: _largest(shares[s], names, sign=-1)),
    }
    columns |= {name: [*map(_rounded, score)] for name, score in produced_scores(scores).items()}
    rows = []
    for sample_id, start, n in zip(
        samples.sample_id, samples.first_step, samples.n_steps, strict=True
    ):
        row = {name: values[start : start + n] for name, values in columns.items()}
        decision = row["decision"].index(True) if any(row["decision"]) else None
        rows.append({"sample_id": sample_id} | row | {"decision": decision})
    return rows


def _each(steps: Sequence[int | None], value: Callable[[int], object]) -> list:
    return [None if step is None else value(step) for step in steps]


def _rounded(value: float | np.floating) -> float:
    return round(float(value), _DIGITS)


def _largest(
    shares: Float[np.ndarray, " component"], names: Sequence[str], sign: int = 1
) -> list[list]:
    """The largest shares of one sign, as [component, share]."""
    order = np.argsort(-sign * shares, kind="stable")[:LARGEST]
    return [[names[i], _rounded(shares[i])] for i in order if sign * shares[i] > 0]


def with_texts(row: dict, decode: Decode, surface: Callable[[Sequence[int]], list[str]]) -> dict:
    """The row with its tokens as texts: `text`, `ender_text`, `word_text`.

    Args:
        row: made by `batch_pushes`.
        decode: ids to text, special tokens left out.
        surface: what each of some tokens adds to a text when it follows a complete word.
    """
    return row | {
        "text": token_texts(row["token"], decode),
        "ender_text": _surfaces(row["ender"], surface),
        "word_text": _surfaces(row["word"], surface),
    }


def token_texts(tokens: Sequence[int], decode: Decode) -> list[str]:
    """What each token of an answer adds to its text; together they are the answer.

    Where a character takes several tokens, the last of them has it and the others are empty; a
    stop token is empty too.
    """
    texts, before = [], ""
    for count in range(1, len(tokens) + 1):
        whole = decode(tokens[:count]).rstrip("\ufffd")
        texts.append(whole[len(before) :] if whole.startswith(before) else "")
        before = whole if whole.startswith(before) else before
    return texts


def _surfaces(ids: Sequence[int | None], surface: Callable) -> list[str | None]:
    known = sorted({token for token in ids if token is not None})
    texts = dict(zip(known, surface(known), strict=True)) if known else {}
    return [texts.get(token) for token in ids]
