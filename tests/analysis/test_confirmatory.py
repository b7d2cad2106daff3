"""The tests with p-values: exact under the null, honest about their status, each in its own row."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from synthetic_forced import make_pair

from lengthlens.ablation.conditions import count_matched, matched_draws
from lengthlens.ablation.hypotheses import (
    CONFIRMATORY,
    EXPLORATORY,
    Hypothesis,
    as_values,
    hypotheses_from,
    read_hypotheses,
)
from lengthlens.analysis.causes import compare_scores
from lengthlens.analysis.confirmatory import COLUMNS, POSITIVE, confirm
from lengthlens.analysis.outcomes import MEASURES
from lengthlens.claims.kinds import Data
from lengthlens.claims.verdicts import claims_of_pairs, evaluate_claims, read_claims
from lengthlens.errors import LengthlensError
from lengthlens.statistics import Bootstrap, permutation_p
from lengthlens.statistics.blocks import even_blocks

CLAIMS = Path(__file__).resolve().parents[2] / "resources" / "claims.yaml"
SET = Hypothesis(
    "s", "Set.", "set", CONFIRMATORY, "tuned", "en", "cwa", "end_margin", ("m",), 3, "less"
)
FAMILY = [
    replace(SET, id=f"h{i}", language=language, method=method)
    for i, (language, method) in enumerate(
        [("en", "cwa"), ("en", "end_contrast"), ("it", "cwa"), ("it", "end_contrast")]
    )
]
SCORE = Hypothesis(
    "p", "Score.", "permutation", CONFIRMATORY, "tuned", "en", "nswap", "zero_effect", ("m",)
)
PAIRS = [{"tuned": "m"}]
TOPICS = np.repeat([f"t{i:02d}" for i in range(12)], 3)
HEADS = 8
BLOCKS = even_blocks(2, HEADS, HEADS)
FAST = Bootstrap(resamples=100)


def random_set(rng, pattern=(1, 2)) -> tuple[tuple[int, int], ...]:
    picked = [
        (layer, int(head))
        for layer, count in enumerate(pattern)
        for head in rng.choice(HEADS, count, replace=False)
    ]
    return tuple(sorted(picked))


def ablation(
    language: str, damage: dict[str, float], seed: int, controls: int = 199, family=FAMILY
) -> xr.Dataset:
    """Margins without a random set of heads, and without its controls of both pools.

    Heads differ in what they do, and one dominates. Under no `damage` the chosen set is random; the
    sets of test and controls are those of the package.
    """
    rng = np.random.default_rng(seed)
    effects = rng.standard_normal((2, HEADS))
    effects[rng.integers(2), rng.integers(HEADS)] += 10.0
    rows = [("none", "", "", "", False, 0.0, 0)]
    for h in (h for h in family if h.language == language):
        chosen = random_set(rng)
        for pool, test in (("disjoint", ""), ("all", h.id)):
            draws = matched_draws(chosen, BLOCKS, controls, f"{seed}:{h.id}:{pool}", pool)
            possible = count_matched(chosen, BLOCKS, pool)
            for draw, heads in enumerate([chosen, *draws]):
                lost = sum(effects[layer, head] for layer, head in heads)
                lost += 0.0 if draw else damage.get(h.id, 0.0)
                rows.append((h.method, test, pool, "top", draw > 0, lost, possible))
    margin = np.array([row[5] for row in rows])[:, None] * -1.0
    margin = margin + 0.01 * rng.standard_normal((1, len(TOPICS)))
    dims = ("condition", "sample")
    return xr.Dataset(
        {
            "end_margin": (dims, margin),
            "error": (dims, np.full(margin.shape, np.nan)),
            "truncated": (dims, np.full(margin.shape, np.nan)),
        },
        coords={
            **{
                name: ("condition", [row[place] for row in rows])
                for place, name in enumerate(("method", "test", "pool", "chosen_by", "control"))
            },
            "source_language": ("condition", [language] * len(rows)),
            "mode": ("condition", ["zero"] * len(rows)),
            "k": ("condition", [3] * len(rows)),
            "components": ("condition", ["L0H0"] * len(rows)),
            "n_possible": ("condition", [float(row[6]) for row in rows]),
            "topic": ("sample", TOPICS),
        },
    )


def both(damage: dict[str, float], seed: int, **options) -> dict:
    return {
        "ablation": {
            ("m", language): ablation(language, damage, 2 * seed + place, **options)
            for place, language in enumerate(("en", "it"))
        }
    }


def scored(follows: str = "nswap", seed: int = 0, n_kv_heads: int = 5) -> dict:
    own, forced = make_pair(seed, follows)
    forced = forced.assign_attrs(n_kv_heads=n_kv_heads)
    return {"attribution": {("m", "en"): own}, "forced": {("m", "en"): forced}}


def test_the_same_heads_stand_beside_it_in_every_mode() -> None:
    """Chosen minus other random heads, mode by mode; a mode that the file lacks has none."""
    data = ablation("en", {}, 0, controls=19, family=FAMILY[:1])
    beside = data.isel(condition=np.flatnonzero(data["pool"] == "disjoint"))
    resampled = beside.assign_coords(mode=("condition", ["resample"] * beside.sizes["condition"]))
    shift = xr.where(resampled["control"], 0.0, -2.0)
    resampled["end_margin"] = resampled["end_margin"] + shift
    files = {"ablation": {("m", "en"): xr.concat([data, resampled], "condition")}}
    (row,) = confirm(FAMILY[:1], PAIRS, files, FAST).to_dict("records")
    margins = beside["end_margin"].mean("sample").to_numpy()
    control = beside["control"].to_numpy()
    effect = margins[~control][0] - margins[control].mean()
    assert row["effect_zero"] == pytest.approx(effect)
    assert row["effect_resample"] == pytest.approx(effect - 2)
    assert row["effect_resample_low"] < row["effect_resample"] < row["effect_resample_high"]
    assert np.isnan(row["effect_mean"]) and row["mode"] == "zero"


# --- sets ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "before"), [((1, 2), 0.1), ((3,), None)])
def test_random_sets_are_rarely_significant_and_were_often_with_disjoint_controls(
    pattern: tuple[int, ...], before: float | None
) -> None:
    """P(p <= .05) of a random set: .05 among all sets, drawn or enumerated; more among disjoint.

    Effects of heads add up, and one head dominates. 250 rounds: standard error .014. Of three heads
    of one layer there are only 10 disjoint sets, too few for such a p.
    """
    rng = np.random.default_rng(0)
    p: dict[str, list[float]] = {"all": [], "disjoint": []}
    for round_ in range(250):
        effects = rng.standard_normal((2, HEADS))
        effects[rng.integers(len(pattern)), rng.integers(HEADS)] += 10.0
        chosen = random_set(rng, pattern)
        for pool, found in p.items():
            draws = matched_draws(chosen, BLOCKS, 199, f"{round_}", pool)
            sums = np.array([sum(effects[head] for head in heads) for heads in [chosen, *draws]])
            found.append(float(permutation_p(sums[0], sums[1:], "greater", 10)))
    level = {pool: np.mean(np.array(found) <= 0.05) for pool, found in p.items()}
    assert level["all"] == pytest.approx(0.05, abs=0.042)
    assert before is None or level["disjoint"] > before


def test_a_set_that_matters_is_shown() -> None:
    """Damage in one of four tests; its corrected p is four times its own, 1/200."""
    table = confirm(FAMILY, PAIRS, both({"h2": 40.0}, 0), FAST)
    assert tuple(table.columns) == COLUMNS
    row = table.iloc[2]
    assert row["p"] == pytest.approx(1 / 200) and row["p_holm"] == pytest.approx(4 / 200)
    assert row["verdict"] == "shown" and row["status"] == CONFIRMATORY
    assert row["value"] == pytest.approx(row["chosen"] - row["control"])
    assert row["value_low"] < row["value"] < row["value_high"] < 0
    assert (row["n_samples"], row["n_topics"], row["n_draws"]) == (36, 12, 199)
    assert (row["k"], row["n_possible"], row["effect_name"]) == (3, 8 * 28 - 1, "end_margin")
    assert set(table["family"]) == {"confirmatory set tests of m"}
    greater = [replace(h, direction="greater") for h in FAMILY]
    opposite = confirm(greater, PAIRS, both({"h2": 40.0}, 0), FAST)
    assert opposite["p"].iloc[2] == pytest.approx(1.0)


def test_controls_come_from_all_sets_and_effect_sizes_from_disjoint_ones() -> None:
    """The p-value does not change where the disjoint controls are other ones; effects do."""
    files = both({}, 3)
    data = files["ablation"]["m", "en"]
    changed = data.copy(deep=True)
    changed["end_margin"][(data["pool"] == "disjoint").to_numpy()] = 100.0
    first = confirm(FAMILY[:1], PAIRS, files, FAST)
    second = confirm(FAMILY[:1], PAIRS, {"ablation": {("m", "en"): changed}}, FAST)
    effects = [name for name in first if name.startswith("effect_zero")]
    assert (first[effects] != second[effects]).to_numpy().all()
    pd.testing.assert_frame_equal(first.drop(columns=effects), second.drop(columns=effects))


def test_tests_that_differ_in_their_measure_alone_keep_their_rows() -> None:
    """Both ids are joined in the file, and each test finds its own sets and measure."""
    data = ablation("en", {}, 0, family=FAMILY[:1])
    names = np.where(data["test"] == "h0", "h0;exact", "")
    data = data.assign_coords(test=("condition", names))
    tests = [FAMILY[0], replace(FAMILY[0], id="exact", effect="exact")]
    table = confirm(tests, PAIRS, {"ablation": {("m", "en"): data}}, FAST)
    assert table["id"].tolist() == ["h0", "exact"]
    assert np.isfinite(table["p"].iloc[0])
    assert table["verdict"].iloc[1] == "not tested"  # no answers in this file
    assert table["reason"].iloc[1] == "no answer has a value"


def test_too_few_controls_give_no_p_value() -> None:
    """98 drawn sets of 223 are too few; where all 7 others of a layer were tried, too."""
    table = confirm(FAMILY, PAIRS, both({"h2": 9.0}, 0, controls=98), FAST)
    assert table["p"].isna().all() and set(table["verdict"]) == {"not tested"}
    assert set(table["reason"]) == {"98 random sets of 223; a p-value needs 99 or all of them"}
    files = both({}, 0, controls=98)
    for name, data in files["ablation"].items():
        few = data.assign_coords(n_possible=data["n_possible"] * 0 + 98.0)
        files["ablation"][name] = few
    assert confirm(FAMILY, PAIRS, files, FAST)["p"].notna().all()  # all there are: exact


def test_tests_that_cannot_be_made_stay_in_the_family() -> None:
    """One of four can be made: it is still corrected for four."""
    data = {("m", "it"): ablation("it", {"h2": 40.0}, 0)}
    lacking = data["m", "it"]
    data["m", "it"] = lacking.isel(condition=(lacking["test"] != "h3").to_numpy())
    table = confirm(FAMILY, PAIRS, {"ablation": data}, FAST)
    assert table["p"].isna().tolist() == [True, True, False, True]
    assert table["p_holm"].iloc[2] == pytest.approx(4 * table["p"].iloc[2])
    assert table["verdict"].tolist()[:2] == ["no data", "no data"]
    assert table["reason"].iloc[0] == "the run has no ablation/m.en.nc"
    assert table["reason"].iloc[3] == "the model has no 3 heads that end_contrast ranks"


# --- scores --------------------------------------------------------------------------------------


def test_a_score_that_follows_the_effect_is_shown() -> None:
    files = scored()
    row = confirm([SCORE], PAIRS, files, FAST).iloc[0]
    assert row["p"] == pytest.approx(1e-4) and row["verdict"] == "shown"
    assert (row["n_components"], row["n_draws"], row["effect_name"]) == (20, 9999, "zero_effect")
    scores = compare_scores({"m": "tuned"}, files["attribution"], files["forced"], FAST)
    same = scores[
        (scores["kind"] == "head") & (scores["over"] == "within")
        & (scores["outcome"] == "decision") & (scores["score"] == "nswap")
    ].iloc[0]  # fmt: skip
    for name, other in (("value", "correlation"), ("over_norm", "over_norm")):
        for end in ("", "_low", "_high"):
            assert row[name + end] == pytest.approx(same[other + end], nan_ok=True)
    other = confirm([replace(SCORE, method="end_contrast")], PAIRS, files, FAST).iloc[0]
    assert other["p"] > 0.05 and other["verdict"] == "not shown"


def test_a_score_that_is_size_is_not_shown_whatever_its_p_value() -> None:
    """Score and effect follow the norm: p is small, but the norm is not exceeded."""
    files = scored("end_contrast")
    own, forced = files["attribution"]["m", "en"], files["forced"]["m", "en"]
    size = own["norm_head"].to_numpy().mean(axis=0)
    for data, name in ((forced, "nswap_head"), (forced, "effect_head")):
        data[name] = 0.1 * data[name]
        data[name].values += size
    row = confirm([SCORE], PAIRS, files, FAST).iloc[0]
    assert row["p"] < 0.01 and not row["over_norm_low"] > 0
    assert row["verdict"] == "not shown" and "output norm" in row["reason"]
    norm = confirm([replace(SCORE, method="norm")], PAIRS, files, FAST).iloc[0]
    assert norm["verdict"] == "shown" and np.isnan(norm["over_norm"])


def test_key_value_groups_reach_the_test() -> None:
    """Five heads that all share keys and values, or none: the arrangements are 5!^4 either way.

    With an attribute that does not fit the heads the file is refused.
    """
    for groups in (1, 5):
        row = confirm([SCORE], PAIRS, scored(n_kv_heads=groups), FAST).iloc[0]
        assert row["n_possible"] == 120**4
    with pytest.raises(LengthlensError, match="5 heads of a layer are no 2 key-value groups"):
        confirm([SCORE], PAIRS, scored(n_kv_heads=2), FAST)


def test_an_effect_that_was_not_measured_is_no_data() -> None:
    files = scored()
    forced = files["forced"]["m", "en"].assign_coords(mode=["mean"])
    files["forced"] = {("m", "en"): forced}
    row = confirm([SCORE], PAIRS, files, FAST).iloc[0]
    assert row["verdict"] == "no data" and "forced.modes has no `zero`" in row["reason"]


# --- status, families, files ---------------------------------------------------------------------


def test_exploratory_tests_show_nothing_and_are_a_family_of_their_own() -> None:
    exploratory = [replace(h, status=EXPLORATORY, id=f"e{i}") for i, h in enumerate(FAMILY)]
    files = both({"h0": 40.0}, 0)
    for name, data in files["ablation"].items():
        both_ids = [
            ";".join(f"{prefix}{text[1:]}" for prefix in "he") if text else ""
            for text in data["test"].to_numpy().tolist()
        ]
        files["ablation"][name] = data.assign_coords(test=("condition", both_ids))
    table = confirm([*FAMILY, *exploratory], PAIRS, files, FAST).set_index("id")
    assert table.loc["h0", "verdict"] == "shown" and table.loc["e0", "verdict"] == "suggested"
    assert table.loc["e0", "p_holm"] == table.loc["h0", "p_holm"] == pytest.approx(4 / 200)
    assert table.loc["e1", "family"] == "exploratory set tests of m"
    words = set(table[table["status"] == EXPLORATORY]["verdict"])
    assert words <= {"suggested", "not suggested"}
    assert set(POSITIVE) == {"shown", "suggested"}


def test_models_that_a_run_lacks_are_no_data_and_in_no_family() -> None:
    absent = [replace(h, id=f"a{i}", models=("x", "y")) for i, h in enumerate(FAMILY)]
    table = confirm([*FAMILY, *absent], PAIRS, both({}, 0), FAST).set_index("id")
    assert set(table.loc[["a0", "a1", "a2", "a3"], "verdict"]) == {"no data"}
    assert table.loc["a0", "reason"] == "the run has no model x or y"
    assert table["p_holm"].isna().tolist() == [False] * 4 + [True] * 4
    assert (table["family"] == "confirmatory set tests of m").sum() == 4


def test_ids_are_unique_where_a_test_is_made_of_two_pairs() -> None:
    files = both({}, 0)
    files["ablation"] |= {("w", key[1]): data for key, data in files["ablation"].items()}
    free = [replace(h, models=("m", "w")) for h in FAMILY]
    table = confirm(free, [{"tuned": "m"}, {"tuned": "w"}], files, FAST)
    assert table["id"].is_unique and set(table["id"].iloc[:2]) == {"h0.m", "h1.m"}
    assert table.groupby("family").size().tolist() == [4, 4]


def test_the_shipped_tests_name_their_status() -> None:
    """No confirmatory test is about the first pocket pair, whose results were seen."""
    tests = read_hypotheses(CLAIMS)
    assert len({h.id for h in tests}) == len(tests)
    confirmatory = [h for h in tests if h.status == CONFIRMATORY]
    assert confirmatory and len(confirmatory) < len(tests)
    for h in confirmatory:
        assert h.models and not {"pocket-instruct", "pocket-base"} & set(h.models)
    assert {h.effect for h in tests if h.test == "set"} <= set(MEASURES)
    assert {h.effect for h in tests if h.test == "permutation"} == {"zero_effect"}
    assert all(h.k for h in tests if h.test == "set")
    assert hypotheses_from(as_values(tests)) == tests


def test_the_shipped_claims_name_theirs() -> None:
    claims = read_claims(CLAIMS)
    confirmatory = [c for c in claims if c.get("status") == CONFIRMATORY]
    assert confirmatory and all(c["models"] for c in confirmatory)
    pair = {"untuned": "pocket-base", "tuned": "pocket-instruct"}
    [own] = claims_of_pairs(claims, [pair])
    assert len(own) == len(claims)
    table = evaluate_claims(confirmatory, Data(pair, {}, {}))
    assert set(table["verdict"]) == {"no data"} and set(table["status"]) == {CONFIRMATORY}
    assert table["reason"].str.contains("the run has no model ").all()
    seed = {"untuned": "b", "tuned": confirmatory[0]["models"][0]}
    first, second = claims_of_pairs(claims, [pair, seed])
    ids = {c["id"] for c in confirmatory if seed["tuned"] in c["models"]}
    assert len(ids) > 10  # others are about SmolLM2, which is not here
    assert not ids & {c["id"] for c in first} and ids <= {c["id"] for c in second}


def broken(tmp_path: Path, rows) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"tests": rows}), encoding="utf-8")
    return path


def as_row(one: Hypothesis, **changes) -> dict:
    values = asdict(one) | {"models": list(one.models)} | changes
    return {key: value for key, value in values.items() if value is not None}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([as_row(SET, id=f"h{i}") for i in range(5)], "5 confirmatory set tests are about m"),
        ([{"id": "x"}], "missing"),
        ([as_row(SET), as_row(SET)], r"s is also the id of tests\[0\]"),
        ([as_row(SET, models=None)], "a confirmatory test names the models"),
        ([as_row(SET, k=None)], "k: missing"),
        ([as_row(SET, effect="speed")], "exact, early, late"),
        ([as_row(SET, status="likely")], "exploratory, or confirmatory"),
        ([as_row(SCORE, k=3)], "k"),
        ([as_row(SCORE, effect="exact", direction=None)], "zero_effect"),
    ],
)
def test_wrong_tests_are_refused(tmp_path: Path, rows, message: str) -> None:
    with pytest.raises(LengthlensError, match=message):
        read_hypotheses(broken(tmp_path, rows))


def test_files_without_tests(tmp_path: Path) -> None:
    with pytest.raises(LengthlensError, match="does not exist"):
        read_hypotheses(tmp_path / "none.yaml")
    (tmp_path / "no.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(LengthlensError, match="is not YAML"):
        read_hypotheses(tmp_path / "no.yaml")
    (tmp_path / "old.yaml").write_text("claims: []", encoding="utf-8")
    assert read_hypotheses(tmp_path / "old.yaml") == []
