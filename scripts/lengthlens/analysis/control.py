"""Does a model keep to a word count at all? The gate of every explanation: `tables/control.csv`.

A component can only be said to carry control where there is control. A model that writes 20 words
whatever N is has attributions, effects of ablation and rankings, too; they explain nothing. So each
model is asked first, in each language:

1. *exactness beyond chance*, the share of exact answers if answers knew nothing of N
   (`statistics.chance`); a cut answer is never exact.
2. *the N effect*: how much nearer to ending the model is at the answer's N-th word than it would be
   had the prompt asked for the next larger number, on the same text (`forced`, swap +1).

The gate is `open` where the lower limits of both lie above 0. The slope of words on N stands beside
them: it shows a model that follows N without hitting it.

The interval of exact - chance is that of the mean of each answer's influence on it,

    z_i = exact_i - P(words = N_i) - P(N = words_i) [not cut] + chance,

whose mean is exact - chance, clustered by topic. Where all answers are alike (all exact, say) it
has no width, and Wilson's interval of exactness, less chance, takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int, Shaped

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.statistics import (
    DEFAULT,
    Bootstrap,
    Interval,
    chance_terms,
    mean_interval,
    ratio_interval,
    share_interval,
)

COLUMNS = header(
    "model language n_samples n_topics truncated exact± chance± over_chance± slope± n_effect± "
    "n_swapped open reason level",
)


def measure_control(
    generations: Mapping[tuple[str, str], pd.DataFrame],
    forced: Files,
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Make tables/control.csv.

    Returns:
        One row a model and language, columns `COLUMNS`; `reason` says why a gate is closed.
    """
    return table_of(generations, _rows, COLUMNS, forced, bootstrap=bootstrap)


def _rows(answers: pd.DataFrame, forced: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    row: dict = {"n_samples": len(answers), "n_topics": answers["topic"].nunique()}
    row["level"] = bootstrap.level
    if answers.empty:
        yield row | {"n_swapped": 0, "open": False, "reason": "there are no answers"}
        return
    topics = answers["topic"].to_numpy()
    n, words = (answers[name].to_numpy(dtype=int) for name in ("n", "words"))
    cut = answers["truncated"].to_numpy(dtype=bool)
    exact = (words == n) & ~cut
    shares = share_interval(exact, topics, bootstrap.level)
    chance, beyond = chance_terms(n, words, cut)
    luck = mean_interval(chance, topics, bootstrap)
    over = over_chance(beyond, shares, float(luck.estimate), topics, bootstrap)
    effect = n_effect(forced, bootstrap)
    row |= shares.columns("exact") | luck.columns("chance") | over
    row |= slope_on_n(n, words, topics, bootstrap).columns("slope") | effect.columns("n_effect")
    row |= {"truncated": float(cut.mean()), "n_swapped": int(effect.n)}
    reason = why_closed(row, len(np.unique(n)))
    yield row | {"open": not reason, "reason": reason}


def over_chance(
    values: Float[np.ndarray, " answer"],
    exact: Interval,
    chance: float,
    topics: Shaped[np.ndarray, " answer"],
    bootstrap: Bootstrap,
) -> dict[str, float]:
    """The columns of exact - chance, from the answers' influence on it."""
    found = mean_interval(values, topics, bootstrap).columns("over_chance")
    if np.isnan(found["over_chance_low"]):
        limits = {"low": float(exact.low), "high": float(exact.high)}
        found |= {f"over_chance_{end}": limit - chance for end, limit in limits.items()}
    return found


def slope_on_n(
    n: Int[np.ndarray, " answer"],
    words: Int[np.ndarray, " answer"],
    topics: Shaped[np.ndarray, " answer"],
    bootstrap: Bootstrap,
) -> Interval:
    """Least-squares slope of words on N; NaN where there is one N. Of cut answers, words so far."""
    x, y = n - n.mean(), words - words.mean()
    return ratio_interval(x * y, x * x, topics, bootstrap)


def n_effect(forced: xr.Dataset, bootstrap: Bootstrap) -> Interval:
    """Mean N effect at swap +1 over the answers that have one [logits]."""
    margins = forced["nswap_margin"].sel(swap=1).to_numpy().astype(float)
    return mean_interval(margins, forced["topic"].to_numpy(), bootstrap)


def why_closed(row: Mapping[str, float], n_numbers: int) -> str:
    """Why control is not shown; "" where it is. A limit that does not exist shows nothing."""
    if n_numbers < 2:
        return "only one N was asked for, so that following it cannot be told from chance"
    found = []
    if not row["over_chance_low"] > 0:
        found.append("answers are not shown to be exact more often than chance gives")
    if not row["n_swapped"]:
        found.append("no answer has a number of words at which N could be swapped")
    elif not row["n_effect_low"] > 0:
        found.append("N is not shown to move the decision to end")
    return "; ".join(found)
