"""The plan of a sweep: what is removed, beside which controls, and what is measured of it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rankings import HEADS, LAYERS, ranking

from lengthlens.ablation.conditions import Condition, count_matched, ranked_heads
from lengthlens.ablation.hypotheses import Hypothesis
from lengthlens.ablation.sweep import plan_sweep
from lengthlens.models.layout import Layout
from lengthlens.settings.sections import AblationPlan

ROOT = Path(__file__).parents[2]
LAYOUT = Layout.even(LAYERS, HEADS)
PLAN = AblationPlan(
    k=(1, 2, 4, 64),
    further_k=(2,),
    methods=("cwa", "end_contrast"),
    modes=("zero", "mean", "resample"),
    positions="generated",
    controls=120,
    test_controls=110,
    answered_controls=3,
    further_controls=5,
    seed=0,
)
SELECTIONS = {"en": ranking(0), "it": ranking(1), "lb": ranking(2)}
HYPOTHESIS = Hypothesis(
    "h", "H.", "set", "exploratory", "tuned", "en", "cwa", "end_margin", k=3, direction="less"
)


def sweep(plan: AblationPlan = PLAN, hypotheses=(), selections=SELECTIONS) -> list[Condition]:
    return plan_sweep(selections, LAYOUT, plan, "en", hypotheses)


def groups_of(conditions: list[Condition]) -> dict[tuple, list[Condition]]:
    """Chosen sets (draw 0) with the controls that follow them."""
    found: dict[tuple, list[Condition]] = {}
    for c in conditions[1:]:
        size = c.k if c.draw == 0 else None
        key = (c.chosen_by, c.method, c.mode, c.source_language)
        if size is not None:
            found[(*key, size)] = []
            last = found[(*key, size)]
        last.append(c)
    return found


def test_the_top_of_every_method_has_all_its_controls() -> None:
    """none, then for every method and k the top k; k = 64 is more than the 32 heads."""
    conditions = sweep()
    assert conditions[0] == Condition(source_language="en")
    groups = groups_of(conditions)
    top = [key for key in groups if key[0] == "top" and key[2:4] == ("zero", "en")]
    assert [(key[1], key[4]) for key in top] == list(itertools.product(PLAN.methods, (1, 2, 4)))
    for key in top:
        chosen, *controls = groups[key]
        assert chosen.heads == ranked_heads(SELECTIONS["en"], key[1], key[4])
        possible = count_matched(chosen.heads, LAYOUT.blocks, "disjoint")
        assert len(controls) == min(120, possible)
        assert {c.n_possible for c in groups[key]} == {possible}
        assert [c.draw for c in groups[key]] == list(range(len(groups[key])))
        assert [c.answered for c in groups[key]] == [c.draw <= 3 for c in groups[key]]
        assert [c.neutral for c in groups[key]] == [c.draw <= 3 for c in groups[key]]


def test_further_sizes_have_modes_bottom_and_transfer() -> None:
    groups = groups_of(sweep())
    further = {key[:4] for key in groups if key[0] in ("top", "bottom")}
    for method in PLAN.methods:
        own = {("top", method, mode, "en") for mode in PLAN.modes}
        assert further >= own | {("bottom", method, "zero", "en")}
        assert further >= {("top", method, "zero", source) for source in ("it", "lb")}
    for key, (chosen, *controls) in groups.items():
        if key[0] == "bottom":
            assert chosen.heads == ranked_heads(SELECTIONS["en"], key[1], 2, bottom=True)
        if key[0] == "top" and key[3] != "en":
            assert chosen.heads == ranked_heads(SELECTIONS[key[3]], key[1], 2)
        if key[0] == "bottom" or key[3] != "en" or (key[0] == "top" and key[2] != "zero"):
            assert len(controls) == min(5, chosen.n_possible)


def test_sets_by_position() -> None:
    """Quarters without controls; the final MLP beside every other MLP; both together once."""
    groups = groups_of(sweep())
    for mode in PLAN.modes:
        late, early = (
            groups["position", name, mode, "en", HEADS] for name in ("late_heads", "early_heads")
        )
        assert [c.heads for c in late] == [tuple((3, head) for head in range(HEADS))]
        assert [c.heads for c in early] == [tuple((0, head) for head in range(HEADS))]
        final = groups["position", "final_mlp", mode, "en", 1]
        assert [c.mlps for c in final] == [(3,), (0,), (1,), (2,)]
        assert {c.n_possible for c in final} == {3}
        assert all(c.answered and c.neutral for c in final)
    both = groups["position", "late_heads_and_final_mlp", "zero", "en", HEADS + 1]
    assert [c.kind for c in both] == ["mixed"]
    assert len([key for key in groups if key[1] == "late_heads_and_final_mlp"]) == 1


def test_a_set_test_has_a_pool_of_its_own() -> None:
    """Controls from all sets of the same layers, at the k of claims.yaml, beside disjoint ones."""
    conditions = sweep(hypotheses=[HYPOTHESIS])
    chosen, *controls = [c for c in conditions if c.test]
    assert {c.test for c in controls} == {"h"} and {c.pool for c in conditions if c.test} == {"all"}
    assert {c.pool for c in conditions if c.chosen_by in ("top", "bottom") and not c.test} == {
        "disjoint"
    }
    assert chosen.heads == ranked_heads(SELECTIONS["en"], "cwa", 3)
    possible = count_matched(chosen.heads, LAYOUT.blocks, "all")
    assert {c.n_possible for c in [chosen, *controls]} == {possible}
    assert len({c.heads for c in controls}) == len(controls) == min(110, possible)
    assert any(set(c.heads) & set(chosen.heads) for c in controls)  # overlaps are allowed
    assert not any(c.heads == chosen.heads for c in controls)
    assert not [c for c in sweep() if c.test or c.pool == "all"]


def test_controls_of_a_test_answer_only_where_it_is_about_answers() -> None:
    """The end margin is teacher-forced; a share of exact answers needs answers."""
    for effect, answers in (("end_margin", False), ("exact", True)):
        one = replace(HYPOTHESIS, effect=effect)
        chosen, *controls = [c for c in sweep(hypotheses=[one]) if c.test]
        assert chosen.answered and chosen.neutral
        assert {c.answered for c in controls} == {answers}
        assert [c.neutral for c in controls] == [answers and c.draw <= 3 for c in controls]


def test_tests_that_differ_in_their_measure_alone_share_their_sets() -> None:
    """Each keeps its id; the sets are planned once and answer, for one of the tests needs it."""
    both = [HYPOTHESIS, replace(HYPOTHESIS, id="exact", effect="exact")]
    mine = [c for c in sweep(hypotheses=both) if c.test]
    assert {c.test for c in mine} == {"h;exact"}
    assert len(mine) == len([c for c in sweep(hypotheses=both[:1]) if c.test])
    assert all(c.answered for c in mine)


def test_sets_beyond_the_models_heads_have_no_conditions() -> None:
    assert not [c for c in sweep(hypotheses=[replace(HYPOTHESIS, k=33)]) if c.test]
    assert not [c for c in sweep(hypotheses=[replace(HYPOTHESIS, method="nothing")]) if c.test]
    assert not [c for c in sweep(hypotheses=[replace(HYPOTHESIS, test="permutation")]) if c.test]


def test_methods_without_scores_are_left_out() -> None:
    table = ranking()
    table.loc[table["method"] == "end_contrast", ["score", "rank"]] = pd.NA
    conditions = sweep(selections={"en": table})
    assert {c.method for c in conditions if c.chosen_by in ("top", "bottom")} == {"cwa"}


@pytest.mark.parametrize("seed", [0, 1])
def test_controls_depend_on_the_seed_alone(seed: int) -> None:
    plan = PLAN.model_copy(update={"seed": seed})
    assert sweep(plan) == sweep(plan)
    assert (sweep(plan) == sweep()) == (seed == 0)


def test_one_head_has_all_that_larger_sets_have() -> None:
    """k = 1 by default: the other modes, the bottom head, and the heads of other languages."""
    values = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["ablation"]
    plan = AblationPlan(**{name: values[name] for name in AblationPlan.model_fields})
    groups = groups_of(sweep(plan))
    for method in plan.methods[:2]:  # of which there are rankings
        for mode in ("zero", "mean", "resample"):
            chosen, *controls = groups["top", method, mode, "en", 1]
            assert chosen.heads == ranked_heads(SELECTIONS["en"], method, 1)
            assert len(controls) == HEADS - 1  # all other heads of its layer
        assert ("bottom", method, "zero", "en", 1) in groups
        assert {("top", method, "zero", source, 1) for source in ("it", "lb")} <= set(groups)
