"""The same study of several pairs, compared: what carries N in each, and at what depth.

    PYTHONPATH=scripts python -m lengthlens.reporting.replication docs/replication.md \\
        results/pocket results/pocket-seeds results/smollm2-135m

writes the tables of docs/replication.md, and a figure of the page's name
(docs/figures/replication.svg), from the tables of finished runs. The models are shown next to each
other on the same axes; nothing is pooled.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from lengthlens.analysis.tables import rows_of
from lengthlens.claims.verdicts import NO_DATA
from lengthlens.figures.numbers import NONE, estimated, number, suffix
from lengthlens.figures.series import CARRIES
from lengthlens.figures.style import (
    ModelLook,
    interval_bars,
    no_data,
    page_width,
    save_figure,
    styled,
    zero_line,
)
from lengthlens.files.formats import FIGURE
from lengthlens.files.marks import markdown_table
from lengthlens.files.provenance import provenance
from lengthlens.readers import open_claims, open_table
from lengthlens.reporting.answers import shown
from lengthlens.reporting.digest import put
from lengthlens.statistics import Estimate, spearman_interval

LANGUAGE = "en"
PERCENT = suffix("percent")
LOOKS = {
    "head": ("heads", ModelLook("#0072b2", "o", "")),
    "mlp": ("MLPs", ModelLook("#e69f00", "s", "")),
}


def carriers(run: Path) -> pd.DataFrame:
    """Noising patches of single components at all positions, next larger number.

    Returns:
        Rows of tables/patches.csv in English, with `depth`, the layer's middle as a share of all.
    """
    table = open_table(run / "tables/patches.csv")
    kept = rows_of(table, language=LANGUAGE, swap=1, positions="all", direction="noising")
    layers = kept.groupby("model")["layer"].transform("max") + 1
    return kept.assign(depth=(kept["layer"] + 0.5) / layers)


def named(rows: pd.DataFrame) -> pd.DataFrame:
    """Those whose whole interval lies above CARRIES, largest first."""
    return rows[rows["share_low"] > CARRIES].sort_values("share", ascending=False)


def draw(rows: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    """One panel per model: the share of the effect of N that each component carries, by depth."""
    with styled():
        figure = Figure(figsize=(page_width(len(rows)), 2.8), layout="constrained")
        panels = figure.subplots(1, len(rows), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (model, part) in zip(panels, rows, strict=True):
            axes.set_title(model, fontsize=8)
            axes.set_xlabel("depth of the layer")
            axes.set_xlim(0, 1)
            zero_line(axes)
            if part.empty:
                no_data(axes, "nothing was patched")
            for kind, (name, look) in LOOKS.items():
                some = rows_of(part, kind=kind)
                interval_bars(axes, some["depth"], Estimate.read(some, "share"), look, name)
            for row in named(part).head(6).itertuples():
                axes.annotate(row.component, (row.depth, row.share), (3, 2), fontsize=6,
                              textcoords="offset points")  # fmt: skip
        panels[0].set_ylabel("share of the N effect")
        panels[0].legend(frameon=False)
    return figure


def alike(rows: Sequence[tuple[str, pd.DataFrame]], untuned: Mapping[str, set[str]]) -> str:
    """Whether models tuned from the same one carry N by the same components: a table, or nothing.

    Args:
        rows: tuned model and its patches.
        untuned: of every tuned model, the untuned ones beside which it was studied.
    """
    cells = []
    for (one, first), (two, second) in itertools.combinations(rows, 2):
        if not untuned[one] & untuned[two]:
            continue  # their components have nothing to do with each other
        both = first.merge(second, on="component", suffixes=("", "_other"))
        for kind, (name, _) in LOOKS.items():
            own = rows_of(both, kind=kind).dropna(subset=["share", "share_other"])
            found = spearman_interval(*own[["share", "share_other", "layer"]].to_numpy().T)
            told = estimated(found.columns("r"), "r", "correlation")
            cells.append((f"{one}, {two}", f"{len(own)} {name}", told))
    head = ["tuned from one model", "patched in both", "rank correlation of their shares"]
    return markdown_table(head, cells) if cells else ""


def behaviour(runs: Sequence[Path], rows: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """How well each model keeps to N, and what carries N there: a table."""
    control = pd.concat([open_table(run / "tables/control.csv") for run in runs])
    control = rows_of(control, language=LANGUAGE).set_index("model")
    cells = []
    for model, part in rows:
        told, found = control.loc[model], named(part)
        carry = [
            ", ".join(
                f"{row.component} {100 * row.share:.0f}{PERCENT}" for row in some.itertuples()
            )
            or "none"
            for some in (rows_of(found, kind=kind) for kind in LOOKS)
        ]
        chance = number(told["chance"], "percent") + PERCENT
        effect = estimated(told, "n_effect", "logits")
        cells.append((model, shown(told, "exact", "percent"), chance, effect, *carry))
    head = ["model", "exact", "by chance", "N effect [logits]"]
    return markdown_table([*head, "heads that carry N", "MLPs that do"], cells)


def verdicts(runs: Sequence[Path]) -> str:
    """The verdicts of every model on the claims fixed beforehand: a table, or nothing."""
    claims = pd.concat(
        [open_table(run / "tables/confirmatory.csv") for run in runs]
        + [open_claims(run / "claims.csv") for run in runs]
    )
    claims = rows_of(claims[claims["verdict"] != NO_DATA], status="confirmatory")
    if claims.empty:
        return ""
    p_values = claims["p_holm"].map(lambda p: f" (p = {p:.2g})" if pd.notna(p) else "")
    told = claims.assign(told=claims["verdict"] + p_values).pivot_table(
        index="claim", columns="model", values="told", aggfunc="first", sort=False
    )
    cells = ((claim, *row) for claim, row in told.fillna(NONE).iterrows())
    return markdown_table(["claim", *told], cells)


def tables(runs: Sequence[Path], rows: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """Behaviour and carriers of every model, and the verdicts on the claims that name several."""
    untuned = _untuned(runs, [model for model, _ in rows])
    return "\n\n".join(filter(None, [behaviour(runs, rows), alike(rows, untuned), verdicts(runs)]))


def _untuned(runs: Sequence[Path], tuned: Sequence[str]) -> dict[str, set[str]]:
    """The models of each tuned model's run that are not tuned."""
    found: dict[str, set[str]] = {}
    for run in runs:
        models = set(open_table(run / "tables/control.csv")["model"])
        found |= dict.fromkeys(models & set(tuned), models - set(tuned))
    return found


def main(page: str, *folders: str) -> None:
    runs = [Path(folder) for folder in folders]
    rows = [
        (str(model), part)
        for run in runs
        for model, part in carriers(run).groupby("model", sort=False)
    ]
    source = Path(page)
    source.write_text(put(source.read_text(encoding="utf-8"), tables(runs, rows)), encoding="utf-8")
    made = provenance(FIGURE, {"runs": [run.name for run in runs]})
    figure = source.parent / "figures" / f"{source.stem}.svg"
    figure.parent.mkdir(exist_ok=True)
    save_figure(draw(rows), figure, made, "What carries N, by depth")


if __name__ == "__main__":
    main(*sys.argv[1:])
