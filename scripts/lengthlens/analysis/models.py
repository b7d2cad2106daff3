"""How the models were used, and how much they thought, as a table: `tables/models.csv`.

One row a model and language; docs/files.md has the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd


def summarise_models(uses: Mapping[str, Mapping[str, Any]], answers: pd.DataFrame) -> pd.DataFrame:
    """Make the table.

    Args:
        uses: of each model, `use` of its proof file (`described.describe`).
        answers: one row an answer: model, language, thinking_tokens, cut_thinking.
    """
    rows = []
    for (model, language), own in answers.groupby(["model", "language"], sort=False):
        use = uses[model]
        marks = (use["thinking"] or {}).get("marks", [])
        rows.append(
            {
                "model": model,
                "language": language,
                "prompt_form": use["prompt_form"],
                "template": _settings(use["template"]),
                "stop_tokens": " ".join(use["stop_tokens"]),
                "added_stop_token": use["added_stop_token"] or "",
                "thinking": "; ".join(" … ".join(pair) for pair in marks),
                "passed_over": _settings(use["passed_over"]),
                "notes": "; ".join(use["notes"]),
                "n_samples": len(own),
                "thinking_tokens": float(own["thinking_tokens"].mean()),
                "thought": float((own["thinking_tokens"] > 0).mean()),
                "cut_thinking": float(own["cut_thinking"].astype(float).mean()),
            }
        )
    return pd.DataFrame(rows)


def _settings(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
