"""The plan of an ablation: every condition of one model in one language.

1. `none`;
2. the top k of every method and k, in the first mode, with `controls` random sets each;
3. at the sizes `further_k`, with `further_controls` each: the same in the other modes, the bottom
   k, and *transfer*: the top k chosen in every other language;
4. sets by position: all heads of the last and of the first quarter of layers (they leave no heads
   of their layers to compare with, and stand beside each other), the final MLP with every other MLP
   as its controls, and in the first mode the last quarter's heads with the final MLP.

Answering the prompts is what costs. Chosen sets always answer, and so do their first
`answered_controls` controls (half as many beside the further sets), which together are also scored
on neutral sentences; the other controls only get the end margin, which is teacher-forced. All
controls of a confirmatory test answer.
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
from lengthlens.statistics.permutation import FEWEST_DRAWS

QUARTER = 0.25


@dataclass(frozen=True)
class Plan:
    """The `ablation` section as far as it plans conditions (config.yaml explains the keys)."""

    k: Sequence[int]
    further_k: Sequence[int]
    methods: Sequence[str]
    modes: Sequence[str]
    positions: str
    controls: int
    answered_controls: int
    further_controls: int
    seed: int


@dataclass(frozen=True)
class _Sweep:
    """What the parts of a sweep share."""

    plan: Plan
    n_heads: int

    def matched(
        self,
        chosen: tuple[Head, ...],
        mode: str,
        controls: int,
        chosen_by: str,
        method: str,
        language: str,
        answered: int,
        test: str = "",
    ) -> list[Condition]:
        """A chosen set of heads and its layer-matched controls, so many of which are answered."""
        plan = self.plan
        seed = f"{plan.seed}:{language}:{method}:{len(chosen)}"
        if chosen_by == "bottom":
            seed += ":bottom"
        draws = matched_draws(chosen, self.n_heads, controls, seed)
        possible = float(count_matched(chosen, self.n_heads))
        return [
            Condition(
                heads,
                mode,
                plan.positions,
                method,
                language,
                draw,
                chosen_by=chosen_by,
                answered=draw <= answered or bool(test),
                neutral=draw <= answered,
                n_possible=possible,
                test=test,
            )
            for draw, heads in enumerate([chosen, *draws])
        ]


def plan_sweep(
    selections: Mapping[str, pd.DataFrame],
    n_layers: int,
    n_heads: int,
    plan: Plan,
    language: str,
    hypotheses: Sequence[Hypothesis] = (),
) -> list[Condition]:
    """All conditions of one model in one language, `none` first.

    Args:
        selections: language -> ranking of the components (`selection.select_components`).
        n_layers, n_heads: of the model; sizes k beyond its heads are left out.
        plan: sizes, methods, modes and numbers of controls.
        language: whose prompts are answered.
        hypotheses: confirmatory tests of this model's variant and language.
    """
    sweep = _Sweep(plan, n_heads)
    most = n_layers * n_heads
    own = selections[language]
    sizes = range(1, min(max(plan.k), most) + 1)
    tested = {(h.method, size_to_test(own, h, n_heads, sizes)): h.id for h in hypotheses}
    conditions = [Condition(positions=plan.positions, source_language=language)]
    shown = {(method, k) for method in plan.methods for k in plan.k if k <= most}
    for method, k in sorted(shown | {(m, k) for m, k in tested if m in plan.methods and k}):
        test = tested.get((method, k), "")
        if chosen := ranked_heads(own, method, k):
            conditions += sweep.matched(
                chosen,
                plan.modes[0],
                plan.controls,
                "top",
                method,
                language,
                plan.answered_controls,
                test,
            )
    conditions += _further(sweep, selections, language, [k for k in plan.further_k if k <= most])
    conditions += _by_position(plan, n_layers, n_heads, language)
    return conditions


def size_to_test(
    selection: pd.DataFrame, hypothesis: Hypothesis, n_heads: int, sizes: Sequence[int]
) -> int | None:
    """The size at which a hypothesis is tested: the smallest k with enough distinct controls.

    It follows from the ranking, which is made on the select half, and from no outcome. None where
    no size has at least 99 distinct controls.
    """
    for k in sorted(sizes):
        chosen = ranked_heads(selection, hypothesis.method, k)
        if len(chosen) == k and count_matched(chosen, n_heads) >= FEWEST_DRAWS:
            return k
    return None


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
            chosen = ranked_heads(selections[source], method, k, bottom=chosen_by == "bottom")
            if chosen:
                yield from sweep.matched(
                    chosen, mode, plan.further_controls, chosen_by, method, source, answered
                )


def _by_position(plan: Plan, n_layers: int, n_heads: int, language: str) -> Iterator[Condition]:
    late = heads_between(1 - QUARTER, 1, n_layers, n_heads)
    early = heads_between(0, QUARTER, n_layers, n_heads)
    final = n_layers - 1
    sets: list[tuple[str, tuple[Head, ...], tuple[int, ...], int]] = [
        ("late_heads", late, (), 0),
        ("early_heads", early, (), 0),
        ("final_mlp", (), (final,), 0),
        *(("final_mlp", (), (layer,), layer + 1) for layer in range(final)),
    ]
    mixed = ("late_heads_and_final_mlp", late, (final,), 0)
    for mode in plan.modes:
        for name, heads, mlps, draw in [*sets, mixed] if mode == plan.modes[0] else sets:
            yield Condition(
                heads,
                mode,
                plan.positions,
                name,
                language,
                draw,
                mlps,
                chosen_by="position",
                n_possible=float(final) if name == "final_mlp" else 0.0,
            )
