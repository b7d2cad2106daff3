"""What is the tokenizer's doing, and what the constraint's? `tables/tokenization.csv`.

Aligned decoding (`aligned`) makes one token one word, but also takes words away from the model. A
language whose every word is one token anyway (the *reference*: those that are only probed) loses
little by it, and so tells the two apart:

    change       = aligned - free                          (both effects)
    constraint   = change in the reference
    tokenization = change - change in the reference        (what one token a word does)

The last assumes that the constraint does the same harm in both languages; `cost` and `changed`
tell how unlike it is. A third view needs no constraint: `reference - free` compares free answers.
All differences take the same prompts and are paired by topic, but for two shares of exact answers:
their interval is the one that claims have (`statistics.share_difference_interval`).

Further measures: `tokens_per_word`, `one_token` (share of an answer's words, both up to word N); of
aligned answers `cost` [nats a token], `changed` (share of tokens that would have been others),
`degenerate` (share of answers; also `empty`, `loop`, `forced end` apart), and `coverage`: share of
the lexicon's words that are one token (n_samples: its words; a count has no interval).
docs/files.md has the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from lengthlens.analysis.tables import header
from lengthlens.analysis.tokens_per_word import MEASURES, answer_values
from lengthlens.probes.aligned import DEGENERATE
from lengthlens.statistics import (
    DEFAULT,
    Bootstrap,
    Interval,
    combination_interval,
    mean_interval,
    share_difference_interval,
    share_interval,
)

COLUMNS = header(
    "model language reference measure quantity value± n_samples n_topics truncated level",
)
FREE, ALIGNED, CHANGE = "free", "aligned", "change"
CONSTRAINT, TOKENIZATION, LEVEL_GAP = "constraint", "tokenization", "reference - free"
Sides = Sequence[tuple[float, pd.DataFrame]]  # coefficient and answers


def separate_errors(
    probes: Mapping[tuple[str, str], pd.DataFrame],
    references: Sequence[str],
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Make the table of the module's docstring."""
    rows = []
    for (model, language), table in probes.items():
        free, aligned = _both(table)
        about = {"model": model, "language": language, "reference": "", "level": bootstrap.level}
        others = {
            name: _both(probes[model, name])
            for name in references
            if name != language and (model, name) in probes
        }
        rows += [
            about
            | {"measure": measure, "quantity": quantity, "reference": name}
            | _difference(sides, measure, bootstrap)
            for measure in MEASURES
            for quantity, name, sides in _quantities(free, aligned, others)
        ]
        rows += [about | row for row in _spelling(free, aligned, bootstrap)]
        rows += [about | row for row in _price(aligned, bootstrap)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def numbers(interval: Interval) -> dict[str, float]:
    """The columns of a value with its interval."""
    return interval.columns("value") | interval.basis


def _both(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Free and aligned answers to the prompts that have both."""
    free, aligned = (table[table["probe"] == probe] for probe in (FREE, ALIGNED))
    return free[free["sample_id"].isin(aligned["sample_id"])], aligned


def _quantities(free, aligned, others) -> Iterator[tuple[str, str, Sides]]:
    """Quantity, the reference that it is compared with, and the answers that it is made of."""
    change = [(1, aligned), (-1, free)]
    yield FREE, "", [(1, free)]
    yield ALIGNED, "", [(1, aligned)]
    yield CHANGE, "", change
    for name, (their_free, their_aligned) in others.items():
        yield CONSTRAINT, name, [(1, their_aligned), (-1, their_free)]
        yield TOKENIZATION, name, [*change, (-1, their_aligned), (1, their_free)]
        yield LEVEL_GAP, name, [(1, their_free), (-1, free)]


def _difference(sides: Sides, measure: str, bootstrap: Bootstrap) -> dict[str, float]:
    """A combination of means, each side with its coefficient, topics drawn once for all sides.

    Of a share of exact answers, and of two, the interval is the one that claims have.
    """
    parts = [(answer_values(answers, measure), answers["topic"].to_numpy()) for _, answers in sides]
    if measure == "exact" and len(sides) == 1:
        found = share_interval(*parts[0], bootstrap.level)
    elif measure == "exact" and len(sides) == 2:
        found = share_difference_interval(*parts[0], *parts[1], bootstrap.level)
    else:
        values, topics = map(np.concatenate, zip(*parts, strict=True))
        found = combination_interval(
            values,
            np.ones(len(values)),
            topics,
            np.repeat(np.arange(len(sides)), [len(own) for own, _ in parts]),
            {index: float(coefficient) for index, (coefficient, _) in enumerate(sides)},
            bootstrap=bootstrap,
        )
    cut = pd.concat([answers["truncated"] for _, answers in sides]).astype(bool)
    return numbers(found) | {"truncated": float(cut.mean())}


def _spelling(free, aligned, bootstrap: Bootstrap) -> Iterator[dict]:
    """Tokens a word, and how many words are one token."""
    for measure in ("tokens_per_word", "one_token"):
        for quantity, answers in ((FREE, free), (ALIGNED, aligned)):
            values = answers[measure].to_numpy(dtype=float)
            found = mean_interval(values, answers["topic"].to_numpy(), bootstrap)
            yield {"measure": measure, "quantity": quantity} | numbers(found)


def _price(aligned: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict]:
    """What aligned decoding could use, what it cost, and how often it broke down."""
    if aligned.empty:
        return
    topics = aligned["topic"].to_numpy()
    words, whole = (int(aligned[f"lexicon_{name}"].iloc[0]) for name in ("words", "whole"))
    coverage = {"value": whole / max(words, 1), "n_samples": words, "n_topics": 0}
    yield {"measure": "coverage", "quantity": ALIGNED} | coverage
    for measure in ("cost", "changed"):
        found = mean_interval(aligned[measure].to_numpy(dtype=float), topics, bootstrap)
        yield {"measure": measure, "quantity": ALIGNED} | numbers(found)
    reasons = aligned["degenerate"].to_numpy(dtype=str)
    hits = {"degenerate": reasons != ""} | {name: reasons == name for name in DEGENERATE}
    for measure, hit in hits.items():
        found = share_interval(hit, topics, bootstrap.level)
        yield {"measure": measure, "quantity": ALIGNED} | numbers(found)
