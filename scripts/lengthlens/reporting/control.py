"""Whether a model controls its length at all, and what the report may say of one that does not.

The *gate* is read from tables/control.csv, for each of the run's *subjects*: its tuned models, or
all models if none is tuned. If the gate of a subject is closed in a language, no section that
explains control shows numbers for it, because ablation or attribution of a model that ignores N
explains nothing about N.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.figures.numbers import number
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import told_models
from lengthlens.reporting.answers import listed, n_answers, share, shown

NOTHING = "Nothing to explain"
_MODEL = ("model", "tuned")  # the column that names a table's subject
_LANGUAGES = ("language", "target_language", "minus", "first", "second")
Pair = tuple[str, str]


@dataclass(frozen=True)
class Gate:
    """The subjects of a run, by whether they have control: (model, code of the language).

    Attributes:
        opened: those whose gate is open.
        closed: those whose gate is not, with the reason.
    """

    opened: frozenset[Pair]
    closed: Mapping[Pair, str]

    @property
    def nothing(self) -> bool:
        """Whether no subject has control in any language."""
        return bool(self.closed) and not self.opened

    def explained(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table except those about subjects whose gate is closed."""
        model = next((name for name in _MODEL if name in table), None)
        if model is None or not self.closed:
            return table
        hidden = np.zeros(len(table), dtype=bool)
        for language in (name for name in _LANGUAGES if name in table):
            hidden |= pd.MultiIndex.from_frame(table[[model, language]]).isin(list(self.closed))
        return table[~hidden]

    def note(self, languages: Mapping[str, str]) -> str:
        """A sentence that names the subjects without control; "" if all have control."""
        where = self.where_closed(languages)
        return where and f"{NOTHING}: control is not shown for {where}."

    def where_closed(self, languages: Mapping[str, str]) -> str:
        """The subjects without control: "a in English and Italian, b in English".

        Args:
            languages: code -> name.
        """
        found = defaultdict(list)
        for model, code in self.closed:
            found[model].append(languages.get(code, code))
        return ", ".join(f"{model} in {_listed(names)}" for model, names in found.items())


def gate_of(tables: Mapping[str, pd.DataFrame], tunings: Mapping[str, str]) -> Gate:
    """The gate of a run; it is closed for nobody if the run has no table of control.

    Args:
        tables: by name; `control` if there is one.
        tunings: model -> tuning.
    """
    if "control" not in tables:
        return Gate(frozenset(), {})
    table = tables["control"]
    own = table[table["model"].isin(told_models(Cast(tunings, {})))]
    rows = own.set_index(["model", "language"])
    is_open = rows["open"].astype(bool)
    return Gate(frozenset(rows.index[is_open]), rows["reason"][~is_open].to_dict())


def _listed(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


@listed
def control_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on tables/control.csv, one per model and language, with every number's interval."""
    for row in table.to_dict("records"):
        who = f"{row['model']} in {row['language']}"
        if not row["n_samples"]:
            yield f"{who}: there are no answers."
            continue
        text = (
            f"{who}: {share(row, 'exact')} of {n_answers(row)} are exact, "
            f"{shown(row, 'over_chance', 'percent', True)} above the "
            f"{number(row['chance'], 'percent')} % expected by chance"
        )
        if pd.notna(row["slope"]):
            cut = f" ({number(row['truncated'], 'percent')} % were cut)" * (row["truncated"] > 0)
            slope = shown(row, "slope", "words", True)
            text += f"; answers change by {slope} per additional word requested{cut}"
        if row["n_swapped"]:
            text += (
                f"; asking for the next larger number lowers the end margin by "
                f"{shown(row, 'n_effect', 'logits')} ({row['n_swapped']} answers)"
            )
        verdict = "shown" if row["open"] else f"not shown: {row['reason']}"
        yield f"{text}. Control is {verdict}."


@listed
def wrapping_sentences(behaviour: pd.DataFrame, languages: Mapping[str, str]) -> Iterator[str]:
    """What surrounds the requested sentences, if any answer has such text.

    Args:
        behaviour: tables/behaviour.csv.
        languages: code -> name.
    """
    for row in rows_of(behaviour, n="all", split="all").to_dict("records"):
        language = languages.get(row["language"], row["language"])
        who = f"{row['model']}'s answers to prompts in {language}"
        parts = [
            f"{number(row[kind], 'percent')} % {words}"
            for kind, words in _KINDS.items()
            if row[kind] > 0
        ]
        if parts:
            yield (
                f"Of {who}, {', '.join(parts)} ({n_answers(row)}): these words count, "
                "so some errors may be politeness rather than miscounting."
            )
        if row["other_language"] > 0:
            main = languages.get(row["main_language"], "other languages")
            yield (
                f"Of {who}, {number(row['other_language'], 'percent')} % are in another language, "
                f"most of them in {main}, and {number(row['own_language'], 'percent')} % in "
                f"{language}; the language of {number(row['undetermined'], 'percent')} % is "
                f"undetermined ({n_answers(row)})."
            )


_KINDS = {
    "preamble": "begin with an introduction",
    "echo": "repeat part of the instruction",
    "quotes": "contain quotation marks",
    "markdown": "contain Markdown",
}
