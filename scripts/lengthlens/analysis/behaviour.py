"""How well models keep to the word count, as a table: `tables/behaviour.csv`.

One row a model, language, N (and `all`) and split (and `all`); docs/files.md has the columns.
Rows for `all` N weigh every answer alike; a study asks as often for each N. Words are those of the
whole answer, unless `counted` asks for its quoted part or its last sentence: then error and
exactness are of that part. Files, claims and attributions keep to the whole answer, as the signs of
its steps do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from lengthlens.analysis.tables import header
from lengthlens.errors import LengthlensError
from lengthlens.language.detection import UNDETERMINED, detect_language, known
from lengthlens.language.languages import Language
from lengthlens.language.words import count_words, mentions
from lengthlens.language.wrapping import KINDS, WHOLE, counted_text, kinds_of
from lengthlens.statistics import DEFAULT, Bootstrap, mean_interval, share_interval

ALL = "all"
COLUMNS = header(
    "model language n split n_samples n_topics error± absolute_error± exact± truncated on_topic "
    "distinct",
    *KINDS,
    "own_language other_language undetermined main_language level",
)


def summarise_answers(
    answers: pd.DataFrame,
    languages: Mapping[str, Language],
    bootstrap: Bootstrap = DEFAULT,
    *,
    counting: str = "whitespace",
    counted: str = WHOLE,
) -> pd.DataFrame:
    """Make the table.

    Args:
        answers: one row an answer: model, language, n, topic, template, split, text, error,
            truncated.
        languages: by code, for the words that count as mentioning a topic and for the prompts.
        bootstrap: of the intervals.
        counting: the counting convention; counted: the part of an answer whose words are counted
            (`wrapping.counted_text`).

    Raises:
        LengthlensError: a language or topic of the answers is unknown.
    """
    table = answers.join(_looked_at(answers, languages))
    if counted != WHOLE:
        words = [count_words(counted_text(text, counted), counting) for text in answers["text"]]
        table["error"] = np.array(words, dtype=int) - answers["n"].to_numpy(dtype=int)
    rows = [
        {"model": model, "language": language, "n": n, "split": split} | _summary(part, bootstrap)
        for (model, language), own in table.groupby(["model", "language"], sort=False)
        for n, split, part in _parts(own)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _parts(answers: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """The answers to every N and of every split, and all of them."""
    for n in [ALL, *sorted(answers["n"].unique())]:
        same = answers if n == ALL else answers[answers["n"] == n]
        for split in [ALL, *sorted(answers["split"].unique())]:
            part = same if split == ALL else same[same["split"] == split]
            if len(part):
                yield str(n), split, part


def _summary(answers: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, float]:
    error = answers["error"].to_numpy(dtype=float)
    return {
        **error_columns(answers, error, bootstrap),
        "on_topic": float(answers["mentioned"].mean()),
        "distinct": answers["text"].nunique() / len(answers),
        **{kind: float(answers[kind].mean()) for kind in KINDS},
        **_languages_written(answers),
    }


def error_columns(
    answers: pd.DataFrame,
    error: Float[np.ndarray, " answer"],
    bootstrap: Bootstrap,
    **further: Float[np.ndarray, " answer"],
) -> dict[str, float]:
    """Means of error, |error| and what else is given, shares of exact and cut answers, counts."""
    topics, cut = answers["topic"].to_numpy(), answers["truncated"].to_numpy(dtype=bool)
    values = further | {"error": error, "absolute_error": np.abs(error)}
    means = mean_interval(np.column_stack(list(values.values())), topics, bootstrap)
    exact = share_interval((error == 0) & ~cut, topics, bootstrap.level)
    return {
        **means.columns(*values),
        **exact.columns("exact"),
        **exact.basis,
        "truncated": float(cut.mean()),
    }


def _languages_written(answers: pd.DataFrame) -> dict[str, float | str]:
    """Shares of answers in the prompts' language and in others; NaN where it cannot be detected."""
    own, written = str(answers["language"].iloc[0]), answers["written"]
    if not known(own):
        names = ("own_language", "other_language", "undetermined")
        return dict.fromkeys(names, np.nan) | {"main_language": ""}
    unknown = written == UNDETERMINED
    others = written[(written != own) & ~unknown]
    return {
        "own_language": float((written == own).mean()),
        "other_language": len(others) / len(written),
        "undetermined": float(unknown.mean()),
        "main_language": "" if others.empty else str(others.value_counts().idxmax()),
    }


def _looked_at(answers: pd.DataFrame, languages: Mapping[str, Language]) -> pd.DataFrame:
    """Of every answer whether it mentions its topic, its kinds, and in which language it is."""
    topics, templates = (
        {(code, part.id): part for code, own in languages.items() for part in getattr(own, name)}
        for name in ("topics", "templates")
    )
    found = []
    for row in answers.itertuples():
        topic = topics.get((row.language, row.topic))
        if topic is None:
            raise LengthlensError(
                f"{row.sample_id} is about the topic {row.topic!r}, which resources/languages/"
                f"{row.language}.yaml does not have; make the prompts anew"
            )
        template = templates.get((row.language, row.template))
        asked = languages[row.language].ask(template, topic, row.n) if template else ""
        own = kinds_of(row.text, asked)
        found.append(
            {kind: kind in own for kind in KINDS}
            | {
                "mentioned": mentions(row.text, topic.words, row.language),
                "written": detect_language(row.text, languages),
            }
        )
    return pd.DataFrame(found, answers.index, [*KINDS, "mentioned", "written"])
