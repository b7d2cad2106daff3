"""Circuits as tables: their faithfulness, the smallest ones, their members, and across languages.

| table | a row is |
|---|---|
| `faithfulness` | a model, language, score (or kind of random order) and size |
| `circuits` | the smallest faithful circuit of a score, or why there is none; the curve's area |
| `circuit_members` | a member of the smallest circuit of the first score, with its minimality |
| `overlap` | two languages' heads of one score and size, against chance |

Components are ranked on `select` answers, sizes are chosen there, and all numbers are those of the
`evaluate` answers. The area is the trapezoid over k / n_components, the empty and the whole circuit
included, nothing clipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool

from lengthlens.analysis.tables import Files, header, of_split
from lengthlens.analysis.tracing import n_effect
from lengthlens.circuits.faithfulness import has_effect, share_of_effect, smallest_faithful
from lengthlens.circuits.measure import KEPT, PATCHED, RANDOM
from lengthlens.models.layout import Layout
from lengthlens.statistics import BESIDE, Bootstrap, Interval, share_interval

FAITHFULNESS = header(
    "model language source_language method positions k n_components faithfulness low high "
    "completeness n_orders n_samples n_topics",
)
CIRCUITS = header(
    "model language source_language method k n_components components faithfulness_select "
    "faithfulness low high completeness area random± interchange± n_interchange written_exact± "
    "n_written n_samples n_topics absent",
)
MEMBERS = header("model language method k component minimality low high n_samples n_topics")
OVERLAP = header(
    "model method language source_language k heads source_heads shared chance p mlps_shared",
)


def _conditions(data: xr.Dataset) -> pd.DataFrame:
    """The conditions of a circuits file, a row each."""
    columns = ("way", "method", "source_language", "k", "order", "without", "components")
    return pd.DataFrame({name: data[name].to_numpy() for name in columns})


class CircuitFile:
    """The circuits of one model in one language, as numbers over answers of a split."""

    def __init__(self, data: xr.Dataset, split: str, bootstrap: Bootstrap) -> None:
        chosen = of_split(data, split)
        effect = n_effect(chosen)
        self.data = chosen.isel(sample=np.flatnonzero(np.isfinite(effect)))
        self.effect = effect[np.isfinite(effect)]
        self.topics = self.data["topic"].to_numpy()
        self.bootstrap = bootstrap
        self.table = _conditions(data)

    def rows(self, **labels) -> pd.DataFrame:
        """The conditions with these labels; ranked and whole circuits unless told otherwise."""
        labels = {"without": ""} | labels
        keep = np.logical_and.reduce([self.table[name] == value for name, value in labels.items()])
        return self.table[keep]

    def share(self, rows: pd.DataFrame) -> Interval:
        """F of conditions."""
        margins = self.data["margin"].to_numpy()[rows.index] - self.data["margin_other"].to_numpy()
        return share_of_effect(margins.T, self.effect, self.topics, self.bootstrap)

    def difference(self, whole: int, rows: pd.DataFrame) -> Interval:
        """F of one condition minus that of others."""
        margins = self.data["margin"].to_numpy()
        parts = margins[whole] - margins[rows.index]
        return share_of_effect(parts.T, self.effect, self.topics, self.bootstrap)

    @property
    def explains(self) -> bool:
        """Whether there is an effect of N to explain."""
        return len(self.effect) > 0 and has_effect(self.effect, self.topics, self.bootstrap)

    @property
    def counts(self) -> dict[str, int]:
        return {"n_samples": len(self.effect), "n_topics": len(np.unique(self.topics))}


def summarise_circuits(
    files: Files, faithful: float, bootstrap: Bootstrap
) -> dict[str, pd.DataFrame]:
    """The four tables, by name."""
    faithfulness, circuits, members = [], [], []
    for (model, language), data in files.items():
        labels = {"model": model, "language": language}
        select, evaluate = (CircuitFile(data, s, bootstrap) for s in ("select", "evaluate"))
        curves = list(_curves(evaluate, language))
        faithfulness += [labels | row for row in curves]
        found = list(_circuits(select, evaluate, curves, faithful))
        circuits += [labels | row for row in found]
        members += [labels | row for row in _members(evaluate)]
    return {
        "faithfulness": pd.DataFrame(faithfulness, columns=list(FAITHFULNESS)),
        "circuits": pd.DataFrame(circuits, columns=list(CIRCUITS)),
        "circuit_members": pd.DataFrame(members, columns=list(MEMBERS)),
        "overlap": pd.DataFrame(_overlaps(files), columns=list(OVERLAP)),
    }


def _ranked(file: CircuitFile) -> Iterator[tuple[str, str]]:
    """Every score with the language that it ranked in."""
    rows = file.table[~file.table["method"].str.startswith(RANDOM)]
    rows = rows[rows["method"] != "none"]
    yield from rows[["method", "source_language"]].drop_duplicates().itertuples(index=False)


def _curves(file: CircuitFile, language: str) -> Iterator[dict]:
    """Rows of `faithfulness`: ranked circuits by size, then random orders."""
    n = int(file.data.attrs["n_components"])
    shared = {"positions": file.data.attrs["positions"], "n_components": n} | file.counts
    empty = file.share(file.rows(method="none"))
    for method, source in _ranked(file):
        labels = {"source_language": source, "method": method, "n_orders": 0} | shared
        whole = 1.0 if file.explains else np.nan  # with nothing patched, or nothing kept
        row = labels | {"k": 0, "completeness": whole}
        yield row | empty[0].columns("faithfulness", ends=BESIDE)
        kept = file.rows(way=KEPT, method=method, source_language=source)
        patched = file.rows(way=PATCHED, method=method, source_language=source)
        rest = dict(zip(patched["k"], file.share(patched).estimate.tolist(), strict=True))
        share = file.share(kept)
        for place, k in enumerate(kept["k"].tolist()):
            columns = share[place].columns("faithfulness", ends=BESIDE)
            yield labels | {"k": k, "completeness": rest[k]} | columns
        yield labels | {
            "k": n, "faithfulness": whole, "low": whole, "high": whole,
            "completeness": float(empty.estimate[0]),
        }  # fmt: skip
    random = file.table[file.table["method"].str.startswith(RANDOM)]
    for (method, k), rows in random.groupby(["method", "k"], sort=False):
        values = file.share(rows).estimate
        low, high = np.quantile(values, [0.025, 0.975])
        yield shared | {
            "source_language": language, "method": method, "k": k, "n_orders": len(rows),
            "faithfulness": float(values.mean()), "low": low, "high": high,
            "completeness": np.nan,
        }  # fmt: skip


def area(rows: list[dict]) -> float:
    """The trapezoid under a curve of faithfulness over k / n_components."""
    rows = sorted(rows, key=lambda row: row["k"])
    x = [row["k"] / row["n_components"] for row in rows]
    return float(np.trapezoid([row["faithfulness"] for row in rows], x))


def _circuits(
    select: CircuitFile, evaluate: CircuitFile, curves: list[dict], faithful: float
) -> Iterator[dict]:
    """Rows of `circuits`: the smallest circuit of every score."""
    n, absent = (evaluate.data.attrs[name] for name in ("n_components", "absent"))
    ranked = list(_ranked(evaluate))
    if not ranked:
        reason = "no score ranks the components"
        yield {"method": "", "n_components": n, "absent": absent or reason} | evaluate.counts
    for method, source in ranked:
        labels = {"source_language": source, "method": method}
        curve = [row for row in curves if all(row[name] == labels[name] for name in labels)]
        row = labels | {"n_components": n, "area": area(curve)} | evaluate.counts
        kept = select.rows(way=KEPT, **labels)
        shares = select.share(kept).estimate
        place = smallest_faithful(kept["k"].to_numpy(dtype=float), shares, faithful)
        explains = select.explains and evaluate.explains
        if place is None or not explains:
            reason = f"no measured size is faithful ({faithful:g}) on the select answers"
            if not explains:
                counts = f"{select.counts['n_samples']} and {evaluate.counts['n_samples']}"
                reason = f"the interval of the mean N effect is not above 0 ({counts} answers)"
            yield row | {"absent": absent or reason}
            continue
        chosen = kept.iloc[[place]]
        k = int(chosen["k"].iloc[0])
        point = next(point for point in curve if point["k"] == k)
        row |= {"k": k, "components": chosen["components"].iloc[0], "absent": ""}
        row |= {name: point[name] for name in ("faithfulness", "low", "high", "completeness")}
        row |= {"faithfulness_select": float(shares[place])}
        row |= _random(curves, method, source, k)
        row |= _interchange(evaluate, evaluate.rows(way=PATCHED, k=k, **labels).index[0])
        yield row | _written(evaluate, method, source)


def _random(curves: list[dict], method: str, source: str, k: int) -> dict[str, float]:
    """F of as many components with the heads of each layer permuted; none of other languages."""
    wanted = {"method": f"{RANDOM}_{method}", "source_language": source, "k": k}
    for row in curves:
        if all(row[name] == value for name, value in wanted.items()):
            ends = {"random": "faithfulness", "random_low": "low", "random_high": "high"}
            return {column: row[name] for column, name in ends.items()}
    return {}


def _interchange(file: CircuitFile, condition: int) -> dict[str, float]:
    """In how many answers the decision becomes the other run's, where the two runs differ in it."""
    names = ("free_reached", "free_other")
    reached, other = (file.data[name].to_numpy() > 0 for name in names)
    free: Bool[np.ndarray, " sample"] = file.data["free"].to_numpy()[condition] > 0
    differ = reached != other
    hits = (free == other)[differ].astype(float)
    found = share_interval(hits, file.topics[differ], file.bootstrap.level)
    return found.columns("interchange") | {"n_interchange": len(hits)}


def _written(file: CircuitFile, method: str, source: str) -> dict[str, float]:
    """How many answers written with the circuit of the other prompt have its number of words."""
    members = file.table[file.table["without"] != ""]
    if members.empty or tuple(members.iloc[0][["method", "source_language"]]) != (method, source):
        return {}
    words, asked = file.data["written"].to_numpy(), file.data["n_swapped"].to_numpy()
    known = np.isfinite(words)
    hits = (words == asked)[known].astype(float)
    found = share_interval(hits, file.topics[known], file.bootstrap.level)
    return found.columns("written_exact") | {"n_written": len(hits)}


def _members(file: CircuitFile) -> Iterator[dict]:
    """Rows of `circuit_members`: what the smallest circuit loses without each member."""
    without = file.table[file.table["without"] != ""]
    if not len(without):
        return
    labels = {name: without[name].iloc[0] for name in ("method", "source_language", "k")}
    (whole,) = file.rows(way=KEPT, **labels).index
    found = file.difference(whole, without)
    for place, component in enumerate(without["without"].tolist()):
        yield {
            "method": labels["method"],
            "k": int(labels["k"]),
            "component": component,
            **found[place].columns("minimality", ends=BESIDE),
        } | file.counts


def _overlaps(files: Files) -> list[dict]:
    """Rows of `overlap`: every pair of languages of a model, score and size."""
    rows = []
    for ((model, one), first), ((other, two), second) in itertools.combinations(files.items(), 2):
        if model != other:
            continue
        sets = [_own_sets(data, language) for data, language in ((first, one), (second, two))]
        layout = Layout.told(first.attrs, int(first.attrs["n_layers"]), int(first.attrs["n_heads"]))
        for method, k in sorted(set(sets[0]) & set(sets[1])):
            a, b = sets[0][method, k], sets[1][method, k]
            row = {"model": model, "method": method, "language": one, "source_language": two}
            rows.append(row | {"k": k} | overlap_of(a, b, layout))
    return rows


def _own_sets(data: xr.Dataset, language: str) -> dict[tuple[str, int], set[str]]:
    """The components of every ranked circuit of a language, by score and size."""
    table = _conditions(data)
    keep = (table["way"] == KEPT) & (table["source_language"] == language)
    table = table[keep & (table["order"] < 0) & (table["without"] == "") & (table["k"] > 0)]
    return {(row.method, row.k): set(row.components.split(";")) for row in table.itertuples()}


def overlap_of(one: set[str], two: set[str], layout: Layout) -> dict[str, float]:
    """Heads that two circuits share, against heads drawn at random within each layer.

    The chance distribution is that of a sum of independent hypergeometric numbers, one a layer,
    with as many heads in either circuit as it has there; `p` is the chance of at least as many
    shared heads. MLPs are one a layer and are only counted.
    """
    from scipy.stats import hypergeom  # NOTE here: it takes half a second to import

    heads = [{name for name in side if "H" in name} for side in (one, two)]
    chance, distribution = 0.0, np.ones(1)
    for block in layout.blocks:
        own, n_heads = {f"L{block.layer}H{head}" for head in block.heads}, len(block.heads)
        a, b = (len(own & side) for side in heads)
        chance += a * b / n_heads
        distribution = np.convolve(
            distribution, hypergeom.pmf(np.arange(min(a, b) + 1), n_heads, a, b)
        )
    shared = len(heads[0] & heads[1])
    return {
        "heads": len(heads[0]),
        "source_heads": len(heads[1]),
        "shared": shared,
        "chance": chance,
        "p": float(min(1.0, distribution[shared:].sum())),
        "mlps_shared": len((one & two) - heads[0]),
    }
