"""How much of the effect of N a circuit carries, as numbers over answers.

    F(C) = sum of [m(C) - m(other)] / sum of [m(reached) - m(other)],

m(C): the margin of the reached run in which everything outside of C comes from the other run. It is
a ratio of sums, never a mean of ratios, and is given only where the mean N effect is above 0 with
its whole interval; a model that N does nothing to has no share (NaN), not a share of 0.
"""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Shaped

from lengthlens.statistics import Bootstrap, Interval, mean_interval


def has_effect(
    effect: Float[np.ndarray, " sample"],
    topics: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap,
) -> bool:
    """Whether the interval of the mean N effect lies above 0."""
    found = mean_interval(effect, topics, bootstrap)
    return bool(found.low > 0)


def share_of_effect(
    part: Float[np.ndarray, "sample ..."],
    effect: Float[np.ndarray, " sample"],
    topics: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap,
) -> Interval:
    """Sum of `part` over sum of the N effect, with an interval that is clustered by topic.

    Args:
        part: what is to be a share, such as m(C) - m(other). NaN samples are dropped, together with
            their N effect.
        effect: the N effect of every sample.
        topics: of every sample.
        bootstrap: of the interval.

    Returns:
        NaN where the mean N effect is not above 0 with its whole interval.
    """
    known = np.isfinite(part).all(tuple(range(1, part.ndim))) & np.isfinite(effect)
    part, effect, topics = part[known], effect[known], topics[known]
    if not len(part) or not has_effect(effect, topics, bootstrap):
        return mean_interval(np.full((1, *part.shape[1:]), np.nan), np.zeros(1), bootstrap)
    return ratio_of_sums(part, effect, topics, bootstrap)


def ratio_of_sums(
    part: Float[np.ndarray, "sample ..."],
    effect: Float[np.ndarray, " sample"],
    topics: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap,
) -> Interval:
    """Sum of `part` over sum of `effect`, without a look at whether there is any effect."""
    # NOTE linearised: the effect of a single answer may lie below 0, which no denominator of
    # `ratio_interval` may. The mean of these values is the ratio, with the ratio's own influences.
    ratio = part.sum(0) / effect.sum()
    each = effect.reshape(-1, *[1] * (part.ndim - 1))
    return mean_interval(ratio + (part - ratio * each) / effect.mean(), topics, bootstrap)


def smallest_faithful(
    sizes: Float[np.ndarray, " size"], shares: Float[np.ndarray, " size"], faithful: float
) -> int | None:
    """The place of the smallest size that is faithful, as all larger ones are; None without one."""
    largest_first = np.argsort(-sizes).tolist()
    # NaN is not faithful either.
    found = list(itertools.takewhile(lambda place: shares[place] >= faithful, largest_first))
    return found[-1] if found else None
