"""What tuning changed, as tables: `transplants.csv` and `weight_change.csv`.

**transplants**: one row a hybrid and measure (`exact`, `end_margin`, `n_effect`). With u, t and h
the values of the untuned model, the tuned one and the hybrid on one answer, its `share` is

    into the untuned model  sum of (h - u) / sum of (t - u)  what the part brings: does it suffice?
    into the tuned model    sum of (t - h) / sum of (t - u)  what goes without: is it necessary?

given only where the mean of t - u is above 0 with its whole interval. The verdict needs the
hybrid's neutral log-likelihood within the range of both parents (`neutral_within`): a part whose
exchange breaks the model is not called necessary for counting.

**weight_change**: one row a component: how far tuning moved its weights, beside the share of the N
effect that a noising patch of it takes from the tuned model, and beside what its output does in the
untuned model's run on the same text. `rank_correlation` is Spearman's, of the change with the
patch, over the components of its kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from lengthlens.analysis.causes import named_values
from lengthlens.analysis.outcomes import measure_values
from lengthlens.analysis.patches import component_patches, place_labels
from lengthlens.analysis.tables import header, of_split, table_of
from lengthlens.analysis.tracing import n_effect
from lengthlens.circuits.faithfulness import ratio_of_sums, share_of_effect
from lengthlens.configuration.pairs import TUNINGS
from lengthlens.models.layout import Layout
from lengthlens.patching.sampled import SAMPLED
from lengthlens.statistics import (
    Bootstrap,
    Interval,
    agreement_interval,
    rank_components,
    share_difference_interval,
    share_interval,
    side_of,
)

NONE = "none"  # of the hybrids, the models themselves
MEASURES = ("exact", "end_margin", "n_effect")
HALF = 0.5  # of what tuning brought: a part that suffices, or is necessary, has more of it
BRINGS = {"untuned": ("suffices", "does not suffice"), "tuned": ("necessary", "not necessary")}
UNDECIDED, OUTSIDE = "undecided", "outside the parents' range"
ROUNDING = 1e-6  # nats
FEWEST_TOPICS = 8  # whose answers may be alike by more than chance
LABELS = ("into", "what", "layers", "components", "kv", "scale", "prompting", "control")
COLUMNS = header(
    "untuned tuned language",
    *LABELS,
    "measure value share± n_samples n_topics neutral_loglik neutral_within verdict level",
)
CHANGE_COLUMNS = header(
    "untuned tuned language component kind layer head change share± across_share± "
    "rank_correlation± n_components n_samples n_topics level",
)

Key = tuple[str, str, str]  # untuned, tuned, language


def parents(values: Float[np.ndarray, "condition sample"], data: xr.Dataset) -> dict:
    """untuned and tuned -> the values of the model itself."""
    rows = list(zip(data["what"].to_numpy(), data["into"].to_numpy(), strict=True))
    return {tuning: values[rows.index((NONE, tuning))] for tuning in TUNINGS}


def share_of_tuning(data: xr.Dataset, measure: str, place: int, bootstrap: Bootstrap) -> Interval:
    """The share of a hybrid (module docstring), with its interval; NaN where there is none."""
    part, gain, topics = _part_and_gain(data, measure, place)
    if measure != "exact":
        return share_of_effect(part, gain, topics, bootstrap)
    values, level = measure_values(data, measure), bootstrap.level
    own, into = parents(values, data), str(data["into"].to_numpy()[place])
    every = data["topic"].to_numpy()
    brought = share_difference_interval(own["tuned"], every, own["untuned"], every, level)
    if not len(part) or not brought.low > 0:
        return share_of_effect(part * np.nan, gain, topics, bootstrap)
    found = ratio_of_sums(part, gain, topics, bootstrap)
    if np.isfinite(found.low):
        return found
    # All answers alike: Wilson's interval of the hybrid's share, on the scale from u to t.
    plain, sign = share_interval(values[place], every, level), 1 if into == "untuned" else -1
    ends = sign * (np.array([plain.low, plain.high]) - np.nanmean(own[into])) / gain.mean()
    low, high = map(np.asarray, np.sort(ends))
    return replace(found, low=low, high=high, method=plain.method)


def share_terms(
    data: xr.Dataset, measure: str, place: int
) -> tuple[Float[np.ndarray, " sample"], np.ndarray]:
    """Numbers whose mean is a hybrid's share, with the share's own influences; their topics."""
    part, gain, topics = _part_and_gain(data, measure, place)
    ratio = part.sum() / gain.sum()
    return ratio + (part - ratio * gain) / gain.mean(), topics


def _part_and_gain(data: xr.Dataset, measure: str, place: int) -> tuple[np.ndarray, ...]:
    """What a hybrid brings or takes in every answer, what tuning brought, and the topics."""
    values, topics = measure_values(data, measure), data["topic"].to_numpy()
    own, into = parents(values, data), str(data["into"].to_numpy()[place])
    gain = own["tuned"] - own["untuned"]
    part = values[place] - own[into] if into == "untuned" else own[into] - values[place]
    known = np.isfinite(part) & np.isfinite(gain)
    return part[known], gain[known], topics[known]


def within_parents(data: xr.Dataset) -> np.ndarray:
    """Whether the neutral log-likelihood of every hybrid is in the range of both parents."""
    logliks = data["neutral_loglik"].to_numpy()
    ends = sorted(parents(logliks[:, None], data)[tuning][0] for tuning in TUNINGS)
    return (logliks >= ends[0] - ROUNDING) & (logliks <= ends[1] + ROUNDING)


def summarise_transplants(files: Mapping[Key, xr.Dataset], bootstrap: Bootstrap) -> pd.DataFrame:
    """One row a pair, language, hybrid and measure."""
    return table_of(files, _rows, COLUMNS, bootstrap=bootstrap)


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    within, logliks = within_parents(data), data["neutral_loglik"].to_numpy()
    labels = {name: data[name].to_numpy().tolist() for name in LABELS}
    for measure in MEASURES:
        values = measure_values(data, measure)
        for place, own in enumerate(values):
            known = np.isfinite(own)
            row = {name: column[place] for name, column in labels.items()} | {
                "measure": measure,
                "value": float(own[known].mean()) if known.any() else np.nan,
                "n_samples": int(known.sum()),
                "n_topics": len(np.unique(data["topic"].to_numpy()[known])),
                "neutral_loglik": float(logliks[place]),
                "neutral_within": bool(within[place]),
                "level": bootstrap.level,
                "verdict": "",
            }
            if row["what"] != NONE and known.any():
                found = share_of_tuning(data, measure, place, bootstrap)
                row |= found.columns("share")
                row["verdict"] = verdict(found, row["into"], bool(within[place]))
            yield row


def verdict(share: Interval, into: str, within: bool) -> str:
    """What a share says: more than half with its whole interval, less than half, or undecided."""
    if not np.isfinite(share.estimate):
        return ""
    if not within:
        return OUTSIDE
    low, high = float(share.low), float(share.high)
    if np.isnan(low) and share.n_clusters >= FEWEST_TOPICS:  # the same share in every answer
        low = high = float(share.estimate)
    yes, no = BRINGS[into]
    return {1: yes, -1: no, 0: UNDECIDED}[side_of(low, high, HALF)]


def summarise_changes(
    files: Mapping[Key, xr.Dataset], patching: Mapping[Key, xr.Dataset], bootstrap: Bootstrap
) -> pd.DataFrame:
    """One row a pair, language and component."""
    return table_of(files, _changes, CHANGE_COLUMNS, patching, bootstrap=bootstrap)


def _changes(data: xr.Dataset, patching: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    patching = of_split(patching, "evaluate")
    noising = component_patches(patching, "noising", 1, "all")
    effect, topics = n_effect(patching.sel(swap=1)), patching["topic"].to_numpy()
    change = named_values(data, "change", lead=0)
    own = parents(measure_values(data, "n_effect"), data)
    gain, across = own["tuned"] - own["untuned"], named_values(data, "across_n")
    shape = (data.sizes["layer"], data.sizes["head"])
    sampled = patching["patched_head"].to_numpy().ravel() == SAMPLED
    layout = Layout.told(patching.attrs, *shape)
    every = {"head": np.flatnonzero(layout.has_head), "mlp": len(sampled) + np.array(layout.mlps)}
    for kind, components in every.items():
        places = np.flatnonzero(sampled) if kind == "head" else components
        found = _correlation(change, noising, topics, places, bootstrap)
        for place in components.tolist():
            share = share_of_effect(noising[:, place], effect, topics, bootstrap)
            other = share_of_effect(across[:, place], gain, data["topic"].to_numpy(), bootstrap)
            yield place_labels(place, *shape) | {
                "change": change[place], "n_components": len(places), **share.basis,
                **share.columns("share"), **other.columns("across_share"),
                **found.columns("rank_correlation"),
            }  # fmt: skip


def _correlation(change, noising, topics, places, bootstrap: Bootstrap) -> Interval:
    """Rank correlation of the change of some components with their patches."""
    known = np.isfinite(noising[:, places]).all(1)
    fixed = np.where(known[:, None], change[places], np.nan)
    ranked = [rank_components(values, topics, bootstrap) for values in (fixed, noising[:, places])]
    return agreement_interval(*ranked, level=bootstrap.level)
