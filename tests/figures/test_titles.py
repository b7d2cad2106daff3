"""A title states what whole intervals show, and never what they leave open."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from synthetic_attribution import make_attribution
from synthetic_study import make_ranking

from lengthlens.figures import (
    ablation,
    ablation_all,
    circuit,
    count,
    cwa_by_layer,
    cwa_by_n,
    cwa_heatmaps,
    depth,
    error_by_n,
    extrapolation,
    faithfulness,
    repair,
    same_text,
    scores,
    series,
    tokenization,
    tracing,
    transfer,
    transplants,
)
from lengthlens.figures.registry import FIGURES
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import Case, sizes, stated, tallied, where
from lengthlens.statistics import Bootstrap

LANGUAGES = {"en": "English", "it": "Italian", "lb": "Luxembourgish (Latin)"}
CAST = Cast({"base": "untuned", "chat": "tuned"}, LANGUAGES)
Limits = tuple[float, float, float]
ABOVE, BELOW, OPEN, NONE = (0.2, 0.1, 0.3), (-0.2, -0.3, -0.1), (0.1, -0.1, 0.3), (0.1, np.nan, 1.0)


def case(limits: Limits, language: str = "English", model: str = "chat") -> Case:
    return Case(model, language, *limits)


def say(*limits: Limits) -> str:
    names = [name.partition(" (")[0] for name in LANGUAGES.values()]
    cases = [case(each, name) for each, name in zip(limits, names, strict=False)]
    return stated(cases, "it rises by {by}", "it falls by {by}", "it rises", unit="percent")


@pytest.mark.parametrize(
    ("limits", "title"),
    [
        ([ABOVE], "It rises by 20 points [10, 30] in English"),
        ([BELOW], "It falls by 20 points [10, 30] in English"),
        ([OPEN], "Whether it rises is undecided in English"),
        ([NONE], "Whether it rises is undecided in English"),
        ([], "Whether it rises is undecided"),
        ([ABOVE, (0.4, 0.2, 0.5)], "It rises by 20 to 40 points in English and Italian"),
        ([ABOVE] * 3, "It rises by 20 points in all 3 languages"),
        (
            [ABOVE, OPEN, NONE],
            "It rises by 20 points [10, 30] in English; undecided in Italian and Luxembourgish",
        ),
        (
            [BELOW, ABOVE, OPEN],
            "It rises by 20 points [10, 30] in Italian; it falls by 20 points [10, 30] in English; "
            "undecided in Luxembourgish",
        ),
        ([(0.1, 0.0, 0.2)], "Whether it rises is undecided in English"),  # touches 0
    ],
)
def test_a_title_follows_the_intervals(limits: list[Limits], title: str) -> None:
    assert say(*limits) == title


def test_several_models_are_counted_or_named() -> None:
    both = [case(ABOVE, "English", model) for model in ("one", "two")]
    assert where(both, both) == "for one and two"
    four = [case(ABOVE, code, model) for model in ("one", "two") for code in ("en", "it")]
    assert where(four[:3], four) == "in 3 of 4 cases of model and language"
    assert where(four[:1], four) == "for one in en"
    assert sizes(four[:1], None) == ""


def test_subjects_are_told_one_by_one() -> None:
    told = tallied(
        {"A": [case(ABOVE), case(OPEN, "Italian")], "B": [case(BELOW), case(NONE, "Italian")]}
    )
    assert told == ("A in English, B nowhere; the opposite: B in English; undecided elsewhere")
    assert tallied({"A": [case(ABOVE)]}) == "A in English"


# --- every figure, with made tables at either side of what it compares with and across it ---------


def rows(name: str, limits: Limits, **columns: object) -> pd.DataFrame:
    """A row a language with the same limits."""
    return pd.DataFrame(
        [
            {"model": "chat", "tuned": "chat", "language": code, "swap": 1} | columns
            | dict(zip((name, f"{name}_low", f"{name}_high"), limits, strict=True))
            for code in LANGUAGES
        ]
    )  # fmt: skip


def shifted(limits: Limits, null: float) -> Limits:
    value, low, high = (limit + null for limit in limits)
    return value, low, high


def beside(table: pd.DataFrame, other: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table with the columns of another that are called like `name`."""
    return pd.concat([table, other.filter(like=name)], axis=1)


def removed(limits: Limits, sign: int = -1) -> pd.DataFrame:
    """What removing heads does: above, exact answers fall."""
    value, *ends = (sign * limit for limit in limits)
    labels = {"measure": "exact", "chosen_by": "top", "kind": "head", "mode": "zero"}
    labels |= {"method": "cwa", "k": 4}
    both = {name: rows(name, (value, *sorted(ends)), **labels) for name in ("change", "effect")}
    table = beside(both["change"], both["effect"], "effect")
    return table.assign(source_language=table["language"])


def by_layer(limits: Limits) -> xr.Dataset:
    ends = dict(zip(("", "_low", "_high"), limits, strict=True)) | {"_null": 0.0, "_null_sd": 0.01}
    dims = ("model", "language", "layer")
    values = {f"cwa_mlp_step_all{end}": (dims, np.full((2, 3, 2), v)) for end, v in ends.items()}
    return xr.Dataset(
        values | dict.fromkeys(("cwa_mlp_all", "cwa_head_layer_all"), values["cwa_mlp_step_all"]),
        {"model": list(CAST.tunings), "language": list(LANGUAGES)},
    )


def by_n(limits: Limits) -> str:
    """Late heads whose CWA per step grows with N by the value of the limits."""
    data = make_attribution(layers=4, noise=0.01).dataset
    n, steps = data["n"].to_numpy(), data["n_steps"].to_numpy()
    growth = limits[0] if np.prod(limits) else 0.0
    jitter = np.resize([-1.0, 1.0, 0.5, -0.5], n.size)
    values = (growth * n + (1e-3 if growth else 1.0) * jitter) * steps
    heads = xr.zeros_like(data["cwa_head"]) + xr.DataArray(values, dims="sample")
    one = data.assign(cwa_head=heads)
    return cwa_by_n.title({("chat", c): one for c in LANGUAGES}, CAST, Bootstrap(method="student"))


def told_of(limits: Limits) -> Limits:
    """Growth for `by_n`, none where the limits leave it open."""
    return limits if limits[1] * limits[2] > 0 else (0.0, 0.0, 0.0)


def faithful(limits: Limits) -> pd.DataFrame:
    kept = rows("faithfulness", shifted(limits, 0.5), method="atp", k=4, n_components=9)
    random = rows("random", (0.5, 0.49, 0.51))
    kept = kept.rename(columns={"faithfulness_low": "low", "faithfulness_high": "high"})
    return beside(kept, random, "random").assign(source_language=kept["language"])


def exchanged(limits: Limits, neutral: bool = True) -> pd.DataFrame:
    labels = {"what": "all", "scale": 1, "into": "untuned", "measure": "exact"}
    share = shifted(limits, 0.5)
    return pd.concat(
        rows("share", share, layers=layers, neutral_within=neutral, **labels)
        for layers in ("0-3", "3-3")
    )


def steps(limits: Limits) -> pd.DataFrame:
    first = rows("value", (0.5, 0.5, 0.5), step=0)
    last = rows("value", shifted(limits, 0.5), step=9)
    return pd.concat([first, last]).assign(series="s", quantity="exact")


def aligned(limits: Limits, coverage: float = 0.9) -> pd.DataFrame:
    change = rows("value", limits, measure="exact", quantity="change")
    whole = rows("value", (coverage, np.nan, np.nan), measure="coverage", quantity="")
    broken = rows("value", (0.0, np.nan, np.nan), measure="degenerate", quantity="")
    return pd.concat([change, whole, broken]).assign(reference="")


def margins(limits: Limits) -> pd.DataFrame:
    first = rows("margin", (-1.0, -2.0, -0.5), place=0, layer=np.nan)
    return pd.concat([first, rows("margin", limits, place=1, layer=0)])


def moved(limits: Limits) -> pd.DataFrame:
    """Effects on other languages: above, the margin falls further than without random heads."""
    value, low, high = limits
    table = rows("effect", (-value, -high, -low), method="cwa", k=4, source_language="xx")
    return table.rename(columns={"language": "target_language"})


TITLES: dict[str, tuple[Callable[[Limits], str], str, str]] = {
    "error_by_n": (
        lambda limits: error_by_n.title(
            beside(rows("over_chance", limits), rows("exact", (0.5, 0.4, 0.6)), "exact"),
            CAST,
        ),
        "50 % of the answers of chat have exactly N words, more than by chance, in all 3",
        "fewer than by chance, in all 3 languages",
    ),
    "cwa_by_layer": (
        lambda limits: cwa_by_layer.title(by_layer(limits), CAST),
        "The final MLP's CWA is above the shifted-sign null in all 3 languages",
        "below the shifted-sign null in all 3 languages",
    ),
    "cwa_by_n": (
        lambda limits: by_n(told_of(limits)),
        "Late heads' CWA per step is larger at N = 5 than at N = 3 in all 3 languages",
        "smaller at N = 5 than at N = 3 in all 3 languages",
    ),
    "same_text": (
        lambda limits: same_text.title(
            pd.concat(
                rows("value", limits, group="late heads", quantity=text)
                for text in ("on_tuned", "on_untuned")
            ),
            CAST,
        ),
        "late heads have more CWA in the tuned model in all 3 languages",
        "late heads have less CWA in the tuned model in all 3 languages",
    ),
    "ablation": (
        lambda limits: ablation.title(removed(limits), ["cwa"], 4, CAST),
        "Without the 4 heads ranked highest, exact answers fall by 20 points in all 3 languages "
        "(CWA); further than without random heads of the same layers in 3 of 3",
        "exact answers rise by 20 points in all 3 languages (CWA)",
    ),
    "ablation_all": (
        lambda limits: ablation_all.title(removed(limits), CAST),
        "Exact answers fall without the 4 heads that are ranked highest by CWA in all 3 languages",
        "the opposite: by CWA in all 3 languages",
    ),
    "scores": (
        lambda limits: scores.title(
            rows("over_norm", limits, over="within", outcome="decision", score="cwa"), CAST
        ),
        "better than their output norm does: CWA in all 3 languages",
        "CWA nowhere; the opposite: CWA in all 3 languages",
    ),
    "transfer": (
        lambda limits: transfer.title(moved(limits), CAST),
        "further than ablating random heads: by CWA in 3 of 3 cases",
        "by CWA in 0 of 3 cases (less far in 3)",
    ),
    "faithfulness": (
        lambda limits: faithfulness.title(faithful(limits), CAST),
        "4 of 9 components keep 70 % of the effect of N, more than as many with heads drawn at "
        "random, in all 3 languages",
        "less than as many with heads drawn at random, in all 3 languages",
    ),
    "tracing": (
        lambda limits: tracing.title(
            rows("share", shifted(limits, 0.5), direction="noising", layer=3, role="mark"), CAST
        ),
        "Where the stream enters layer 3, the final mark carries more than half of the effect of N "
        "in all 3 languages",
        "even the final mark carries less than half of the effect of N in all 3 languages",
    ),
    "count": (
        lambda limits: count.title(
            beside(
                rows("beyond", limits, depth=1.0), rows("control", (0.0, -0.01, 0.01)), "control"
            ),
            CAST,
        ),
        "can be decoded from the final stream beyond text, position and template in all 3",
        "worse than with N permuted in all 3 languages",
    ),
    "depth": (
        lambda limits: depth.title(margins(limits), CAST),
        "Once N words are written, the margin of chat favours ending from layer 0 on in all 3",
        "the margin of chat favours going on in all 3 languages",
    ),
    "transplants": (
        lambda limits: transplants.title(exchanged(limits), CAST),
        "Tuned weights of the last quarter of layers alone recover more than half of the gain",
        "Tuned weights of the last quarter of layers alone recover less than half of the gain",
    ),
    "series": (
        lambda limits: series.title(steps(limits), CAST),
        "Tuning makes answers exact more often in all 3 languages",
        "exact less often in all 3 languages",
    ),
    "repair": (
        lambda limits: repair.title(
            rows("contribution", limits, term="mlps", mode="zero", method="late_heads", k=16), CAST
        ),
        "Without the late heads, the MLPs also contribute less to ending in all 3 languages",
        "the MLPs contribute more to ending in all 3 languages",
    ),
    "tokenization": (
        lambda limits: tokenization.title(aligned(limits), CAST),
        "Answers are exact more often when every token is one word in all 3 languages",
        "exact less often when every token is one word in all 3 languages",
    ),
    "extrapolation": (
        lambda limits: extrapolation.title(rows("gain", limits, probe="extrapolation", n=12), CAST),
        "Beyond the study, up to N = 12, answers of chat grow by 0.20 words per word requested in",
        "answers of chat shrink by 0.20 words per word requested in all 3 languages",
    ),
}
WITHOUT_INTERVALS = {"cwa_heatmaps", "circuit", "worked_cases"}  # two below, one in its own file


def test_every_figure_has_its_titles_tested() -> None:
    assert set(TITLES) | WITHOUT_INTERVALS == set(FIGURES)


@pytest.mark.parametrize("name", TITLES)
def test_the_title_of_a_figure_follows_its_intervals(name: str) -> None:
    """Above and below are said where whole intervals lie there, and neither where they do not."""
    title, above, below = TITLES[name]
    said_above, said_below = title(ABOVE), title(BELOW)
    assert above in said_above and below in said_below
    assert above not in said_below and below not in said_above
    for undecided in (title(OPEN), title((0.1, np.nan, np.nan))):
        assert not any(clause in undecided for clause in (above, below)), undecided
        told = ("undecided", "not shown to change", "in 0 of 3 cases")
        assert any(phrase in undecided for phrase in told), undecided


def test_what_is_not_judged_is_not_told() -> None:
    assert "undecided" in tokenization.title(aligned(ABOVE, coverage=0.3), CAST)
    assert "is not judged" in transplants.title(exchanged(BELOW, neutral=False), CAST)


def test_fewer_than_two_controls_leave_the_comparison_open() -> None:
    table = removed(ABOVE).assign(effect_low=np.nan)
    assert ablation.title(table, ["cwa"], 4, CAST).endswith("in 0 of 3")


def test_heads_that_both_scores_rank_are_counted() -> None:
    ranking = make_ranking()
    pairs = {("chat", code): ranking for code in LANGUAGES}
    assert cwa_heatmaps.title(pairs, CAST, 2) == (
        "CWA and the end contrast share 2 of the 2 heads that they rank highest; 0.67 expected by "
        "chance"
    )
    other = ranking.copy()
    ranks = other.loc[other["method"] == "cwa", "rank"]
    other.loc[ranks.index, "rank"] = ranks.to_numpy()[::-1]
    assert "share 0 to 2 of the 2" in cwa_heatmaps.title(pairs | {("chat", "en"): other}, CAST, 2)
    nothing = {("chat", "en"): make_ranking(missing=True)}
    assert cwa_heatmaps.title(nothing, CAST, 2) == "No heads could be ranked by both scores"


def test_a_part_of_the_text_is_named_where_a_component_carries_n_with_its_whole_interval() -> None:
    sure, unsure = (0.3, 0.2, 0.4), (0.3, 0.05, 0.5)
    mark, last, answer = (
        rows("share", limits, component="L0M", place=place)
        for limits, place in ((sure, "mark"), (sure, "last"), (unsure, "answer"))
    )
    route = (
        "Components that carry more than a tenth act at the final mark, then the last token, in "
    )
    assert circuit.title(pd.concat([last, mark, answer]), CAST) == route + "all 3 languages"
    table = pd.concat([mark, last[last["language"] != "it"]])
    assert circuit.title(table, CAST) == (
        route + "English and Luxembourgish; elsewhere by another route or undecided"
    )
    untold = "Which components carry the number is undecided"
    assert circuit.title(answer, CAST) == circuit.title(mark.iloc[:0], CAST) == untold
