"""What claims are about: the paper's three mechanisms, and the project's own questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

THEMES = {
    "count": "Do the models keep to the word count?",
    "heads": "The paper's first mechanism: late attention heads push towards N",
    "mlps": "The paper's second mechanism: the final MLP compensates, above all in Italian",
    "priors": "The paper's third mechanism: components of the untuned model work against N",
    "held": "Where are the number and the count held?",
    "text": "Is it the weights, or the text that was written?",
    "scores": "Do scores find the components that matter?",
    "tuning": "What did tuning change?",
}
_OF_KINDS = {
    "behaviour": "count",
    "tokens_per_word": "count",
    "repair": "mlps",
    "behaviour_share": "text",
    "agreement": "scores",
    "ablation": "scores",
    "transplant": "tuning",
}


def theme_of(statistic: Mapping[str, Any]) -> str:
    """The theme, of `THEMES`, of a claim with this statistic."""
    kind = statistic["kind"]
    if kind == "table":
        return "mlps" if statistic["table"] == "compensation" else "held"
    if kind != "cwa":
        return _OF_KINDS[kind]
    if "text" in statistic:
        return "text"
    if statistic["tuning"] == "untuned":
        return "priors"
    return "mlps" if statistic.get("component") == "mlp" else "heads"
