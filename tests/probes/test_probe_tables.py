"""The tables made from probes, on data whose answers are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic_probes import LEXICON, WHOLE, make_probes

from lengthlens.analysis.behaviour import ALL
from lengthlens.analysis.conventions import compare_conventions
from lengthlens.analysis.extrapolation import extrapolate
from lengthlens.analysis.tokenization import separate_errors
from lengthlens.analysis.tokens_per_word import regress_errors, slope_terms
from lengthlens.statistics import Bootstrap

FAST = Bootstrap(resamples=200)


def coin(rng, share: float) -> int:
    return int(rng.random() < share)


def english(probe, n, rng) -> int:
    """Free answers miss often, aligned ones more seldom."""
    return coin(rng, 0.6 if probe == "free" else 0.3)


def synthetic(probe, n, rng) -> int:
    """The constraint alone makes answers miss."""
    return coin(rng, 0.3 if probe == "free" else 0.5)


@pytest.fixture(scope="module")
def probes() -> dict[tuple[str, str], pd.DataFrame]:
    return {
        ("i", "en"): make_probes("en", english, per_n=64),
        ("i", "qaa"): make_probes("qaa", synthetic, per_n=64, seed=1),
    }


@pytest.fixture(scope="module")
def separated(probes) -> pd.DataFrame:
    return separate_errors(probes, ["qaa"], FAST)


def mean_error(probes, language: str, probe: str) -> float:
    table = probes["i", language]
    return table.loc[table["probe"] == probe, "error"].mean()


def row_of(table: pd.DataFrame, **wanted) -> pd.Series:
    found = table[np.logical_and.reduce([table[key] == value for key, value in wanted.items()])]
    assert len(found) == 1, found
    return found.iloc[0]


def test_differences_are_those_of_the_means(probes, separated) -> None:
    """change = A - F;  tokenization = (A - F) - (A' - F'), the prime marking the reference."""
    en = {probe: mean_error(probes, "en", probe) for probe in ("free", "aligned")}
    qaa = {probe: mean_error(probes, "qaa", probe) for probe in ("free", "aligned")}
    expected = {
        "free": en["free"],
        "aligned": en["aligned"],
        "change": en["aligned"] - en["free"],
        "constraint": qaa["aligned"] - qaa["free"],
        "tokenization": en["aligned"] - en["free"] - qaa["aligned"] + qaa["free"],
        "reference - free": qaa["free"] - en["free"],
    }
    for quantity, value in expected.items():
        row = row_of(separated, language="en", measure="error", quantity=quantity)
        assert row["value"] == pytest.approx(value)
        assert row["value_low"] < value < row["value_high"]
        compared = quantity in ("constraint", "tokenization", "reference - free")
        assert row["reference"] == ("qaa" if compared else "")


def test_the_intervals_tell_the_planted_effects(separated) -> None:
    """.3 less error by alignment, .2 more by the constraint: .5 less by one token a word."""
    change = row_of(separated, language="en", measure="error", quantity="change")
    constraint = row_of(separated, language="en", measure="error", quantity="constraint")
    tokens = row_of(separated, language="en", measure="error", quantity="tokenization")
    assert change["value_high"] < 0 < constraint["value_low"]
    assert tokens["value_low"] < -0.5 < tokens["value_high"] < 0
    assert tokens["n_samples"] == 4 * 3 * 64 and tokens["n_topics"] == 64


def test_exact_is_one_less_the_planted_errors(separated) -> None:
    exact, error = (
        row_of(separated, language="en", measure=measure, quantity="free")["value"]
        for measure in ("exact", "error")
    )
    assert exact == pytest.approx(1 - error)


def test_the_reference_is_not_compared_with_itself(separated) -> None:
    own = separated[separated["language"] == "qaa"]
    assert not set(own["quantity"]) & {"constraint", "tokenization"}
    assert len(separate_errors({}, [])) == 0


def test_what_aligned_decoding_could_use_and_did(separated) -> None:
    own = separated[separated["language"] == "en"]
    coverage = row_of(own, measure="coverage")
    assert coverage["value"] == WHOLE / LEXICON and coverage["n_samples"] == LEXICON
    assert row_of(own, measure="cost")["value"] == 0.5
    assert row_of(own, measure="changed")["value"] == 0.25
    assert row_of(own, measure="degenerate")["value"] == 0.5
    parts = [row_of(own, measure=name)["value"] for name in ("empty", "loop", "forced end")]
    assert parts == [0, 0.25, 0.25]
    assert row_of(own, measure="tokens_per_word", quantity="aligned")["value"] == 1


def test_only_prompts_with_both_answers_are_compared(probes) -> None:
    table = probes["i", "en"]
    first = table["sample_id"].str.contains("-000")
    fewer = table[(table["probe"] != "aligned") | first]
    found = separate_errors({("i", "en"): fewer}, [], FAST)
    row = row_of(found, measure="error", quantity="free")
    assert row["n_samples"] == 3 * 10
    kept = table[(table["probe"] == "free") & first]
    assert row["value"] == pytest.approx(kept["error"].mean())


def test_slope_equals_a_regression_with_a_level_for_each_n() -> None:
    """Frisch, Waugh and Lovell: demeaned within strata, the slope is that with dummies."""
    rng = np.random.default_rng(0)
    n = np.repeat([3, 4, 5], 20)
    x = rng.normal(size=60) + n
    y = 0.7 * x - 3.0 * n + rng.normal(size=60)
    top, bottom = slope_terms(x, y, n)
    design = np.column_stack([x, *(n == k for k in (3, 4, 5))]).astype(float)
    expected = np.linalg.lstsq(design, y, rcond=None)[0][0]
    assert top.sum() / bottom.sum() == pytest.approx(expected, rel=1e-12)


def with_slope(language: str, slope: float, seed: int) -> pd.DataFrame:
    table = make_probes(language, lambda *_: 0, per_n=48, seed=seed)
    noise = np.random.default_rng(seed).normal(0, 0.2, len(table))
    table["error"] = slope * table["tokens_per_word"] + table["n"] + noise
    return table


def test_a_planted_slope_is_found_in_each_language_and_together() -> None:
    tables = {("i", "en"): with_slope("en", 2.0, 1), ("i", "it"): with_slope("it", 0.0, 2)}
    found = regress_errors(tables, FAST)
    english_row = row_of(found, language="en", measure="error")
    italian = row_of(found, language="it", measure="error")
    both = row_of(found, language=ALL, measure="error")
    # The standard error is about 0.06.
    assert english_row["slope"] == pytest.approx(2, abs=0.25) and english_row["slope_low"] > 1
    assert italian["slope"] == pytest.approx(0, abs=0.25) and italian["slope_high"] < 1
    assert italian["slope"] < both["slope"] < english_row["slope"]
    assert both["n_samples"] == 2 * 3 * 48 and both["n_cut"] == 0


def test_cut_answers_and_answers_without_words_are_left_out() -> None:
    table = make_probes("en", lambda *_: 0, cut=True)
    table.loc[1, "tokens_per_word"] = np.nan
    row = row_of(regress_errors({("b", "en"): table}, FAST), measure="error")
    assert row["n_cut"] == 12 and row["n_samples"] == 3 * 16 - 12 - 1
    assert regress_errors({("b", "en"): table.assign(truncated=True)}).empty


def test_conventions_on_elided_words() -> None:
    """Every word is "l'isola": one between blanks, one of Unicode, two with elision."""
    tables = {("i", "it"): make_probes("it", lambda *_: 0)}
    found = compare_conventions(tables, "unicode", FAST)
    assert list(found["convention"]) == ["whitespace", "unicode", "elision"]
    assert list(found["exact"]) == [1, 1, 0] and list(found["asked"]) == [False, True, False]
    assert list(found["error"]) == [0, 0, 4]  # twice N, less N, over N = 3, 4, 5
    assert list(found["extra"]) == [0, 0, 4]
    assert set(found["n_samples"]) == {48}


def test_gain_is_one_for_a_model_that_follows_and_none_for_one_that_does_not() -> None:
    """words = N + noise: slope 1 on N; words = 8 + noise: slope 0."""

    def follows(probe, n, rng):
        return int(rng.integers(-1, 2))

    def stays(probe, n, rng):
        return 8 - n + int(rng.integers(-1, 2))

    tables = {("i", "en"): make_probes("en", follows), ("b", "en"): make_probes("en", stays)}
    found = extrapolate(tables, FAST)
    for model, gain in (("i", 1), ("b", 0)):
        for probe, numbers in (("free", [3, 4, 5]), ("extrapolation", [10, 12])):
            rows = found[(found["model"] == model) & (found["probe"] == probe)]
            assert list(rows["n"]) == numbers and set(rows["n_samples"]) == {16}
            assert (rows["gain_low"] < gain).all() and (gain < rows["gain_high"]).all()
            np.testing.assert_allclose(rows["error"], rows["words"] - rows["n"], atol=1e-12)


def test_a_single_n_has_no_gain() -> None:
    table = make_probes("en", lambda *_: 0, beyond=(10,))
    rows = extrapolate({("i", "en"): table}, FAST)
    assert rows.loc[rows["probe"] == "extrapolation", "gain"].isna().all()


@pytest.mark.parametrize("make", ["regress_errors", "compare_conventions", "extrapolate"])
def test_tables_of_nothing_have_their_columns(make, probes):
    """As of a base model all of whose answers are cut: a table without rows is a table still."""
    tables = {
        "regress_errors": regress_errors,
        "compare_conventions": lambda files, bootstrap: compare_conventions(
            files, "whitespace", bootstrap
        ),
        "extrapolate": extrapolate,
    }
    full = tables[make](probes, FAST)
    nothing = {pair: table.iloc[:0] for pair, table in probes.items()}
    empty = tables[make](nothing, FAST)
    assert empty.empty and empty.columns.tolist() == full.columns.tolist()


def test_answers_that_are_all_cut_have_no_slope(probes):
    cut = {pair: table.assign(truncated=True) for pair, table in probes.items()}
    table = regress_errors(cut, FAST)
    assert table.empty and "slope" in table
    empty = {pair: table.assign(tokens_per_word=np.nan) for pair, table in probes.items()}
    assert regress_errors(empty, FAST).empty
