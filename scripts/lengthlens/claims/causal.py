"""Statistics of claims about causes, from the files of ablation and of repair.

- `ablation`: what removing a chosen set of heads does to a measure, beyond random sets of as many
  heads of the same layers (`effects`). With a `source_language` the set was chosen in another
  language than that of the prompts: transfer.
- `repair`: a term of the decomposition of what a removal does to the end margin
  (`analysis.repair`); negative: it gives more than before.

Both are exploratory: intervals, no p-values, which the confirmatory family alone has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from lengthlens.analysis.effects import ChosenSet, against_controls, chosen_sets, row_means
from lengthlens.analysis.outcomes import measure_clusters, measure_values
from lengthlens.analysis.repair import term_values
from lengthlens.claims.kinds import Data, Measurement, NoData, mean_difference, sides_of
from lengthlens.statistics import Bootstrap, Interval, mean_interval

MEASURE_WORDS = {"exact": "share of exact answers", "end_margin": "end margin"}
TERM_WORDS = {
    "direct": "the removed components",
    "heads": "all other heads",
    "mlps": "all other MLPs",
    "final_mlp": "the final MLP",
    "scale": "the final norm's scale",
}


def ablation(statistic: Mapping[str, Any], data: Data, bootstrap: Bootstrap) -> Measurement:
    """Effect of a chosen set on a measure: chosen minus the mean of its random sets."""
    source = statistic.get("source_language", statistic["language"])
    file, name = data.file("ablation", statistic)
    found = _chosen(file, name, statistic, source)
    measure = statistic["measure"]
    values, topics = measure_values(file, measure), measure_clusters(file, measure)
    known = np.isfinite(values[found.place])
    mean = row_means(values[[found.place]])[0]
    draws, _, effect = against_controls(mean, values, found, topics, bootstrap)
    if len(draws) < 2:
        raise NoData(f"beside the set in {name} there are fewer than two random ones of its layers")
    if not known.any():
        raise NoData(f"no answer of {name} has a value")
    limits = (effect.estimate, effect.low, effect.high)
    counts = (int(known.sum()), len(np.unique(topics[known])))
    cut = file["truncated"].to_numpy()[0]
    return Measurement(
        interval=Interval.single(limits, counts, level=bootstrap.level, method="bootstrap"),
        text=f"{MEASURE_WORDS[measure]} without {_set_words(statistic)} chosen in {source}, minus "
        f"that without {len(draws)} random sets",
        source=name,
        truncated=float(np.nanmean(cut)) if measure == "exact" else 0.0,
    )


def repair(statistic: Mapping[str, Any], data: Data, bootstrap: Bootstrap) -> Measurement:
    """Mean of a term of the decomposition, or its difference between two languages."""
    sides, values, names = sides_of(statistic), [], []
    for side in sides:
        file, name = data.file("repair", side)
        found = _chosen(file, name, side, side["language"])
        values.append((term_values(file, side["term"])[found.place], file["topic"].to_numpy()))
        names.append(name)
    if len(sides) == 1:
        interval = mean_interval(*values[0], bootstrap)
    else:
        interval = mean_difference(values, bootstrap)
    return Measurement(
        interval=interval,
        text=f"repair: the end margin lost through {TERM_WORDS[statistic['term']]} without "
        + _set_words(statistic)
        + (f", {sides[0]['language']} minus {sides[1]['language']}" if len(sides) > 1 else ""),
        source="; ".join(names),
    )


def _chosen(file: xr.Dataset, name: str, statistic: Mapping[str, Any], source: str) -> ChosenSet:
    """The set that a statistic names, in the file's main mode."""
    sets = chosen_sets(file)
    main = sets[0].labels["mode"] if sets else ""
    wanted = {"method": statistic["method"], "source_language": source, "mode": main}
    wanted |= {"k": statistic["k"]} if "k" in statistic else {}
    found = [
        one
        for one in sets
        if one.labels["chosen_by"] != "bottom"
        and all(one.labels[key] == value for key, value in wanted.items())
    ]
    if len(found) != 1:
        size = f" of size {statistic['k']}" if "k" in statistic else ""
        count = "no set" if not found else f"{len(found)} sets (give k)"
        raise NoData(f"{name} has {count}{size} by {statistic['method']} chosen in {source}")
    return found[0]


def _set_words(statistic: Mapping[str, Any]) -> str:
    method = statistic["method"].replace("_", " ")
    return f"the top {statistic['k']} heads by {method}" if "k" in statistic else f"the {method}"
