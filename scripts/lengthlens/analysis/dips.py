"""Is any N worse than its neighbours? `tables/dip.csv`, exploratory.

For each N of the study the measure at N is compared with the mean of the two N next to it, below
and above; at the ends with the mean of the two nearest. Per-step measures are used for CWA, so that
the length of an answer alone cannot make a dip. At the ends a mere trend can: there `line` compares
with the straight line through the two nearest instead. A dip at an end that the line does not show
is a trend.

All N of a model, language and measure are one family: `all_low` and `all_high` are simultaneous
limits (Bonferroni: level 1 - (1 - level) / number of N), and the verdict rests on them.

Measures are the share of exact answers, the mean |error|, and CWA per step of three groups of
components. A verdict is worse, better or open; or censored, where cut answers hide their errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from lengthlens.analysis.groups import FINAL_MLP, LATE_HEADS, Group
from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.analysis.tokens_per_word import answer_values
from lengthlens.models.depth import LATE
from lengthlens.statistics import DEFAULT, Bootstrap, Interval, combination_interval, side_of

BEHAVIOUR = {"exact": -1, "absolute_error": 1}  # the sign of a worse value
CWA = {"late_heads": LATE_HEADS, "late_mlps": Group("mlp", LATE), "final_mlp": FINAL_MLP}
COLUMNS = header(
    "model language measure n neighbours against value± all_low all_high method truncated "
    "n_samples n_topics level verdict",
)
WORSE, BETTER, OPEN, CENSORED = "worse", "better", "open", "censored"


def find_dips(
    generations: Mapping[tuple[str, str], pd.DataFrame],
    attributions: Files,
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Make the table; without three N there is nothing to compare."""
    return table_of(generations, _rows, COLUMNS, attributions, bootstrap=bootstrap)


def _rows(answers: pd.DataFrame, attribution: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    n, topics = answers["n"].to_numpy(), answers["topic"].to_numpy()
    cut = answers["truncated"].to_numpy(dtype=bool)
    contrasts = list(neighbour_contrasts(np.unique(n).tolist()))
    for measure, sign, *ratio in _measures(answers, attribution):
        for number, against, coefficients in contrasts:
            data = (*ratio, topics, n.tolist())
            pointwise, together = _limits(data, coefficients, len(np.unique(n)), bootstrap)
            share = float(cut[np.isin(n, list(coefficients))].mean())
            hidden = measure in BEHAVIOUR and share > 0
            others = [other for other in coefficients if other != number]
            yield {
                "measure": measure,
                "n": number,
                "neighbours": " ".join(map(str, others)),
                "against": against,
                **pointwise.columns("value"),
                "all_low": float(together.low),
                "all_high": float(together.high),
                "method": together.method,
                "truncated": share,
                **pointwise.basis,
                "verdict": CENSORED if hidden else _verdict(together, sign),
            }


def neighbour_contrasts(numbers: Sequence[int]) -> Iterator[tuple[int, str, dict[int, float]]]:
    """(N, against, coefficient of each N) of every contrast, N in ascending order.

    Inside, neighbours stand at N's either side, and the point between them on the line through them
    replaces their mean where they are not equally far; at the ends both contrasts are given.
    """
    numbers = sorted(numbers)
    if len(numbers) < 3:
        return
    for place, n in enumerate(numbers):
        if 0 < place < len(numbers) - 1:
            below, above = numbers[place - 1], numbers[place + 1]
            share = (n - below) / (above - below)
            yield n, "neighbours", {n: 1.0, below: share - 1, above: -share}
            continue
        near, far = (numbers[1], numbers[2]) if place == 0 else (numbers[-2], numbers[-3])
        share = (n - near) / (far - near)  # negative: beyond the nearer one
        yield n, "neighbours", {n: 1.0, near: -0.5, far: -0.5}
        yield n, "line", {n: 1.0, near: share - 1, far: -share}


def _measures(
    answers: pd.DataFrame, attribution: xr.Dataset
) -> Iterator[tuple[str, int, Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]]:
    """(name, sign of a worse value, numerators, denominators) a measure, samples in one order."""
    for measure, sign in BEHAVIOUR.items():
        yield measure, sign, answer_values(answers, measure), np.ones(len(answers))
    for name, group in CWA.items():
        sums = group.sums(attribution)
        yield name, -1, sums.total, sums.steps


def _limits(
    data: tuple, coefficients: Mapping[int, float], family: int, bootstrap: Bootstrap
) -> tuple[Interval, Interval]:
    """The interval of one contrast, and that at the level that holds for the whole family."""
    level = 1 - (1 - bootstrap.level) / family
    return tuple(
        combination_interval(*data, coefficients, bootstrap=one)
        for one in (bootstrap, bootstrap.at(level))
    )


def _verdict(together: Interval, sign: int) -> str:
    """worse or better where the whole simultaneous interval is; `sign` is that of a worse value."""
    side = side_of(float(together.low), float(together.high))
    return {0: OPEN, sign: WORSE, -sign: BETTER}[side]
