"""How well models keep to the word count, as a table: `tables/behaviour.csv`.

One row a model, language, N (and `all`) and split (and `all`):

| column | meaning |
|---|---|
| `n_samples`, `n_topics` | answers, and topics that they are about |
| `error`, `error_low`, `error_high` | mean of words - N, with its interval clustered by topic |
| `absolute_error`, `…_low`, `…_high` | mean of abs(words - N) |
| `exact`, `exact_low`, `exact_high` | share of answers with exactly N words, not cut (Wilson) |
| `truncated` | share of answers cut at the token limit: their errors are lower bounds |
| `on_topic` | share of answers that hold a word of the topic |
| `distinct` | different texts, as a share of the answers |
| `level` | of the intervals |

Rows for `all` N weigh every answer alike; a study asks as often for each N.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from lengthlens.errors import LengthlensError
from lengthlens.language.languages import Language
from lengthlens.language.words import mentions
from lengthlens.statistics import mean_interval, share_interval

ALL = "all"


def summarise_answers(
    answers: pd.DataFrame,
    languages: Mapping[str, Language],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Make the table of the module's docstring.

    Args:
        answers: one row an answer: model, language, n, topic, split, text, error, truncated.
        languages: by code, for the words that count as mentioning a topic.
        level: of the intervals; resamples, seed: of their bootstrap.

    Raises:
        LengthlensError: a language or topic of the answers is unknown.
    """
    table = answers.assign(mentioned=_mentioned(answers, languages))
    rows = [
        {"model": model, "language": language, "n": n, "split": split}
        | _summary(part, level, resamples, seed)
        for (model, language), own in table.groupby(["model", "language"], sort=False)
        for n, split, part in _parts(own)
    ]
    return pd.DataFrame(rows)


def _parts(answers: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The answers to every N and of every split, and all of them."""
    for n in [ALL, *sorted(answers["n"].unique())]:
        same = answers if n == ALL else answers[answers["n"] == n]
        for split in [ALL, *sorted(answers["split"].unique())]:
            part = same if split == ALL else same[same["split"] == split]
            if len(part):
                yield str(n), split, part


def _summary(answers: pd.DataFrame, level: float, resamples: int, seed: int) -> dict[str, float]:
    topics = answers["topic"].to_numpy()
    error = answers["error"].to_numpy(dtype=float)
    cut = answers["truncated"].to_numpy(dtype=bool)
    errors = mean_interval(
        np.column_stack([error, np.abs(error)]),
        topics,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    exact = share_interval((error == 0) & ~cut, topics, level)
    row: dict[str, float] = {"n_samples": len(answers), "n_topics": len(np.unique(topics))}
    row |= errors.columns("error", "absolute_error") | exact.columns("exact")
    row |= {
        "truncated": float(cut.mean()),
        "on_topic": float(answers["mentioned"].mean()),
        "distinct": answers["text"].nunique() / len(answers),
        "level": level,
    }
    return row


def _mentioned(answers: pd.DataFrame, languages: Mapping[str, Language]) -> list[bool]:
    words = {
        (code, topic.id): topic.words
        for code, language in languages.items()
        for topic in language.topics
    }
    found = []
    for row in answers.itertuples():
        if (row.language, row.topic) not in words:
            raise LengthlensError(
                f"{row.sample_id} is about the topic {row.topic!r}, which resources/languages/"
                f"{row.language}.yaml does not have; make the prompts anew"
            )
        found.append(mentions(row.text, words[row.language, row.topic], row.language))
    return found
