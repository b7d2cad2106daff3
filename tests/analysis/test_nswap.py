"""What swapping N does: means of legal swaps alone, the others counted by reason, and the words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lengthlens.ablation.selection import sample_scores
from lengthlens.analysis.nswap import COLUMNS, summarise_nswap
from lengthlens.figures.style import Cast
from lengthlens.reporting.nswap import follows_n, say_nswap
from lengthlens.statistics import Bootstrap

N = np.repeat([3, 5, 9], 4)
CAST = Cast({"m": "tuned", "b": "untuned"}, {"en": "English"})


def forced(legal: bool = True) -> xr.Dataset:
    """Margins of N + (0, 0.1, 0.2, 0.3) for the swap +1 of 3 and 5, of 1 for the swap -1."""
    reason = np.full((2, 12), "", dtype=object)
    reason[0, :4] = reason[1, 8:] = "outside"
    reason[1, 4], reason[0, 11] = "step", "length"
    if not legal:
        reason[reason == ""] = "tokens"
    margin = np.stack([np.ones(12), N + np.tile([0, 0.1, 0.2, 0.3], 3)])
    margin[reason != ""] = np.nan
    other = np.stack([np.repeat([0, 3, 5], 4), np.repeat([5, 9, 0], 4)])
    return xr.Dataset(
        {"nswap_margin": (("swap", "sample"), margin)},
        coords={
            "swap": [-1, 1],
            "n": ("sample", N),
            "topic": ("sample", [f"t{i % 4}" for i in range(12)]),
            "n_swapped": (("swap", "sample"), other),
            "nswap_reason": (("swap", "sample"), reason.astype(str)),
        },
    )


def table_of(data: xr.Dataset) -> pd.DataFrame:
    return summarise_nswap({("m", "en"): data}, Bootstrap(resamples=200))


def test_only_legal_swaps_count_and_the_others_are_counted() -> None:
    """Of 12 answers the swap +1 has 7: four N = 9 have no larger number, one has no step."""
    table = table_of(forced())
    assert tuple(table.columns) == COLUMNS
    rows = table.set_index(["swap", "n"])
    whole = rows.loc[(1, "all")]
    assert whole["margin"] == pytest.approx((3.15 * 4 + 5.2 * 3) / 7)
    assert (whole["n_samples"], whole["n_answers"], whole["n_topics"]) == (7, 12, 4)
    assert (whole["outside"], whole["length"], whole["tokens"], whole["step"]) == (4, 0, 0, 1)
    assert pd.isna(whole["n_swapped"])
    assert rows.loc[(1, "3"), "n_swapped"] == 5 and rows.loc[(-1, "9"), "n_swapped"] == 5
    assert rows.loc[(1, "3"), "margin"] == pytest.approx(3.15)
    low, high = rows.loc[(1, "3"), ["margin_low", "margin_high"]]
    assert low < 3.15 < high
    nine = rows.loc[(1, "9")]
    assert (nine["n_samples"], nine["outside"]) == (0, 4)
    assert np.isnan(nine["margin"]) and pd.isna(nine["n_swapped"])
    assert rows.loc[(-1, "9"), "length"] == 1 and rows.loc[(-1, "9"), "n_samples"] == 3


def test_the_words_have_every_number_and_what_was_left_out() -> None:
    read_back = table_of(forced()).astype({"n_swapped": float})  # as a CSV with gaps is read
    sentences = say_nswap(read_back)
    assert len(sentences) == 2
    larger = sentences[1]
    assert larger.startswith("m in en, N swapped for the next larger number on the same text: the")
    assert (
        "+4.03 [" in larger and "(7 of 12 answers; excluded: 4 because the study has no" in larger
    )
    assert "1 because the answer never has so many words" in larger
    assert "3 → 5 +3.15 [" in larger and "9 →" not in larger
    found = follows_n({"nswap": table_of(forced())}, CAST)
    assert found.answer == "yes" and "(7 answers)" in found.evidence[0]


def test_without_a_legal_swap_the_words_say_so() -> None:
    table = table_of(forced(legal=False))
    assert table["margin"].isna().all()
    said = say_nswap(table)[1]
    assert "no swap is valid (4 because the study has no such number, 7 because the prompts" in said
    found = follows_n({"nswap": table}, CAST)
    assert found.answer == "no interval" and "no swap is valid" in found.evidence[0]


def test_the_score_is_the_mean_of_the_legal_swaps() -> None:
    """An answer with one legal swap has that one's contrast; without any it has none."""
    values = np.array([[[1.0], [np.nan], [np.nan]], [[3.0], [5.0], [np.nan]]])
    data = xr.Dataset({"nswap_mlp": (("swap", "sample", "layer"), values)})
    found = sample_scores(data, "nswap", "mlp")
    np.testing.assert_array_equal(found, [[2.0], [5.0], [np.nan]])
