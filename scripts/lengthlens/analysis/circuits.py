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

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float

from lengthlens.analysis.tables import Files, header, language_pairs, of_split, rows_of, table_of
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
CURVE = FAITHFULNESS[2:]
_ENDS = {"": "faithfulness", "_low": "low", "_high": "high"}
MEMBERS = header("model language method k component minimality low high n_samples n_topics")
OVERLAP = header(
    "model method language source_language k heads source_heads shared chance p mlps_shared",
)


class CircuitFile:
    """The circuits of one model in one language, as numbers over answers of a split."""

    def __init__(self, data: xr.Dataset, split: str, bootstrap: Bootstrap) -> None:
        chosen = of_split(data, split)
        effect = n_effect(chosen)
        self.data = chosen.isel(sample=np.flatnonzero(np.isfinite(effect)))
        self.effect = effect[np.isfinite(effect)]
        self.margins = self.data["margin"].to_numpy()
        self.topics = self.data["topic"].to_numpy()
        self.bootstrap = bootstrap
        self.table = _conditions(data)

    def rows(self, **labels) -> pd.DataFrame:
        """The conditions with these labels; ranked and whole circuits unless told otherwise."""
        return rows_of(self.table, **{"without": "", **labels})

    def share(self, margins: Float[np.ndarray, "condition sample"]) -> Interval:
        """Margins as shares of the N effect."""
        return share_of_effect(margins.T, self.effect, self.topics, self.bootstrap)

    def faithfulness(self, rows: pd.DataFrame) -> Interval:
        """F of conditions."""
        return self.share(self.margins[rows.index] - self.data["margin_other"].to_numpy())

    def frequency(self, name: str, hits: np.ndarray, known: np.ndarray) -> dict[str, float]:
        """The column of how many of the known answers are hits, with its interval."""
        level = self.bootstrap.level
        return share_interval(hits[known], self.topics[known], level).columns(name)

    @property
    def explains(self) -> bool:
        """Whether there is an effect of N to explain."""
        return len(self.effect) > 0 and has_effect(self.effect, self.topics, self.bootstrap)

    @property
    def counts(self) -> dict[str, int]:
        return {"n_samples": len(self.effect), "n_topics": len(np.unique(self.topics))}

    @property
    def scores(self) -> list[tuple[str, str]]:
        """Every score with the language that it ranked in."""
        methods = self.table["method"]
        rows = self.table[~methods.str.startswith(RANDOM) & (methods != "none")]
        return list(dict.fromkeys(zip(rows["method"], rows["source_language"], strict=True)))


def _conditions(data: xr.Dataset) -> pd.DataFrame:
    """The conditions of a circuits file, a row each."""
    columns = ("way", "method", "source_language", "k", "order", "without", "components")
    return pd.DataFrame({name: data[name].to_numpy() for name in columns})


def summarise_circuits(
    files: Files, faithful: float, bootstrap: Bootstrap
) -> dict[str, pd.DataFrame]:
    """The four tables, by name."""
    select, evaluate = (
        {key: CircuitFile(data, split, bootstrap) for key, data in files.items()}
        for split in ("select", "evaluate")
    )
    curves = {key: pd.DataFrame(_curves(file), columns=CURVE) for key, file in evaluate.items()}
    return {
        "faithfulness": table_of(curves, _records, FAITHFULNESS),
        "circuits": table_of(evaluate, _circuits, CIRCUITS, select, curves, faithful=faithful),
        "circuit_members": table_of(evaluate, _members, MEMBERS),
        "overlap": pd.DataFrame(_overlaps(files), columns=list(OVERLAP)),
    }


def _curves(file: CircuitFile) -> Iterator[dict]:
    """Rows of `faithfulness`: ranked circuits by size, then random orders."""
    n = int(file.data.attrs["n_components"])
    shared = {"positions": file.data.attrs["positions"], "n_components": n} | file.counts
    empty = file.faithfulness(file.rows(method="none"))
    whole = 1.0 if file.explains else np.nan  # with nothing patched, or nothing kept
    for method, source in file.scores:
        labels = {"source_language": source, "method": method}
        row = labels | {"n_orders": 0} | shared
        yield row | {"k": 0, "completeness": whole, **_ends(empty[0])}
        kept, patched = (file.rows(way=way, **labels) for way in (KEPT, PATCHED))
        rest = dict(zip(patched["k"], file.faithfulness(patched).estimate.tolist(), strict=True))
        share = file.faithfulness(kept)
        for place, k in enumerate(kept["k"].tolist()):
            yield row | {"k": k, "completeness": rest[k], **_ends(share[place])}
        ends = dict.fromkeys(_ENDS.values(), whole)
        yield row | {"k": n, "completeness": float(empty.estimate[0]), **ends}
    random = file.table[file.table["method"].str.startswith(RANDOM)]
    keys = ["method", "source_language", "k"]
    for labels, rows in random.groupby(keys, sort=False):
        values = file.faithfulness(rows).estimate
        low, high = np.quantile(values, [0.025, 0.975])
        found = {"n_orders": len(rows), "faithfulness": values.mean(), "low": low, "high": high}
        yield shared | dict(zip(keys, labels, strict=True)) | found


def _ends(share: Interval) -> dict[str, float]:
    return share.columns("faithfulness", ends=BESIDE)


def _records(table: pd.DataFrame) -> list[dict]:
    return table.to_dict("records")


def _circuits(
    evaluate: CircuitFile, select: CircuitFile, curves: pd.DataFrame, faithful: float
) -> Iterator[dict]:
    """Rows of `circuits`: the smallest circuit of every score."""
    n, absent = (evaluate.data.attrs[name] for name in ("n_components", "absent"))
    shared = {"n_components": n} | evaluate.counts
    if not evaluate.scores:
        yield shared | {"method": "", "absent": absent or "no score ranks the components"}
    for method, source in evaluate.scores:
        labels = {"source_language": source, "method": method}
        curve = rows_of(curves, **labels).sort_values("k")
        area = np.trapezoid(curve["faithfulness"], curve["k"] / curve["n_components"])
        row = shared | labels | {"area": float(area)}
        kept = select.rows(way=KEPT, **labels)
        shares = select.faithfulness(kept).estimate
        place = smallest_faithful(kept["k"].to_numpy(dtype=float), shares, faithful)
        explains = select.explains and evaluate.explains
        if place is None or not explains:
            reason = f"no measured size is faithful ({faithful:g}) on the select answers"
            if not explains:
                counts = f"{select.counts['n_samples']} and {evaluate.counts['n_samples']}"
                reason = f"the interval of the mean N effect is not above 0 ({counts} answers)"
            yield row | {"absent": absent or reason}
            continue
        k = int(kept["k"].iloc[place])
        of_size = {"source_language": source, "k": k}
        condition = int(evaluate.rows(way=PATCHED, method=method, **of_size).index[0])
        # as many components with the heads of each layer permuted; none of other languages
        random = rows_of(curves, method=f"{RANDOM}_{method}", **of_size)
        for permuted in random.to_dict("records"):
            row |= {f"random{end}": permuted[name] for end, name in _ENDS.items()}
        yield row | {
            "k": k,
            "components": kept["components"].iloc[place],
            "absent": "",
            "faithfulness_select": float(shares[place]),
            **rows_of(curve, k=k).iloc[0][["faithfulness", "low", "high", "completeness"]],
            **_interchange(evaluate, condition),
            **_written(evaluate, method, source),
        }


def _interchange(file: CircuitFile, condition: int) -> dict[str, float]:
    """In how many answers the decision becomes the other run's, where the two runs differ in it."""
    names = ("free_reached", "free_other")
    reached, other = (file.data[name].to_numpy() > 0 for name in names)
    free: Bool[np.ndarray, " sample"] = file.data["free"].to_numpy()[condition] > 0
    found = file.frequency("interchange", free == other, reached != other)
    return found | {"n_interchange": int((reached != other).sum())}


def _written(file: CircuitFile, method: str, source: str) -> dict[str, float]:
    """How many answers written with the circuit of the other prompt have its number of words."""
    members = file.table[file.table["without"] != ""]
    if members.empty or tuple(members.iloc[0][["method", "source_language"]]) != (method, source):
        return {}
    words, asked = file.data["written"].to_numpy(), file.data["n_swapped"].to_numpy()
    known = np.isfinite(words)
    return file.frequency("written_exact", words == asked, known) | {"n_written": int(known.sum())}


def _members(file: CircuitFile) -> Iterator[dict]:
    """Rows of `circuit_members`: what the smallest circuit loses without each member."""
    without = file.table[file.table["without"] != ""]
    if without.empty:
        return
    labels = without.iloc[0][["method", "source_language", "k"]].to_dict()
    (whole,) = file.rows(way=KEPT, **labels).index
    found = file.share(file.margins[whole] - file.margins[without.index])
    for place, component in enumerate(without["without"].tolist()):
        columns = found[place].columns("minimality", ends=BESIDE)
        yield labels | {"component": component} | columns | file.counts


def _overlaps(files: Files) -> Iterator[dict]:
    """Rows of `overlap`: every pair of languages of a model, score and size."""
    for model, one, two in language_pairs(files):
        sets = [_own_sets(files[model, language], language) for language in (one, two)]
        attrs = files[model, one].attrs
        layout = Layout.told(attrs, int(attrs["n_layers"]), int(attrs["n_heads"]))
        for method, k in sorted(set(sets[0]) & set(sets[1])):
            row = {"model": model, "method": method, "language": one, "source_language": two}
            yield row | {"k": k} | overlap_of(*(own[method, k] for own in sets), layout)


def _own_sets(data: xr.Dataset, language: str) -> dict[tuple[str, int], set[str]]:
    """The components of every ranked circuit of a language, by score and size."""
    own = {"way": KEPT, "source_language": language, "order": -1, "without": ""}
    table = rows_of(_conditions(data), **own)
    table = table[table["k"] > 0]
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
