"""Tuned and untuned on their own and on equal text: the parts, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from synthetic_attribution import make_attribution

from lengthlens.analysis.text_comparison import COLUMNS, GROUPS, QUANTITIES, compare_texts
from lengthlens.claims.kinds import Data
from lengthlens.claims.verdicts import evaluate_claims
from lengthlens.figures.same_text import counts, draw_same_text
from lengthlens.figures.style import Cast
from lengthlens.forced.texts import as_other
from lengthlens.reporting.forced_findings import say_same_text
from lengthlens.statistics import Bootstrap

PAIR = {"tuned": "i", "untuned": "b"}
BOOTSTRAP = Bootstrap(resamples=200)
KINDS = ("head", "mlp", "embed", "bias")


def on(text: int, plus: float, score: float, seed: int) -> xr.Dataset:
    """A model's attribution on a text: signs and lengths follow the text, scores the model."""
    shift = dict.fromkeys(KINDS, score)
    data = make_attribution(
        text, per_n=16, layers=4, heads=2, topics=16, plus_share=plus, shift=shift, noise=0.0
    ).dataset
    rng = np.random.default_rng(seed)
    for kind in ("head", "mlp"):
        noise = 0.1 * rng.standard_normal(data[f"cwa_{kind}_plus"].shape)
        data[f"cwa_{kind}_plus"] = data[f"cwa_{kind}_plus"] + noise
        data[f"cwa_{kind}"] = data[f"cwa_{kind}_plus"] + data[f"cwa_{kind}_minus"]
    cut = np.zeros(data.sizes["sample"], bool)
    return data.assign_coords(truncated=("sample", cut))


def files(tuned: float, untuned: float):
    """Scores a step of the two models; tuned's text keeps to N (+), untuned's does not (-)."""
    texts = {"tuned": (1, 1.0), "untuned": (2, 0.0)}
    scores = {"tuned": tuned, "untuned": untuned}
    made = {
        (model, text): on(*texts[text], scores[model], seed)
        for seed, (model, text) in enumerate((m, t) for m in texts for t in texts)
    }
    own = {model: made[model, model] for model in texts}
    other = {"tuned": "untuned", "untuned": "tuned"}
    forced = {model: as_other(made[model, other[model]]) for model in texts}
    return own, forced


def compared(tuned: float, untuned: float):
    own, forced = files(tuned, untuned)
    table = compare_texts(
        [PAIR],
        {(PAIR[v], "en"): data for v, data in own.items()},
        {(PAIR[v], "en"): data for v, data in forced.items()},
        BOOTSTRAP,
    )
    return table, table.set_index(["group", "quantity"])["value"]


def test_models_that_score_alike_differ_by_behaviour_alone() -> None:
    """Equal scores d: own texts +d and -d a step, so D = 2 d, and nothing is left on equal text."""
    table, value = compared(1.0, 1.0)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(GROUPS) * len(QUANTITIES)
    for group, size in {"late heads": 2, "all heads": 8, "final MLP": 1, "all MLPs": 4}.items():
        assert value[group, "observed"] == pytest.approx(2 * size, rel=0.1)
        for quantity in ("on_tuned", "on_untuned", "models"):
            assert abs(value[group, quantity]) < 0.1 * size
        assert value[group, "share"] == pytest.approx(1, abs=0.05)
        assert value[group, "shifted"] == pytest.approx(value[group, "observed"], rel=0.1)


def test_the_parts_add_up_to_the_observed_difference() -> None:
    """I = 3 d, B = d: D = 3 + 1 = 4, on tuned's text 2, on untuned's -2, so behaviour is all."""
    table, value = compared(3.0, 1.0)
    for group in GROUPS:
        parts = value[group, "models"] + value[group, "behaviour"]
        assert parts == pytest.approx(value[group, "observed"], abs=1e-9)
        both = (value[group, "on_tuned"] + value[group, "on_untuned"]) / 2
        assert both == pytest.approx(value[group, "models"], abs=1e-9)
        share = 1 - value[group, "models"] / value[group, "observed"]
        assert share == pytest.approx(value[group, "share"], abs=1e-9)
    assert value["final MLP", "on_tuned"] == pytest.approx(2, rel=0.1)
    assert value["final MLP", "on_untuned"] == pytest.approx(-2, rel=0.1)
    rows = table.set_index(["group", "quantity"])
    for place in rows.index:
        row = rows.loc[place]
        assert row["value_low"] < row["value"] < row["value_high"], place


def test_both_ends_of_the_share_and_the_interaction() -> None:
    """I = 3 d, B = d: D = 4. On tuned's text D_I = 2: share 1/2; on untuned's D_B = -2: 3/2.

    Their mean is 1, as if behaviour were all of it; the interaction D_I - D_B = 4 says otherwise.
    """
    table, value = compared(3.0, 1.0)
    rows = table.set_index(["group", "quantity"])
    for group, size in {"late heads": 2, "all heads": 8, "final MLP": 1, "all MLPs": 4}.items():
        assert value[group, "share_on_tuned"] == pytest.approx(0.5, abs=0.05)
        assert value[group, "share_on_untuned"] == pytest.approx(1.5, abs=0.05)
        ends = value[group, "share_on_tuned"] + value[group, "share_on_untuned"]
        assert ends / 2 == pytest.approx(value[group, "share"], abs=1e-9)
        both = value[group, "on_tuned"] - value[group, "on_untuned"]
        assert both == pytest.approx(value[group, "interaction"], abs=1e-9)
        assert value[group, "interaction"] == pytest.approx(4 * size, rel=0.1)
        for text in ("tuned", "untuned"):
            share = 1 - value[group, f"on_{text}"] / value[group, "observed"]
            assert value[group, f"share_on_{text}"] == pytest.approx(share, abs=1e-9)
            row = rows.loc[(group, f"share_on_{text}")]
            assert row["value_low"] < row["value"] < row["value_high"]


def test_a_share_of_nothing_is_left_out() -> None:
    """I = d, B = -d: own texts give +d and +d, so the observed difference may be zero."""
    table, value = compared(1.0, -1.0)
    missing = [group for group in GROUPS if np.isnan(value[group, "share"])]
    assert missing
    sentences = say_same_text(table)
    assert len(sentences) == len(GROUPS)
    place = list(GROUPS).index(missing[0])
    assert "no difference is shown, so there is nothing to explain" in sentences[place]


def test_sentences_have_interval_and_n() -> None:
    table, _ = compared(1.0, 1.0)
    sentence = say_same_text(table)[0]
    assert sentence.startswith("i minus b (en): CWA of late heads differs by +4.")
    assert " (96 answers); the texts alone explain" in sentence
    assert "% [" in sentence and "on i's text and" in sentence and "on b's text (mean " in sentence
    assert sentence.count("[") == 7
    assert "no interaction of model and text shown: " in sentence
    assert "(interaction of model and text: +8." in say_same_text(compared(3.0, 1.0)[0])[0]


def test_pairs_without_an_exchange_are_left_out() -> None:
    own, _ = files(1.0, 1.0)
    named = {(PAIR[v], "en"): data for v, data in own.items()}
    empty = dict.fromkeys(named, xr.Dataset())
    assert compare_texts([PAIR], named, empty, BOOTSTRAP).empty
    lone = compare_texts([{"tuned": "i"}], named, empty, BOOTSTRAP)
    assert lone.empty and "needs an untuned and a tuned model" in counts(lone)
    figure = draw_same_text(lone, Cast({"i": "tuned"}, {"en": "English"}))
    assert [text.get_text() for text in figure.axes[0].texts] == ["texts not exchanged"]


def test_the_figure_shows_the_table() -> None:
    table, value = compared(3.0, 1.0)
    cast = Cast({"b": "untuned", "i": "tuned"}, {"en": "English", "it": "Italian"})
    figure = draw_same_text(table, cast)
    panels = np.array(figure.axes).reshape(len(GROUPS), 2)
    for (axes, empty), group in zip(panels, GROUPS, strict=True):
        shown = [line.get_ydata()[0] for line in axes.lines if len(line.get_ydata()) == 1]
        wanted = ("observed", "on_tuned", "on_untuned", "interaction", "shifted")
        assert shown == [value[group, quantity] for quantity in wanted]
        shares = [value[group, f"share_on_{text}"] for text in ("tuned", "untuned")]
        assert [text.get_text() for text in axes.texts] == [f"{100 * s:.0f} %" for s in shares]
        assert empty.texts[0].get_text() == "texts not exchanged"
    assert counts(table).startswith("96 answers of both models")


def verdict_of(statistic: dict, own, forced, null: float = 0.0):
    claim = {
        "id": "c",
        "claim": "So.",
        "origin": "ours",
        "statistic": statistic | {"tuning": "tuned", "language": "en"},
        "direction": "above",
        "null_value": null,
    }
    data = [{(v, "en"): part for v, part in parts.items()} for parts in (own, forced)]
    table = evaluate_claims([claim], Data(PAIR, data[0], {}, forced=data[1]), BOOTSTRAP)
    return table.iloc[0]


def test_claims_about_equal_text_use_the_forced_answers() -> None:
    statistic = {
        "kind": "cwa",
        "component": "mlp",
        "layers": "final",
        "form": "step",
        "text": "untuned",
        "minus": {"tuning": "untuned"},
    }
    own, forced = files(3.0, 1.0)
    row = verdict_of(statistic, own, forced)
    assert row["value"] == pytest.approx(compared(3.0, 1.0)[1]["final MLP", "on_untuned"], abs=1e-9)
    assert row["verdict"] == "not supported" and "on untuned's text" in row["statistic"]
    missing = verdict_of(statistic, own, {})
    assert missing["verdict"] == "no data"
    assert missing["reason"] == "the answers of untuned were not forced on i"


def test_claims_about_behaviours_share() -> None:
    statistic = {
        "kind": "behaviour_share",
        "component": "head",
        "layers": [0.75, 1],
        "minus": {"tuning": "untuned"},
    }
    row = verdict_of(statistic, *files(1.0, 1.0), null=0.5)
    assert row["value"] == pytest.approx(1, abs=0.05) and row["verdict"] == "supported"
    assert row["model"] == "i - b" and row["n"] == 96
    table, value = compared(1.0, 1.0)
    assert row["value"] == pytest.approx(value["late heads", "share"], abs=1e-9)
    nothing = verdict_of(statistic, *files(1.0, -1.0), null=0.5)
    assert nothing["verdict"] == "no data" and "nothing to explain" in nothing["reason"]
