"""Means of cumulative weighted attribution over samples, of all models and languages: `cwa.nc`.

Every variable is named cwa_{component}{form}{pool}{statistic}, its parts those of `COMPONENTS`,
`FORMS`, `POOLS` and `STATISTICS` below.

So `cwa_head_step_all_low` is the lower limit of the mean per step of each head, balanced over N.
`n_samples` and `n_topics` (model, language, n) count samples and their topics. NaN where a model
has no such layer or head, or nothing was generated, or an interval does not exist
(`statistics.intervals`).

`n_mixed` counts those with signs of both kinds, without which there is nothing to shift.

The null (docs/statistics.md): the signs of a sample, shifted in a circle along its steps. It keeps
what is mechanical (produced tokens have a positive score, and signs follow behaviour), and that
signs come in runs, and removes the link between a step's sign and its score.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import xarray as xr
from jaxtyping import Float

from lengthlens.errors import LengthlensError
from lengthlens.statistics import (
    DEFAULT,
    Bootstrap,
    Interval,
    balanced_interval,
    ratio_interval,
    sign_null_mean,
)

COMPONENTS = {
    "head": ("layer", "head"),
    "mlp": ("layer",),
    "embed": (),
    "bias": (),
    "head_layer": ("layer",),
}
DIMS = ("target", "model", "language", "n", "layer", "head")
FORMS = {"": "sum over an answer's steps", "_step": "mean per step"}
POOLS = {"": "", "_all": ", plain mean over N"}
STATISTICS = {
    "": "mean over samples",
    "_low": "lower limit of the mean over samples",
    "_high": "upper limit of the mean over samples",
    "_null": "mean over all circular shifts of the signs within each sample",
    "_null_sd": "standard deviation of the mean over these shifts",
}
MEANINGS = {
    "head": "CWA of an attention head",
    "mlp": "CWA of an MLP",
    "embed": "CWA of the embedding",
    "bias": "CWA of constants and biases",
    "head_layer": "CWA of all heads of a layer together",
}


def aggregate_attribution(
    attributions: Mapping[tuple[str, str], xr.Dataset],
    bootstrap: Bootstrap = DEFAULT,
) -> xr.Dataset:
    """Means of all models and languages, with intervals and nulls.

    Returns:
        The dataset of `cwa.nc` (module docstring). Models and languages keep their order.

    Raises:
        LengthlensError: there is no attribution file at all, or one has no sample.
    """
    if not attributions:
        raise LengthlensError("there is no attribution to average: run the attribute stage first")
    parts: dict[str, dict[str, xr.Dataset]] = {}
    for (model, language), attribution in attributions.items():
        if attribution.sizes["sample"] == 0:
            raise LengthlensError(
                f"the attribution of {model} in {language} holds no sample: run its stage again"
            )
        parts.setdefault(model, {})[language] = average_samples(attribution, bootstrap)
    languages = list(dict.fromkeys(language for _, language in attributions))
    by_model = []
    for own in parts.values():
        joined = xr.concat(own.values(), "language", join="outer").assign_coords(language=list(own))
        by_model.append(joined.reindex(language=languages))
    merged = xr.concat(by_model, "model", join="outer").assign_coords(model=list(parts))
    for name in ("n_samples", "n_topics", "n_mixed"):
        merged[name] = merged[name].fillna(0).astype(int)
    return merged.transpose(*DIMS).assign_attrs(
        interval="guarded bootstrap-t, clustered by topic",
        level=bootstrap.level,
        resamples=bootstrap.resamples,
    )


def average_samples(attribution: xr.Dataset, bootstrap: Bootstrap = DEFAULT) -> xr.Dataset:
    """Means over the samples of one model and language, for each N and balanced over N."""
    table = _Table(attribution)
    numbers, topics, n = np.unique(table.n), table.topics, table.n
    samples = [n == number for number in numbers]
    found: dict[str, np.ndarray] = {}
    for form in FORMS:
        singles = [
            table.by_target(
                lambda values, steps, rows=rows: ratio_interval(
                    values[rows], steps[rows], topics[rows], bootstrap
                ),
                form,
            )
            for rows in samples
        ]
        by_n = np.stack(singles, axis=2)
        pooled = table.by_target(
            lambda values, steps: balanced_interval(values, steps, topics, n, bootstrap), form
        )
        for suffix, single, all_n in zip(("", "_low", "_high"), by_n, pooled, strict=True):
            found[form + suffix], found[f"{form}_all{suffix}"] = single, all_n
        nulls, sds = map(np.stack, zip(*(table.null(form, rows) for rows in samples), strict=True))
        found[f"{form}_null"] = nulls.swapaxes(0, 1)
        found[f"{form}_all_null"] = nulls.mean(axis=0)
        found[f"{form}_null_sd"] = sds.swapaxes(0, 1)
        found[f"{form}_all_null_sd"] = np.sqrt(np.square(sds).sum(axis=0)) / len(numbers)
    data: dict[str, tuple] = {}
    for component, dims in COMPONENTS.items():
        for form, pool, statistic in itertools.product(FORMS, POOLS, STATISTICS):
            name = form + pool + statistic
            meaning = f"{FORMS[form]}, {STATISTICS[statistic]}{POOLS[pool]}"
            lead = ("target",) if pool else ("target", "n")
            values = table.component(found[name], component)
            attrs = {"units": "logits", "long_name": f"{MEANINGS[component]}: {meaning}"}
            data[f"cwa_{component}{name}"] = ((*lead, *dims), values, attrs)
    counts = {
        "n_samples": ("samples", [rows.sum() for rows in samples]),
        "n_topics": ("topics of these samples", [len(np.unique(topics[rows])) for rows in samples]),
        "n_mixed": ("samples with signs of both kinds", [table.mixed[r].sum() for r in samples]),
    }
    data |= {name: (("n",), count, {"long_name": what}) for name, (what, count) in counts.items()}
    coords = {
        "target": attribution["target"].to_numpy(),
        "n": numbers,
        "layer": attribution["layer"].to_numpy(),
        "head": np.arange(attribution.sizes["head"]),
    }
    return xr.Dataset(data, coords)


class _Table:
    """All components of an attribution file side by side, so that one call does them all."""

    def __init__(self, attribution: xr.Dataset):
        self.n = attribution["n"].to_numpy()
        self.topics = attribution["topic"].to_numpy()
        steps = attribution["n_steps"].to_numpy().astype(float)
        negative = attribution["n_negative"].to_numpy()
        self.mixed = (negative > 0) & (negative < steps)
        boundary = attribution["n_boundary"].to_numpy().astype(float)
        boundary_negative = attribution["n_boundary_negative"].to_numpy()
        ends = attribution["target"].to_numpy() == "end"
        self.steps = np.where(ends[:, None], boundary, steps)
        self.plus = self.steps - np.where(ends[:, None], boundary_negative, negative)
        self.place: dict[str, tuple[slice, tuple[int, ...]]] = {}
        parts, start = [], 0
        for component, dims in COMPONENTS.items():
            parts.append(self._columns(attribution, component))
            stop = start + parts[-1].shape[-1]
            shape = tuple(attribution.sizes[dim] for dim in dims)
            self.place[component], start = (slice(start, stop), shape), stop
        self.cwa, self.nulls, self.variance = np.concatenate(parts, axis=-1)

    def _columns(
        self, attribution: xr.Dataset, component: str
    ) -> Float[np.ndarray, "3 target sample column"]:
        """CWA, and the mean and variance of its null, of each sample."""
        kind = "head" if component == "head_layer" else component

        def read(name: str, of: str) -> np.ndarray:
            order = ("target", "sample", *COMPONENTS[of])
            return attribution[name].transpose(*order).to_numpy().astype(float)

        sums = [read(f"cwa_{kind}{part}", kind) for part in ("", "_plus", "_minus")]
        if component == "head_layer":
            sums = map(_sum_of_heads, sums)
        cwa, plus, minus = sums
        narrow = (*cwa.shape[:2], *[1] * (cwa.ndim - 2))
        counts = [part.reshape(narrow) for part in (self.plus, self.steps)]
        mean = sign_null_mean(*counts, plus - minus)
        variance = read(f"null_variance_{component}", component)
        return np.stack([cwa, mean, variance]).reshape(3, *cwa.shape[:2], -1)

    def component(self, values: np.ndarray, component: str) -> np.ndarray:
        """The columns of one component in its own shape."""
        columns, shape = self.place[component]
        return values[..., columns].reshape(*values.shape[:-1], *shape)

    def by_target(self, interval, form: str) -> Float[np.ndarray, "3 target column"]:
        """Estimate, low, high; targets with the same steps share the draws."""
        bottom = self.steps if form else np.ones_like(self.steps)
        result = np.full((3, *self.cwa.shape[::2]), np.nan)
        for steps in np.unique(bottom, axis=0):
            targets = np.flatnonzero((bottom == steps).all(axis=1))
            values = self.cwa[targets].transpose(1, 0, 2)
            found: Interval = interval(values, steps)
            result[:, targets] = found.estimate, found.low, found.high
        return result

    def null(self, form: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation [target, column] of the mean of `rows` under the null."""
        counts = self.steps[:, rows] if form else np.ones_like(self.steps[:, rows])
        bottom = np.where(counts.sum(axis=1) > 0, counts.sum(axis=1), np.nan)[:, None]
        mean = self.nulls[:, rows].sum(axis=1) / bottom
        return mean, np.sqrt(self.variance[:, rows].sum(axis=1)) / bottom


def _sum_of_heads(
    values: Float[np.ndarray, "target sample layer head"],
) -> Float[np.ndarray, "target sample layer"]:
    """The sum over the heads that a layer has; NaN where it has none."""
    return np.where(np.isnan(values).all(axis=3), np.nan, np.nansum(values, axis=3))
