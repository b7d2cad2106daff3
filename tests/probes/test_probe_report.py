"""Figures and sentences made from the tables of the probes: what they hold, and no more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from as_read import as_read
from matplotlib.colors import to_hex
from synthetic_attribution import make_attribution
from synthetic_probes import make_probes

from lengthlens.analysis.conventions import compare_conventions
from lengthlens.analysis.dips import find_dips
from lengthlens.analysis.extrapolation import extrapolate
from lengthlens.analysis.tokenization import separate_errors
from lengthlens.analysis.tokens_per_word import regress_errors
from lengthlens.figures.extrapolation import draw_extrapolation
from lengthlens.figures.style import TUNING_COLOURS, Cast
from lengthlens.figures.tokenization import draw_tokenization
from lengthlens.reporting.extent import dip_sentences, extrapolation_sentences
from lengthlens.reporting.tokenization import (
    counting_sentences,
    direction,
    tokenization_sentences,
    tokens_per_word_sentences,
)
from lengthlens.statistics import Bootstrap

CAST = Cast({"b": "untuned", "i": "tuned"}, {"en": "English", "qaa": "qaa (synthetic)"})
FAST = Bootstrap(resamples=200)
BLUE = TUNING_COLOURS["tuned"]


def misses(share):
    return lambda probe, n, rng: int(rng.random() < (share if probe == "free" else share / 2))


@pytest.fixture(scope="module")
def probes() -> dict[tuple[str, str], pd.DataFrame]:
    return {
        (model, language): make_probes(language, misses(share), cut=model == "b", seed=seed)
        for seed, (model, language, share) in enumerate(
            [("b", "en", 0.9), ("b", "qaa", 0.9), ("i", "en", 0.6), ("i", "qaa", 0.3)]
        )
    }


@pytest.fixture(scope="module")
def separated(probes) -> pd.DataFrame:
    return as_read(separate_errors(probes, ["qaa"], FAST))


@pytest.fixture(scope="module")
def slopes(probes) -> pd.DataFrame:
    return as_read(regress_errors(probes, FAST))


@pytest.fixture(scope="module")
def extended(probes) -> pd.DataFrame:
    return as_read(extrapolate(probes, FAST))


@pytest.fixture(scope="module")
def dips(probes) -> pd.DataFrame:
    answers = {(m, "en"): of(probes[m, "en"], "free") for m in "bi"}
    sums = {pair: make_attribution(3, (3, 4, 5), 16, 4, 2).dataset for pair in answers}
    return as_read(find_dips(answers, sums, FAST))


def of(table: pd.DataFrame, probe: str) -> pd.DataFrame:
    return table[table["probe"] == probe].reset_index(drop=True)


def marks(axes, color=BLUE) -> list:
    """Lines with markers in one colour."""
    return [
        line
        for line in axes.get_lines()
        if to_hex(line.get_color()) == color and line.get_marker() in "osDPv^"
    ]


def test_tokenization_figure_shows_free_and_aligned_values(separated, slopes) -> None:
    figure = draw_tokenization(separated, slopes, CAST)
    exact = separated[(separated["model"] == "i") & (separated["measure"] == "exact")]
    drawn = [line.get_ydata() for line in marks(figure.axes[0])]
    assert len(drawn) == 2
    for values, quantity in zip(drawn, ("free", "aligned"), strict=True):
        rows = exact[exact["quantity"] == quantity].set_index("language")
        np.testing.assert_allclose(values, 100 * rows.loc[["en", "qaa"], "value"])
    (slope,) = marks(figure.axes[2])
    rows = slopes[(slopes["measure"] == "absolute_error") & (slopes["model"] == "i")]
    expected = rows.set_index("language").loc[["en", "qaa"], "slope"]
    np.testing.assert_allclose(slope.get_ydata(), expected)
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["English", "qaa"]
    assert not marks(figure.axes[0], TUNING_COLOURS["untuned"])  # untuned models do not count


def test_tokenization_figure_of_base_models_alone(separated, slopes) -> None:
    alone = Cast({"b": "untuned"}, CAST.languages)
    figure = draw_tokenization(separated, slopes, alone)
    assert marks(figure.axes[0], TUNING_COLOURS["untuned"])


def test_extrapolation_figure_shows_words_and_dips(extended, dips) -> None:
    figure = draw_extrapolation(extended, dips, CAST)
    (line,) = marks(figure.axes[0])
    own = extended[(extended["model"] == "i") & (extended["language"] == "en")]
    np.testing.assert_allclose(line.get_ydata(), own["words"])
    np.testing.assert_allclose(line.get_xdata(), [3, 4, 5, 10, 12], atol=0.2)
    (dip,) = marks(figure.axes[4])
    rows = dips[(dips["model"] == "i") & (dips["measure"] == "exact")]
    rows = rows[rows["against"] == "neighbours"]
    np.testing.assert_allclose(dip.get_ydata(), 100 * rows["value"])
    assert [text.get_text() for text in figure.axes[5].texts] == ["nothing to compare"]


def test_every_sentence_on_tokenization_has_its_interval_and_n(separated) -> None:
    said = tokenization_sentences(separated)
    english = [sentence for sentence in said if sentence.startswith("i in en")]
    assert len(english) == 2  # the change, and the comparison with qaa
    for sentence in english:
        assert "[" in sentence and "n = " in sentence and sentence.endswith(".")
    assert "25.0 % of the lexicon's 200 words" in english[0]
    assert said[0] == english[0]  # the model whose answers were not cut comes first
    assert next(s for s in said if s.startswith("b in en")).count("25.0 % were cut") == 1


def test_a_poor_aligned_language_says_nothing_of_the_tokenizer(separated) -> None:
    """A quarter of the words are whole: no tokenization effect is told; with all words it is."""
    poor = [s for s in tokenization_sentences(separated) if s.startswith("i in en")]
    assert "says nothing about the tokenizer" in poor[0]
    assert "net of the constraint's effect" not in poor[1]
    rich = separated.copy()
    rich.loc[rich["measure"] == "coverage", "value"] = 1.0
    told = [s for s in tokenization_sentences(rich) if s.startswith("i in en")]
    assert "says nothing" not in told[0] and "net of the constraint's effect in qaa" in told[1]


def test_no_direction_is_named_that_the_interval_does_not_show(separated) -> None:
    """The same change with other limits: more exact, fewer exact, or nothing shown."""
    words = []
    for low, high in ((0.1, 0.3), (-0.3, -0.1), (-0.1, 0.3), (np.nan, np.nan)):
        table = separated.copy()
        here = (table["measure"] == "exact") & (table["quantity"] == "change")
        table.loc[here, ["value_low", "value_high"]] = low, high
        (first, _) = (s for s in tokenization_sentences(table) if s.startswith("i in en"))
        words.append(first.split("topics): ")[1].split(".")[0])
    assert words == [
        "more exact answers",
        "fewer exact answers",
        "no difference is shown",
        "no interval can be given",
    ]
    assert direction(0.1, 0.2, "up", "down") == "up"


def test_sentences_on_slopes_tell_what_was_left_out(slopes) -> None:
    said = tokens_per_word_sentences(slopes)
    assert len(said) == 2 * 2 * 3  # measures, models, two languages and both together
    assert all("n = " in s and ("[" in s or "no interval can be given" in s) for s in said)
    assert "without 12 that were cut" in next(s for s in said if s.startswith("b in en"))
    assert any(s.startswith("i in all languages") for s in said)
    few = slopes.assign(n_erring=3, slope_low=0.1, slope_high=0.2)
    assert all("too few errors to tell" in s for s in tokens_per_word_sentences(few))


def test_sentences_on_counting_name_all_conventions(probes) -> None:
    said = counting_sentences(as_read(compare_conventions(probes, "whitespace", FAST)))
    assert len(said) == 4
    for sentence in said:
        assert all(f"by {name}" in sentence for name in ("whitespace", "unicode", "elision"))
        assert "0.0 % [0.0, " in sentence and "words per answer relative to whitespace" in sentence


def test_sentences_on_extrapolation(extended) -> None:
    said = extrapolation_sentences(extended)
    assert len(said) == 4
    english = next(s for s in said if s.startswith("i in en"))
    assert "asked for 10 to 12 words" in english and "for 3 to 5 words" in english
    assert "At N = 12" in english and "lower bounds" not in english
    assert "lower bounds" in next(s for s in said if s.startswith("b in en"))


def test_a_dip_is_told_with_its_limits_and_a_trend_is_called_one(dips) -> None:
    table = dips[dips["model"] == "i"].copy()
    quiet = dip_sentences(table.assign(verdict="open"))
    assert len(quiet) == 1 and "no N is shown to be worse" in quiet[0] and "n = 48" in quiet[0]
    here = (table["measure"] == "exact") & (table["n"] == "3")
    table["verdict"] = "open"
    table.loc[here & (table["against"] == "neighbours"), "verdict"] = "worse"
    first, second = dip_sentences(table)
    assert first.startswith("i in en, exact answers: N = 3 is worse than N = 4 and 5 by ")
    assert "exploratory" in first and "it may be a trend" in first and "[" in first
    assert "exact answers" not in second
    table.loc[here, "verdict"] = "worse"
    assert "trend" not in dip_sentences(table)[0]


def test_cut_answers_hide_dips(dips) -> None:
    said = dip_sentences(dips[dips["model"] == "b"])
    assert said[-1] == "b in en: cut answers hide whether any N is worse in exact answers, |error|."
