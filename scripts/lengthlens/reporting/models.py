"""Sentences about tables/models.csv: how each model was used, and how long its thinking was."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from lengthlens.figures.numbers import number
from lengthlens.reporting.answers import listed


@listed
def model_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Sentences about anything unusual: added stop tokens, settings not used, thinking."""
    for model, own in table.groupby("model", sort=False):
        first = own.iloc[0]
        if first["notes"]:
            yield f"{model}: {first['notes']}."
        if first["passed_over"]:
            yield (
                f"{model}'s own generation settings are not used here, because attribution "
                f"explains the model's own logits: {first['passed_over']}."
            )
        if first["template"]:
            yield f"{model}'s chat template was called with {first['template']}."
        yield from map(_thought, own[own["thought"] > 0].to_dict("records"))


def _thought(row: dict) -> str:
    """How much a model thought in one language."""
    share = number(row["thought"], "percent")
    text = (
        f"{row['model']} in {row['language']} thought before {share} % of its {row['n_samples']} "
        f"answers, on average {row['thinking_tokens']:.0f} tokens, which do not count as answer."
    )
    if row["cut_thinking"] > 0:
        cut = number(row["cut_thinking"], "percent")
        text += (
            f" {cut} % were cut while thinking, at generation.max_new_tokens: they have no words."
        )
    return text
