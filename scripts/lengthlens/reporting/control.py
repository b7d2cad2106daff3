"""Whether a model controls its length at all, and what the report may say of one that does not.

The *gate* is read from tables/control.csv, for each of the run's *subjects*: its tuned models, or
all models if none is tuned. If the gate of a subject is closed in a language, no section that
explains control shows numbers for it, because ablation or attribution of a model that ignores N
explains nothing about N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lengthlens.figures.numbers import estimated, number

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
        hidden = pd.Series(False, index=table.index)
        for language in (name for name in _LANGUAGES if name in table):
            pairs = zip(table[model], table[language], strict=True)
            hidden |= pd.Series([pair in self.closed for pair in pairs], index=table.index)
        return table[~hidden]

    def note(self, languages: Mapping[str, str]) -> str:
        """A sentence that names the subjects without control; "" if all have control.

        Args:
            languages: code -> name.
        """
        if not self.closed:
            return ""
        return f"{NOTHING}: control is not shown for {named(list(self.closed), languages)}."


def gate_of(tables: Mapping[str, pd.DataFrame], tunings: Mapping[str, str]) -> Gate:
    """The gate of a run; it is closed for nobody if the run has no table of control.

    Args:
        tables: by name; `control` if there is one.
        tunings: model -> tuning.
    """
    tuned = [model for model, tuning in tunings.items() if tuning == "tuned"]
    table = tables.get("control")
    if table is None:
        return Gate(frozenset(), {})
    rows = table[table["model"].isin(tuned or list(tunings))].to_dict("records")
    pairs = {(row["model"], row["language"]): row for row in rows}
    return Gate(
        frozenset(pair for pair, row in pairs.items() if row["open"]),
        {pair: str(row["reason"]) for pair, row in pairs.items() if not row["open"]},
    )


def named(pairs: list[Pair], languages: Mapping[str, str]) -> str:
    """ "a in English and Italian, b in English"."""
    by_model: dict[str, list[str]] = {}
    for model, code in pairs:
        by_model.setdefault(model, []).append(languages.get(code, code))
    return ", ".join(f"{model} in {_listed(names)}" for model, names in by_model.items())


def _listed(names: list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def control_sentences(table: pd.DataFrame) -> list[str]:
    """Sentences on tables/control.csv, one per model and language, with every number's interval."""
    return [_sentence(row) for row in table.to_dict("records")]


def _sentence(row: Mapping) -> str:
    who = f"{row['model']} in {row['language']}"
    if not row["n_samples"]:
        return f"{who}: there are no answers."
    text = (
        f"{who}: {_value(row, 'exact', 'percent')} of {row['n_samples']} answers are exact, "
        f"{_value(row, 'over_chance', 'percent', True)} above the "
        f"{number(row['chance'], 'percent')} % expected by chance"
    )
    if pd.notna(row["slope"]):
        cut = f" ({number(row['truncated'], 'percent')} % were cut)" * (row["truncated"] > 0)
        slope = _value(row, "slope", "words", True)
        text += f"; answers change by {slope} per additional word requested{cut}"
    if row["n_swapped"]:
        text += (
            f"; asking for the next larger number lowers the end margin by "
            f"{_value(row, 'n_effect', 'logits')} ({row['n_swapped']} answers)"
        )
    if row["open"]:
        return f"{text}. Control is shown."
    return f"{text}. Control is not shown: {row['reason']}."


def _value(row: Mapping, name: str, unit: str, sign: bool = False) -> str:
    """A value with its unit and interval."""
    end = {"percent": " points" if sign else " %", "words": " words", "logits": " logits"}[unit]
    return estimated(row, name, unit, sign, end)


def wrapping_sentences(behaviour: pd.DataFrame, languages: Mapping[str, str]) -> list[str]:
    """What surrounds the requested sentences, if any answer has such text.

    Args:
        behaviour: tables/behaviour.csv.
        languages: code -> name.
    """
    whole = behaviour[(behaviour["n"] == "all") & (behaviour["split"] == "all")]
    said = []
    for row in whole.to_dict("records"):
        language = languages.get(row["language"], row["language"])
        who = f"{row['model']}'s answers to prompts in {language}"
        parts = [
            f"{number(row[kind], 'percent')} % {words}"
            for kind, words in _KINDS.items()
            if row[kind] > 0
        ]
        if parts:
            said.append(
                f"Of {who}, {', '.join(parts)} ({row['n_samples']} answers): these words count, "
                "so some errors may be politeness rather than miscounting."
            )
        if row["other_language"] > 0:
            main = languages.get(row["main_language"], "other languages")
            said.append(
                f"Of {who}, {number(row['other_language'], 'percent')} % are in another language, "
                f"most of them in {main}, and {number(row['own_language'], 'percent')} % in "
                f"{language}; the language of {number(row['undetermined'], 'percent')} % is "
                f"undetermined ({row['n_samples']} answers)."
            )
    return said


_KINDS = {
    "preamble": "begin with an introduction",
    "echo": "repeat part of the instruction",
    "quotes": "contain quotation marks",
    "markdown": "contain Markdown",
}
