"""How well a model keeps to the count on the development prompts: greedy answers, and numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lengthlens.decoding.choose import greedy
from lengthlens.generation.answers import Request, answer_rows
from lengthlens.generation.loaded import LoadedModel
from lengthlens.language.prompts import Prompt
from lengthlens.language.words import mentions
from lengthlens.statistics import chance_terms
from lengthlens.tuning.sentences import COUNTING

DATE = "2024-07-26"  # for chat templates that print one
MAX_NEW_TOKENS = 32
BATCH = 84
Numbers = dict[str, float]


def answer_greedily(loaded: LoadedModel, prompts: Sequence[Prompt]) -> list[dict]:
    """Greedy answers, as rows of a generations file, in the order of the prompts."""
    rows = []
    for start in range(0, len(prompts), BATCH):
        part = [
            Request(prompt.id, prompt, loaded.encode(prompt.text, DATE))
            for prompt in prompts[start : start + BATCH]
        ]
        decoded = loaded.decode([r.tokens for r in part], MAX_NEW_TOKENS, choose=greedy)
        rows += answer_rows(loaded, part, decoded, COUNTING)
    return rows


def measure(rows: Sequence[dict], topics: Mapping[str, Sequence[str]]) -> Numbers:
    """What the answers are like.

    Args:
        rows: of a generations file.
        topics: the forms that count as naming a topic, by its id.

    Returns:
        `exact`: share with exactly n words; `chance`: the same if n were permuted among the
        answers, on average; `error`, `absolute_error`: mean of words - n and of its size [words];
        `slope`: of words on n, by least squares; `topic`: share that names the topic; `distinct`:
        different answers over answers; `stopped`: share that ended by itself.
    """
    table = pd.DataFrame(rows)
    n, words = table["n"].to_numpy(), table["words"].to_numpy()
    error = words - n
    named = [mentions(row["text"], topics[row["topic"]]) for row in rows]
    return {
        "exact": float((error == 0).mean()),
        "chance": float(chance_terms(n, words)[0].mean()),
        "error": float(error.mean()),
        "absolute_error": float(np.abs(error).mean()),
        "slope": float(np.polyfit(n, words, 1)[0]),
        "topic": float(np.mean(named)),
        "distinct": table["text"].nunique() / len(table),
        "stopped": float(table["stopped"].mean()),
    }
