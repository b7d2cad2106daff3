"""What heads that were not patched may carry, told by the random sample of those that were.

Of a large model the best heads by AtP are patched, and a random sample of whole key-value groups
(`patching.sampled`). AtP may miss a head. The sampled heads that are not among its best stand for
all that are not:

1. `unpatched`: the shares of all heads that were not patched, added up: their number times the mean
   share of those heads of the sample. Groups and topics are both drawn at random; the two intervals
   around the estimate are joined as independent errors are.
2. `unpatched_most`: a sum says little of a rare head that carries much and was not drawn. If x of n
   sampled groups hold a head whose share may exceed `LARGE` (its upper limit does), the number K of
   such groups among all G is bounded: the largest K that gives x or fewer of them, each drawn with
   the probability n / G, with a probability above 1 - level. Told are the heads of the K - x groups
   left. Groups are drawn within layers, so that those of different layers are independent, and
   those of one layer exclude each other: the binomial distribution errs to the safe side.

After the diagnostics of Kramár et al. (2024, arXiv 2403.00745), with single heads in the place of
random subsets.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from lengthlens.circuits.faithfulness import share_of_effect
from lengthlens.models.layout import Layout
from lengthlens.patching.sampled import NOT, SAMPLED
from lengthlens.statistics import Bootstrap, Interval, mean_interval

LARGE = 0.05  # of the N effect
SUM = "unpatched"
COLUMNS = ("n_unpatched", SUM, f"{SUM}_low", f"{SUM}_high", f"{SUM}_most")


def unpatched_share(
    data: xr.Dataset,
    patches: Float[np.ndarray, "sample layer head"],
    effect: Float[np.ndarray, " sample"],
    bootstrap: Bootstrap,
) -> dict[str, float]:
    """The columns `COLUMNS`; only the first, 0, where every head was patched.

    Args:
        data: a patching file.
        patches: patches of all heads, NaN of those that were not patched; effect: the N effect.
        bootstrap: of the intervals.
    """
    heads = data.sizes["head"]
    sizes = data.sizes["layer"], heads, heads // int(data.attrs["group"])
    layout = Layout.told(data.attrs, *sizes)
    patched = data["patched_head"].to_numpy()[layout.has_head]
    patches = patches[:, layout.has_head]
    missing = int((patched == NOT).sum())
    row = dict.fromkeys(COLUMNS, np.nan) | {COLUMNS[0]: missing}
    if not missing:
        return row
    ordinary = data["best_head"].to_numpy()[layout.has_head] == 0
    drawn = ordinary & (patched == SAMPLED)
    if not drawn.any():
        return row
    values, topics = patches[:, drawn], data["topic"].to_numpy()
    by_head = share_of_effect(values, effect, topics, bootstrap)
    if not np.isfinite(by_head.estimate).all():
        return row
    group = np.cumsum([place % block.group == 0 for block in layout.blocks
                       for place in range(len(block.heads))]) - 1  # fmt: skip
    by_group = mean_interval(by_head.estimate, group[drawn], bootstrap)
    over_topics = share_of_effect(values.mean(1), effect, topics, bootstrap)
    low, high = (
        np.hypot(*(getattr(part, end) - part.estimate for part in (by_group, over_topics)))
        for end in ("low", "high")
    )
    total = missing * float(by_group.estimate)
    return row | {
        SUM: total,
        f"{SUM}_low": total - missing * float(low),
        f"{SUM}_high": total + missing * float(high),
        f"{SUM}_most": _most(by_head, group, ordinary, drawn, patched == NOT),
    }


def _most(
    share: Interval,
    group: np.ndarray,
    ordinary: Bool[np.ndarray, " head"],
    drawn: Bool[np.ndarray, " head"],
    missing: Bool[np.ndarray, " head"],
) -> int:
    """How many heads that were not patched may carry more than `LARGE`, at most."""
    from scipy.stats import binom  # NOTE here: it takes half a second to import

    population, sample = (len(np.unique(group[heads])) for heads in (ordinary, drawn))
    large = len(np.unique(group[drawn][~(share.high <= LARGE)]))
    numbers = np.arange(large, population - sample + large + 1)
    likely = binom.cdf(large, numbers, sample / population) > 1 - share.level
    groups = int(numbers[likely].max()) - large
    sizes = np.sort(np.unique(group[missing], return_counts=True)[1])[::-1]
    return int(sizes[:groups].sum())
