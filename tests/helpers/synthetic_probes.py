"""Answers to probes made by hand: test data, no results of any model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

ErrorOf = Callable[[str, int, np.random.Generator], int]  # (probe, N, generator) -> words - N
LEXICON, WHOLE = 200, 50


def make_probes(
    language: str,
    error_of: ErrorOf,
    n_words: tuple[int, ...] = (3, 4, 5),
    beyond: tuple[int, ...] = (10, 12),
    per_n: int = 16,
    cut: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """A probes file with the errors that `error_of` gives; free words have 1.5 to 2.5 tokens."""
    rng = np.random.default_rng(seed)
    rows = []
    for probe in ("free", "aligned", "extrapolation"):
        for n in beyond if probe == "extrapolation" else n_words:
            for index in range(per_n):
                error = error_of(probe, n, rng)
                aligned = probe == "aligned"
                price = {
                    "cost": 0.5,
                    "changed": 0.25,
                    "degenerate": ("", "", "loop", "forced end")[index % 4],
                    "lexicon_words": LEXICON,
                    "lexicon_whole": WHOLE,
                }
                rows.append(
                    {
                        "sample_id": f"{language}-n{n}-{index:04d}#0",
                        "language": language,
                        "n": n,
                        "topic": f"topic-{index:02d}",
                        "text": " ".join(["l'isola"] * (n + error)),
                        "words": n + error,
                        "error": error,
                        "truncated": cut and index % 4 == 0,
                        "thinking_tokens": 0,
                        "cut_thinking": False,
                        "probe": probe,
                        "tokens_per_word": 1.0 if aligned else 1.5 + rng.random(),
                        "one_token": 1.0 if aligned else 0.5,
                    }
                    | (price if aligned else {})
                )
    return pd.DataFrame(rows)
