"""The causal tables in numbers, figures and words, from hand-made data."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from test_transfer import effects

from lengthlens.analysis.effects import chosen_sets
from lengthlens.analysis.repair import COLUMNS, TERMS, summarise_repair, term_values
from lengthlens.analysis.transfer import summarise_transfer
from lengthlens.figures import repair as repair_figure
from lengthlens.figures import transfer as transfer_figure
from lengthlens.figures.style import ON_DARK, ON_LIGHT, Cast
from lengthlens.reporting.causes import (
    confirmatory_sentences,
    repair_sentences,
    transfer_sentences,
)
from lengthlens.statistics import Bootstrap, difference_interval

CAST = Cast({"i": "tuned"}, {"en": "English", "lb": "Luxembourgish"})
TOPICS = np.repeat([f"t{i:02d}" for i in range(12)], 2)
FAST = Bootstrap(resamples=200)


def repair_file(language: str, steps_in: float, seed: int) -> xr.Dataset:
    """Top-1 head L0H1 with a control, and the final MLP; MLP L1M gives `steps_in` more."""
    rng = np.random.default_rng(seed)
    n, layers, heads = len(TOPICS), 2, 2
    removed_head = np.zeros((4, layers, heads), bool)
    removed_head[1, 0, 1] = removed_head[2, 0, 0] = True
    removed_mlp = np.zeros((4, layers), bool)
    removed_mlp[3, 1] = True
    head = 0.1 * rng.standard_normal((4, n, layers, heads))
    mlp = 0.1 * rng.standard_normal((4, n, layers))
    head[0], mlp[0] = 0, 0
    mlp[1, :, 1] -= steps_in
    scale = 0.05 * rng.standard_normal((4, n))
    scale[0] = 0
    direct = (head * removed_head[:, None]).sum((2, 3)) + (mlp * removed_mlp[:, None]).sum(2)
    drop = head.sum((2, 3)) + mlp.sum(2) + scale
    for values in (head, mlp, scale, direct, drop):
        values[:, 5] = np.nan  # a sample without a decision step
    dims = ("condition", "sample")
    return xr.Dataset(
        {
            "drop": (dims, drop),
            "direct": (dims, direct),
            "scale": (dims, scale),
            "share_head": ((*dims, "layer", "head"), head),
            "share_mlp": ((*dims, "layer"), mlp),
            "removed_head": (("condition", "layer", "head"), removed_head),
            "removed_mlp": (("condition", "layer"), removed_mlp),
        },
        coords={
            "source_language": ("condition", [language] * 4),
            "chosen_by": ("condition", ["", "top", "top", "position"]),
            "method": ("condition", ["none", "cwa", "cwa", "final_mlp"]),
            "mode": ("condition", ["none", "zero", "zero", "zero"]),
            "k": ("condition", [0, 1, 1, 1]),
            "control": ("condition", [False, False, True, False]),
            "pool": ("condition", ["", "disjoint", "disjoint", ""]),
            "kind": ("condition", ["none", "head", "head", "mlp"]),
            "components": ("condition", ["", "L0H1", "L0H0", "L1M"]),
            "topic": ("sample", TOPICS),
        },
    )


@pytest.fixture(scope="module")
def repairs() -> dict:
    return {("i", "en"): repair_file("en", 0.2, 0), ("i", "lb"): repair_file("lb", 1.0, 1)}


@pytest.fixture(scope="module")
def repair_table(repairs) -> pd.DataFrame:
    return summarise_repair(repairs, FAST)


def test_terms_add_up_to_the_drop(repairs, repair_table) -> None:
    for data in repairs.values():
        parts = sum(term_values(data, term) for term in ("direct", "heads", "mlps", "scale"))
        np.testing.assert_allclose(parts, term_values(data, "drop"), atol=1e-12)
    assert tuple(repair_table.columns) == COLUMNS
    assert set(repair_table["term"]) == set(TERMS)
    row = repair_table[(repair_table["method"] == "cwa") & (repair_table["minus"] == "")]
    row = row.set_index(["language", "term"]).loc[("lb", "final_mlp")]
    assert row["contribution"] == pytest.approx(-1.0, abs=0.1)
    assert row["contribution_low"] < row["contribution"] < row["contribution_high"]
    assert (row["n_samples"], row["n_topics"], row["n_controls"]) == (23, 12, 1)


def test_a_removed_mlp_does_not_step_in(repairs) -> None:
    data = repairs["i", "en"]
    assert np.isnan(term_values(data, "final_mlp")[3]).all()
    np.testing.assert_allclose(
        term_values(data, "mlps")[3, :5], data["share_mlp"].to_numpy()[3, :5, 0]
    )


def test_differences_between_languages_are_paired_by_topic(repairs, repair_table) -> None:
    differences = repair_table[repair_table["minus"] == "en"].set_index(["method", "term"])
    row = differences.loc[("cwa", "final_mlp")]
    sides = [term_values(repairs["i", code], "final_mlp")[1] for code in ("lb", "en")]
    ones = np.ones(len(TOPICS))
    plain = difference_interval((sides[0], ones), TOPICS, (sides[1], ones), TOPICS, FAST)
    assert row["contribution"] == pytest.approx(float(plain.estimate))
    assert row["contribution_low"] == pytest.approx(float(plain.low), abs=0.02)
    assert row["contribution_high"] < 0


def test_repair_sentences_tell_mediation_from_self_repair(repair_table) -> None:
    late = repair_table[repair_table["method"] == "cwa"].assign(method="late_heads")
    english, untuned, between, ranked = repair_sentences(
        pd.concat([late.assign(chosen_by="position"), repair_table])
    )
    assert english.startswith("i (en), without") and "changes by +0.167" in english
    assert untuned.startswith("i (lb), without") and "changes by +0.994" in untuned
    assert ", a gain, though it no longer reads from them: self-repair (" in untuned
    assert "in lb minus en: +0.8" in between and ", more for ending (" in between
    assert " logits [+0." in between
    assert (
        ranked.startswith("i, 1 sets") and "ending in lb than in en for 1, less far for 0" in ranked
    )
    unclear = late.assign(contribution_low=-1.0, contribution_high=1.0)
    assert [", no change shown (" in said for said in repair_sentences(unclear)[:2]] == [True] * 2
    assert ", no difference shown (" in repair_sentences(unclear)[2]
    less = repair_sentences(late.assign(contribution_low=0.5, contribution_high=1.0))
    assert (
        ", a loss, as it no longer reads from them: mediation (" in less[0]
        and "[−1.00, −0.500]" in less[0]
    )
    assert repair_sentences(repair_table.iloc[:0]) == []


def test_the_repair_figure_shows_every_term(repair_table) -> None:
    figure = repair_figure.draw_repair(repair_table, CAST)
    axes = figure.axes[1]
    heights = sorted(bar.get_height() for bar in axes.patches)
    own = repair_table[(repair_table["language"] == "lb") & (repair_table["minus"] == "")]
    np.testing.assert_allclose(heights, sorted(own[own["term"] != "final_mlp"]["contribution"]))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["top 1, CWA", "final MLP"]
    assert repair_figure.counts(repair_table).startswith("n = 23 to 23 answers")
    empty = repair_figure.draw_repair(repair_table.iloc[:0], CAST)
    assert [text.get_text() for text in empty.axes[0].texts] == ["no decision step"]


def test_the_transfer_figure_holds_the_matrix() -> None:
    table = summarise_transfer(effects(), ["lb"])
    figure = transfer_figure.draw_transfer(table, CAST)
    axes = figure.axes[0]
    cells = table[(table["measure"] == "end_margin") & (table["method"] == "cwa")]
    shown = np.asarray(axes.images[0].get_array())
    for row in cells.to_dict("records"):
        place = [("en", "lb").index(row[f"{side}_language"]) for side in ("source", "target")]
        assert shown[tuple(place)] == pytest.approx(row["effect"])
    bold = [text.get_fontweight() == "bold" for text in axes.texts]
    sure = (cells["effect_low"] > 0) | (cells["effect_high"] < 0)
    assert sum(bold) == int(sure.sum())
    assert to_hex(axes.texts[0].get_color()) in (ON_DARK, ON_LIGHT)
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels == ["English", "Luxembourgish\n(untuned)"]
    alone = transfer_figure.draw_transfer(table.assign(effect_low=np.nan, effect_high=np.nan), CAST)
    assert {text.get_text().split("\n")[1] for text in alone.axes[0].texts} == {"no interval"}
    nothing = transfer_figure.draw_transfer(table.iloc[:0], CAST)
    assert [text.get_text() for text in nothing.axes[0].texts] == ["no transfer measured"]
    assert "no transfer" in transfer_figure.counts(table.iloc[:0])


def test_transfer_sentences_follow_the_intervals() -> None:
    table = summarise_transfer(effects(), ["lb"])
    first, *others = transfer_sentences(table)
    across = table[
        (table["measure"] == "end_margin") & (table["source_language"] != table["target_language"])
    ]
    assert f"in {int((across['effect_high'] < 0).sum())} of {len(across)} combinations" in first
    [untuned] = others
    mine = across[across["untuned"]]
    carried = int((mine["effect_high"] < 0).sum())
    assert untuned.startswith("In lb, on which no model was tuned")
    assert f"tuned, {carried} of {len(mine)} sets" in untuned
    assert "by end contrast from en" in untuned and " logits [−" in untuned
    raised = table.assign(effect_low=0.5, effect_high=1.0)
    assert "in 0 of" in transfer_sentences(raised)[0]
    assert f"tuned, 0 of {len(mine)} sets" in transfer_sentences(raised)[1]
    assert transfer_sentences(table.iloc[:0]) == []


def test_sentences_on_tests_never_say_more_than_the_verdict() -> None:
    """Of each family a count, then every test; exploratory ones suggest and show nothing."""
    row = {
        "claim": "C.", "status": "confirmatory", "test": "set", "effect_name": "exact",
        "family": "confirmatory set tests of m", "method": "cwa",
        "value": -0.25, "value_low": -0.4, "value_high": -0.1, "over_norm": np.nan,
        "over_norm_low": np.nan, "over_norm_high": np.nan, "p": 0.01, "p_holm": 0.02,
        "n_samples": 84, "n_draws": 199, "n_components": 4, "k": 4, "reason": "",
    }  # fmt: skip
    score = row | {
        "status": "exploratory", "test": "permutation", "value": 0.61, "value_low": 0.44,
        "family": "exploratory permutation tests of m", "value_high": 0.74, "over_norm": 0.56,
        "over_norm_low": 0.31, "over_norm_high": 0.81, "n_components": 48, "k": np.nan,
    }  # fmt: skip
    table = pd.DataFrame(
        [
            row | {"verdict": "shown"},
            row | {"verdict": "not tested", "p": np.nan, "reason": "too few"},
            score | {"verdict": "suggested"},
            row | {"verdict": "no data", "family": "", "p": np.nan},
        ]
    )
    first, second, shown, untested, suggested = confirmatory_sentences(table)
    assert first == (
        "1 of 2 confirmatory set tests of m showed what was claimed; 1 could not be run."
    )
    assert second == "1 of 1 exploratory permutation tests of m suggested what was claimed."
    assert shown.startswith("Shown (confirmatory): “C.” (difference −25.0 points [−40.0, −10.0];")
    assert "84 answers, 199 other sets of 4 heads" in shown
    assert untested == "Not tested (confirmatory): “C.” (too few)."
    assert suggested.startswith("Suggested (exploratory): “C.” (rank correlation within layers +")
    assert "relative to the output norm +0.56 [+0.31, +0.81]" in suggested
    assert confirmatory_sentences(table.iloc[:0]) == []
    alone = confirmatory_sentences(table.iloc[2:])
    assert "No test of this run is confirmatory" in alone[1]


def test_hand_made_files_have_chosen_sets(repairs) -> None:
    assert [found.labels["method"] for found in chosen_sets(repairs["i", "en"])] == [
        "cwa",
        "final_mlp",
    ]
