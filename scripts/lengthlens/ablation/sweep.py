"""The plan of an ablation: every condition of one model in one language.

1. `none`;
2. the top k of every method and k, in the first mode, with `controls` random sets each that share
   no head with the chosen one (pool `disjoint`): for effect sizes;
3. the chosen sets of the tests (`hypotheses`), at the size k that claims.yaml fixes, with
   `test_controls` random sets of all there are (pool `all`): for p-values;
4. at the sizes `further_k`, with `further_controls` each: the same as 2 in the other modes, the
   bottom k, and *transfer*: the top k chosen in every other language;
5. sets by position: all heads of the last and of the first quarter of layers (they leave no heads
   of their layers to compare with, and stand beside each other), the final MLP with every other MLP
   as its controls, and in the first mode the last quarter's heads with the final MLP.

Answering the prompts is what costs. Chosen sets always answer, and so do `answered_controls` of
their disjoint controls, drawn by the seed (half as many beside the further sets); these are also
scored on neutral sentences. All other controls only get the end margin, which is teacher-forced.
Those of a test answer only where it is about the answers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from lengthlens.ablation.conditions import (
    Condition,
    count_matched,
    heads_between,
    matched_draws,
    ranked_heads,
)
from lengthlens.ablation.hypotheses import Hypothesis
from lengthlens.models.depth import EARLY, LATE
from lengthlens.models.layout import Layout
from lengthlens.settings.sections import AblationPlan


def plan_sweep(
    selections: Mapping[str, pd.DataFrame],
    layout: Layout,
    plan: AblationPlan,
    language: str,
    hypotheses: Sequence[Hypothesis] = (),
) -> list[Condition]:
    """All conditions of one model in one language, `none` first.

    Args:
        selections: language -> ranking of the components (`selection.select_components`).
        layout: of the model; sizes k beyond its heads are left out.
        plan: sizes, methods, modes and numbers of controls.
        language: whose prompts are answered.
        hypotheses: the tests of this model in this language; those of sets have conditions.
    """
    none = Condition(positions=plan.positions, source_language=language)
    top = replace(none, mode=plan.modes[0], chosen_by="top", pool="disjoint")
    conditions = [none]
    most = len(layout.heads)
    sizes, further = ([k for k in some if k <= most] for some in (plan.k, plan.further_k))
    for method, k in itertools.product(plan.methods, sizes):
        if heads := ranked_heads(selections[language], method, k):
            chosen = replace(top, heads=heads, method=method)
            conditions += _beside(chosen, layout, plan, plan.controls, plan.answered_controls)
    for chosen, answers in _tested(top, selections[language], hypotheses):
        controls = plan.test_controls
        conditions += _beside(chosen, layout, plan, controls, controls if answers else 0)
    answered = (plan.answered_controls + 1) // 2
    for chosen in _further(top, selections, plan, further):
        conditions += _beside(chosen, layout, plan, plan.further_controls, answered)
    conditions += _by_position(none, layout, plan.modes)
    return conditions


def _beside(
    chosen: Condition, layout: Layout, plan: AblationPlan, controls: int, answered: int
) -> list[Condition]:
    """A chosen set and its controls of its pool; `answered` of these answer the prompts."""
    heads, pool = chosen.heads, chosen.pool
    seed = f"{plan.seed}:{chosen.source_language}:{chosen.method}:{chosen.k}"
    seed += ":bottom" * (chosen.chosen_by == "bottom") + ":all" * (pool == "all")
    draws = matched_draws(heads, layout.blocks, controls, seed, pool)
    possible = float(count_matched(heads, layout.blocks, pool))
    return [
        replace(
            chosen,
            heads=removed,
            draw=draw,
            answered=draw <= answered,
            neutral=draw <= min(answered, plan.answered_controls),
            n_possible=possible,
        )
        for draw, removed in enumerate([heads, *draws])
    ]


def _tested(
    top: Condition, own: pd.DataFrame, hypotheses: Sequence[Hypothesis]
) -> Iterator[tuple[Condition, bool]]:
    """The sets of the tests, and whether their controls answer.

    Tests that differ in their measure alone share theirs.
    """
    together: dict[tuple[str, int], list[Hypothesis]] = {}
    for one in hypotheses:
        if one.test == "set" and one.k is not None:
            together.setdefault((one.method, one.k), []).append(one)
    for (method, k), tests in together.items():
        heads = ranked_heads(own, method, k)
        if len(heads) == k:
            names = ";".join(one.id for one in tests)
            chosen = replace(top, heads=heads, method=method, pool="all", test=names)
            yield chosen, any(one.needs_answers for one in tests)


def _further(
    top: Condition,
    selections: Mapping[str, pd.DataFrame],
    plan: AblationPlan,
    sizes: Sequence[int],
) -> Iterator[Condition]:
    own = top.source_language
    parts = [replace(top, mode=mode) for mode in plan.modes[1:]]
    parts += [replace(top, chosen_by="bottom")]
    parts += [replace(top, source_language=source) for source in selections if source != own]
    for method, k, part in itertools.product(plan.methods, sizes, parts):
        selection, bottom = selections[part.source_language], part.chosen_by == "bottom"
        if heads := ranked_heads(selection, method, k, bottom=bottom):
            yield replace(part, heads=heads, method=method)


def _by_position(none: Condition, layout: Layout, modes: Sequence[str]) -> Iterator[Condition]:
    late, early = (heads_between(*depth, layout) for depth in (LATE, EARLY))
    final, placed = layout.n_layers - 1, replace(none, chosen_by="position")
    sets = [
        replace(placed, heads=late, method="late_heads"),
        replace(placed, heads=early, method="early_heads"),
    ]
    mixed = []
    if final in layout.mlps:
        others = [layer for layer in layout.mlps if layer != final]
        alone = replace(placed, method="final_mlp", n_possible=float(len(others)), pool="disjoint")
        alike = enumerate([final, *others])
        sets += [replace(alone, mlps=(layer,), draw=draw) for draw, layer in alike]
        mixed = [replace(placed, heads=late, mlps=(final,), method="late_heads_and_final_mlp")]
    for mode in modes:
        for chosen in [*sets, *mixed] if mode == modes[0] else sets:
            yield replace(chosen, mode=mode)
