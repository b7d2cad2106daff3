"""What the report says and draws of the count in the stream, and of the margin by depth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lengthlens.analysis.count import NEURONS, PROBES, STEERING
from lengthlens.analysis.margin_by_depth import COLUMNS
from lengthlens.figures import count, depth
from lengthlens.figures.style import Cast
from lengthlens.reporting.answers import Finding
from lengthlens.reporting.count import say_depth, say_neurons, say_unprobed, say_unsteered
from lengthlens.reporting.story import words_left

WHO = {"model": "t", "language": "en", "n_samples": 31, "n_topics": 19, "level": 0.95, "absent": ""}
CAST = Cast({"u": "untuned", "t": "tuned"}, {"en": "English", "it": "Italian"})


def probes(values: list[float]) -> pd.DataFrame:
    rows = [
        WHO | {
            "layer": layer, "depth": layer / 2, "beyond": value, "beyond_low": value - 0.04,
            "beyond_high": value + 0.04, "control": 0.0, "control_low": -0.02,
            "control_high": 0.01, "covariates": 0.4, "select": value, "n_draws": 5,
        }
        for layer, value in enumerate(values)
    ]  # fmt: skip
    rows.append({"model": "t", "language": "it", "absent": "one number only"})
    return pd.DataFrame(rows, columns=list(PROBES))


def steering() -> pd.DataFrame:
    rows = [
        WHO | {
            "layer": 1, "delta": delta, "change": 0.1 * delta, "change_low": 0.1 * delta - 0.2,
            "change_high": 0.1 * delta + 0.2, "null": 0.0, "null_low": -0.03, "null_high": 0.06,
            "slope": 0.1, "slope_low": 0.03, "slope_high": 0.17, "null_slope_low": -0.01,
            "null_slope_high": 0.02, "n_draws": 5,
        }
        for delta in (-2.0, 2.0)
    ]  # fmt: skip
    rows.append({"model": "t", "language": "it", "absent": "count.steered does not name it"})
    return pd.DataFrame(rows, columns=list(STEERING))


def neurons(shares: list[float]) -> pd.DataFrame:
    rows = [
        WHO | {
            "layer": 1, "k": k, "n_neurons": 64, "share": share, "share_low": share - 0.05,
            "share_high": share + 0.05, "random": 0.02, "n_draws": 5 * (k < 64),
        }
        for k, share in zip((1, 4, 64), shares, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(NEURONS))


def margins() -> pd.DataFrame:
    rows = [
        WHO | {
            "model": model, "tuning": CAST.tunings[model], "text": text, "place": place,
            "margin": 2.0 * place, "margin_low": 2.0 * place - 1, "margin_high": 2.0 * place + 1,
        }
        for model, text in (("u", "u"), ("t", "t"), ("u", "t"))
        for place in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def told(table: pd.DataFrame, steered: pd.DataFrame | None = None) -> Finding | None:
    steered = steering().iloc[:0] if steered is None else steered
    return words_left({"count_probes": table, "steering": steered}, CAST)


def test_probes_are_told_from_the_first_layer_that_shows_words_left() -> None:
    table = probes([0.0, 0.3, 0.6])
    [absent] = say_unprobed(table)
    finding = told(table)
    [found] = finding.evidence
    assert (finding.answer, finding.css) == ("yes", "yes") and found.startswith("English: a probe")
    assert "decodes words left from the stream first entering layer 1 and best before" in found
    assert "and best before the final norm: 60.0 %" in found
    assert "60.0 % [56.0, 64.0]" in found and "at most 1.0 % (31 answers" in found
    assert absent == "t (it): words left were not probed: one number only."
    nothing = told(probes([0.0, 0.02, 0.06]))
    assert nothing.answer == "not shown"
    assert "in no layer is a probe shown to decode more than 5.0 %" in nothing.evidence[0]
    assert told(table[table["absent"] != ""]) is told(table.iloc[:0]) is None


def test_the_best_layer_is_that_of_the_select_topics() -> None:
    """Picked by the values that are told, the largest of many would be too large."""
    table = probes([0.0, 0.3, 0.6])
    table.loc[:2, "select"] = [0.0, 0.5, 0.4]
    [found] = told(table).evidence
    assert "best entering layer 1: 30.0 % [26.0, 34.0]" in found


def test_steering_is_told_with_its_null() -> None:
    finding = told(probes([0.0, 0.3, 0.6]), steering())
    [found] = finding.evidence
    assert "entering layer 1 along words left changes the answer by +0.10 words" in found
    assert "+0.10 words [+0.03, +0.17] per word of shift" in found
    assert "by \u22120.01 to +0.02 (31 prompts, 5 directions)" in found
    assert finding.answer == "yes; steering by it is shown to lengthen answers"
    [absent] = say_unsteered(steering())
    assert "count.steered does not name it" in absent


def test_in_how_many_languages_steering_was_tested_is_told() -> None:
    both = probes([0.3]).iloc[:1]
    both = pd.concat([both, both.assign(language="it")])
    finding = told(both, steering())
    assert finding.answer == (
        "yes in both languages; steering by it is shown to lengthen answers in 1 of 1 tested"
    )


def test_steering_within_its_null_lengthens_nothing() -> None:
    within = steering().assign(null_slope_high=0.05)
    weak = steering().assign(slope_low=-0.01, null_slope_high=-0.02)
    for table in (within, weak):
        finding = told(probes([0.0, 0.3, 0.6]), table)
        assert finding.answer == "yes; steering by it is not shown to lengthen answers"


def test_neurons_are_told_by_how_few_carry_half() -> None:
    (found,) = say_neurons(neurons([0.1, 0.5, 0.8]))
    assert "together carry 80.0 % [75.0, 85.0]" in found
    assert "the top 4 of 64 carry 50.0 % [45.0, 55.0], as many random ones 2.0 %" in found
    (nothing,) = say_neurons(neurons([np.nan] * 3))
    assert "is not shown to carry any of the effect of N" in nothing
    (all_needed,) = say_neurons(neurons([0.1, 0.2, 0.8]))
    assert "the top 64 of 64" in all_needed


def test_the_last_layer_is_told_on_own_answers() -> None:
    untuned, tuned = say_depth(margins())
    assert untuned.startswith("u (en): at its own decisions the end margin is +8.00 [+7.00, +9.00]")
    assert "without the last layer's contribution, +4.00 [+3.00, +5.00] (31 answers" in tuned


def test_figures_show_what_the_tables_hold() -> None:
    figure = count.draw_count(probes([0.0, 0.3, 0.6]), steering(), CAST)
    above, empty_above, below, empty_below = figure.axes
    drawn = [line.get_ydata().tolist() for line in above.lines if len(line.get_xdata()) == 3]
    assert [0.0, 0.3, 0.6] in drawn
    assert any(np.allclose(line.get_ydata(), [-0.2, 0.2]) for line in below.lines)
    assert [axes.texts[0].get_text() for axes in (empty_above, empty_below)] == [
        "not probed", "not steered",
    ]  # fmt: skip
    assert count.counts(probes([0.0])).startswith("31 evaluate answers of at least 19 topics")
    figure = depth.draw_depth(margins(), CAST)
    own, _, shared, _ = figure.axes
    assert "own answers" in own.get_title("left") and "answers of t" in shared.get_title("left")
    assert sum(len(line.get_xdata()) == 5 for line in own.lines) == 2
    assert depth.counts(margins()) == "n = 31 decisions of at least 19 topics"


def test_empty_tables_give_empty_figures() -> None:
    figure = count.draw_count(probes([]).iloc[:0], steering().iloc[:0], CAST)
    assert all(axes.texts for axes in figure.axes)
    assert all(axes.texts for axes in depth.draw_depth(margins().iloc[:0], CAST).axes)
    assert count.counts(probes([])) == "no answer was probed"
    assert depth.counts(margins().iloc[:0]) == "no answer reaches a decision step"
