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
from dataclasses import dataclass

import pandas as pd

from lengthlens.ablation.conditions import (
    Condition,
    Head,
    count_matched,
    heads_between,
    matched_draws,
    ranked_heads,
)
from lengthlens.ablation.hypotheses import Hypothesis
from lengthlens.models.depth import EARLY, LATE
from lengthlens.models.layout import Layout
from lengthlens.settings.sections import AblationPlan


@dataclass(frozen=True)
class _Choice:
    """A chosen set: its heads, how they are removed, and what chose them."""

    heads: tuple[Head, ...]
    mode: str
    chosen_by: str
    method: str
    language: str

    def seed(self, pool: str) -> str:
        """What its controls are drawn by, beside the plan's seed."""
        parts = [self.language, self.method, str(len(self.heads))]
        parts += ["bottom"] * (self.chosen_by == "bottom") + ["all"] * (pool == "all")
        return ":".join(parts)


@dataclass(frozen=True)
class _Sweep:
    """What the parts of a sweep share."""

    plan: AblationPlan
    layout: Layout

    def beside(
        self, chosen: _Choice, pool: str, controls: int, answered: int, test: str = ""
    ) -> list[Condition]:
        """A chosen set and its controls of a pool; `answered` of these answer the prompts."""
        plan, heads = self.plan, chosen.heads
        seed = f"{plan.seed}:{chosen.seed(pool)}"
        blocks = self.layout.blocks
        draws = matched_draws(heads, blocks, controls, seed, pool)
        possible = float(count_matched(heads, blocks, pool))
        return [
            Condition(
                removed,
                chosen.mode,
                plan.positions,
                chosen.method,
                chosen.language,
                draw=draw,
                chosen_by=chosen.chosen_by,
                answered=draw <= answered,
                neutral=draw <= min(answered, plan.answered_controls),
                n_possible=possible,
                pool=pool,
                test=test,
            )
            for draw, removed in enumerate([heads, *draws])
        ]


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
    sweep = _Sweep(plan, layout)
    most = len(layout.heads)
    own = selections[language]
    conditions = [Condition(positions=plan.positions, source_language=language)]
    for method, k in itertools.product(plan.methods, (k for k in plan.k if k <= most)):
        if heads := ranked_heads(own, method, k):
            chosen = _Choice(heads, plan.modes[0], "top", method, language)
            conditions += sweep.beside(chosen, "disjoint", plan.controls, plan.answered_controls)
    conditions += _tested(sweep, own, hypotheses, language)
    conditions += _further(sweep, selections, language, [k for k in plan.further_k if k <= most])
    conditions += _by_position(plan, layout, language)
    return conditions


def _tested(
    sweep: _Sweep, own: pd.DataFrame, hypotheses: Sequence[Hypothesis], language: str
) -> Iterator[Condition]:
    """The sets of the tests; tests that differ in their measure alone share theirs."""
    together: dict[tuple[str, int], list[Hypothesis]] = {}
    for one in hypotheses:
        if one.test == "set" and one.k is not None:
            together.setdefault((one.method, one.k), []).append(one)
    for (method, k), tests in together.items():
        heads = ranked_heads(own, method, k)
        if len(heads) < k:
            continue
        controls = sweep.plan.test_controls
        answered = controls if any(one.needs_answers for one in tests) else 0
        chosen = _Choice(heads, sweep.plan.modes[0], "top", method, language)
        names = ";".join(one.id for one in tests)
        yield from sweep.beside(chosen, "all", controls, answered, names)


def _further(
    sweep: _Sweep, selections: Mapping[str, pd.DataFrame], language: str, sizes: Sequence[int]
) -> Iterator[Condition]:
    plan, first = sweep.plan, sweep.plan.modes[0]
    answered = (plan.answered_controls + 1) // 2
    for method, k in itertools.product(plan.methods, sizes):
        parts = [(language, "top", mode) for mode in plan.modes[1:]]
        parts += [(language, "bottom", first)]
        parts += [(source, "top", first) for source in selections if source != language]
        for source, chosen_by, mode in parts:
            heads = ranked_heads(selections[source], method, k, bottom=chosen_by == "bottom")
            if heads:
                chosen = _Choice(heads, mode, chosen_by, method, source)
                yield from sweep.beside(chosen, "disjoint", plan.further_controls, answered)


def _by_position(plan: AblationPlan, layout: Layout, language: str) -> Iterator[Condition]:
    late, early = (heads_between(*depth, layout) for depth in (LATE, EARLY))
    final = layout.n_layers - 1
    sets: list[tuple[str, tuple[Head, ...], tuple[int, ...], int]] = [
        ("late_heads", late, (), 0),
        ("early_heads", early, (), 0),
    ]
    others = [layer for layer in layout.mlps if layer != final]
    mixed = []
    if final in layout.mlps:
        sets.append(("final_mlp", (), (final,), 0))
        sets += [("final_mlp", (), (layer,), draw) for draw, layer in enumerate(others, start=1)]
        mixed = [("late_heads_and_final_mlp", late, (final,), 0)]
    for mode in plan.modes:
        for name, heads, mlps, draw in [*sets, *mixed] if mode == plan.modes[0] else sets:
            yield Condition(
                heads,
                mode,
                plan.positions,
                name,
                language,
                draw=draw,
                mlps=mlps,
                chosen_by="position",
                n_possible=float(len(others)) if name == "final_mlp" else 0.0,
                pool="disjoint" if name == "final_mlp" else "",
            )
