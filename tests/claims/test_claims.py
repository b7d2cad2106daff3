"""Claims: what is written is checked, verdicts follow from intervals, missing data are told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic_attribution import make_attribution

from lengthlens.claims.kinds import Data, Measurement
from lengthlens.claims.measures import KINDS, measure, unit_of
from lengthlens.claims.verdicts import COLUMNS, evaluate_claims, judge, read_claims
from lengthlens.errors import LengthlensError
from lengthlens.models.depth import layers_between
from lengthlens.reporting.findings import CLAIM_UNITS
from lengthlens.settings.claims import Claims
from lengthlens.statistics import Bootstrap, Interval, share_difference_interval

CLAIMS = Path(__file__).resolve().parents[2] / "resources" / "claims.yaml"
MODELS = {"untuned": "m-base", "tuned": "m-instruct"}
N = (3, 4, 5)


def answers(errors, truncated=None, n_words=N) -> pd.DataFrame:
    """A table of answers over 12 topics, 12 for each N, the errors repeated as needed."""
    n = np.repeat(n_words, 12)
    topics = [f"topic-{i % 12:02d}" for i in range(len(n))]
    cut = np.zeros(len(n), bool) if truncated is None else np.resize(truncated, len(n))
    error = np.resize(errors, len(n))
    return pd.DataFrame({"topic": topics, "n": n, "error": error, "truncated": cut})


def attribution(seed, plus_share=0.7, **shift):
    """8 layers of 2 heads; every step of a component scores its `shift` and a little noise."""
    sizes = {"per_n": 12, "layers": 8, "heads": 2, "noise": 0.1}
    made = make_attribution(seed, N, shift=shift, plus_share=plus_share, **sizes).dataset
    return made.assign_coords(truncated=("sample", np.zeros(made.sizes["sample"], bool)))


def probed(errors, **columns) -> pd.DataFrame:
    """Answers to all three probes, words of one to three tokens."""
    table = answers(errors)
    table["tokens_per_word"] = np.resize([1.0, 2.0, 3.0, 1.5], len(table))
    table = table.assign(**columns)
    parts = [table.assign(probe=probe) for probe in ("free", "aligned", "extrapolation")]
    return pd.concat(parts, ignore_index=True)


def claim(statistic, direction="above", **more) -> dict:
    untuned = {"id": "x", "claim": "X.", "origin": "ours", "null_value": 0, "direction": direction}
    return untuned | {"statistic": statistic} | more


def error_of(language="en", tuning="untuned", measure="error", **more) -> dict:
    side = {"kind": "behaviour", "measure": measure, "tuning": tuning, "language": language}
    return side | more


def row_of(given: dict, attributions=None, generations=None, **options) -> pd.Series:
    data = Data(MODELS, attributions or {}, generations or {}, **options)
    table = evaluate_claims([given], data, Bootstrap(resamples=200))
    assert tuple(table.columns) == COLUMNS
    return table.iloc[0]


def measurement(low, high, rise=False, fall=False) -> Measurement:
    numbers = [np.asarray(x, float) for x in ((low + high) / 2, low, high, 1.0)]
    counts = [np.asarray(20), np.asarray(10)]
    interval = Interval(*numbers, *counts, 0.95, "guarded")
    return Measurement(interval, "", "", 0.5, rise, fall, np.nan)


@pytest.mark.parametrize(
    ("direction", "low", "high", "verdict"),
    [
        ("above", 0.1, 2, "supported"),
        ("above", -0.1, 2, "undecided"),
        ("above", -2, -0.1, "not supported"),
        ("below", -2, -0.1, "supported"),
        ("below", 0.1, 2, "not supported"),
        ("near", -0.4, 0.4, "supported"),
        ("near", -0.6, 0.4, "undecided"),
        ("near", 0.6, 0.9, "not supported"),
        ("near", -0.9, -0.6, "not supported"),
        ("above", np.nan, np.nan, "no data"),
    ],
)
def test_verdict_follows_from_the_interval(direction, low, high, verdict):
    assert judge(direction, 0.0, 0.5, measurement(low, high))[0] == verdict


@pytest.mark.parametrize(
    ("direction", "low", "high", "rise", "fall", "verdict"),
    [
        ("above", 1, 2, True, False, "supported"),  # a lower bound above 0 is above 0
        ("above", -2, -1, True, False, "undecided (censored)"),
        ("above", 1, 2, False, True, "undecided (censored)"),
        ("above", 1, 2, True, True, "undecided (censored)"),
        ("above", -1, 1, True, False, "undecided (censored)"),
        ("below", 1, 2, True, False, "not supported"),
        ("below", -2, -1, True, False, "undecided (censored)"),
        ("near", -0.1, 0.1, True, False, "undecided (censored)"),
        ("near", 1, 2, True, False, "not supported"),
        ("near", -2, -1, True, False, "undecided (censored)"),
    ],
)
def test_cut_answers_leave_only_verdicts_they_cannot_overturn(
    direction, low, high, rise, fall, verdict
):
    found, reason = judge(direction, 0.0, 0.5, measurement(low, high, rise, fall))
    assert found == verdict and "50% of the answers were cut" in reason


def test_the_shipped_claims_are_legal_and_cover_the_paper():
    claims = read_claims(CLAIMS)
    ids = [entry["id"] for entry in claims]
    assert len(set(ids)) == len(ids) >= 25
    assert {entry["origin"] for entry in claims} == {"paper", "ours"}
    for start in ("base-over-generates", "instruct-near-zero", "late-heads-positive", "n3-"):
        assert {"en", "it"} <= {name[-2:] for name in ids if name.startswith(start)}


def test_the_papers_story_is_supported_by_data_that_tell_it():
    """Simulated files in which every claim of the paper that data can decide is true."""
    rng, steps = np.random.default_rng(0), np.linspace(0, 1, 8)
    late = np.where(steps >= 0.75, 1.0, 0.0)
    final = np.where(steps == 1, 1.0, 0.0)
    mlp = 0.4 * (1 - final)
    attributions = {
        ("tuned", "en"): attribution(1, plus_share=1, head=2 * late[:, None], mlp=mlp),
        ("tuned", "it"): attribution(2, plus_share=1, head=late[:, None], mlp=mlp + final),
        ("untuned", "en"): attribution(3, plus_share=1, head=-late[:, None], mlp=-late),
        ("untuned", "it"): attribution(4, plus_share=1, head=-late[:, None], mlp=-late),
    }
    short = np.r_[rng.permutation(12) < 6, rng.permutation(12) < 1, rng.permutation(12) < 1] * -1
    generations = {
        ("tuned", "en"): answers(short),
        ("tuned", "it"): answers(short),
        ("untuned", "en"): answers(rng.geometric(0.03, 36)),
        ("untuned", "it"): answers(rng.geometric(0.04, 36), [True, False]),
    }
    probes = {("tuned", code): probed(short) for code in ("en", "it", "qaa")}
    data = Data(MODELS, attributions, generations, probes)
    table = evaluate_claims(read_claims(CLAIMS), data, Bootstrap(resamples=400))
    verdicts = table.set_index("id")["verdict"]
    undecidable = {"base-over-generates-more-in-english", "n3-cwa-dip-en", "n3-cwa-dip-it"}
    from_paper = set(table["id"][table["origin"] == "paper"]) - undecidable
    assert {name: verdicts[name] for name in from_paper} == dict.fromkeys(from_paper, "supported")
    assert verdicts["base-over-generates-more-in-english"] == "undecided (censored)"
    near = table.set_index("id").loc["final-mlp-near-zero-en"]
    assert near["level"] == 0.9 and -near["margin"] < near["low"] < near["high"] < near["margin"]
    assert near["source"] == "attribution/m-instruct.en.nc"
    known = table[~table["id"].isin(["control-fades-en", "control-fades-it"])]  # of all N to 15
    absent = known["reason"].str.contains("forced|ablation/|repair/|both kinds|no model", na=False)
    told = known[~absent]
    assert told["n"].min() >= 12 and set(told["n_topics"]) == {12}
    assert len(told) == len(known) - 54  # four of them on signs, which too few answers mix


def test_an_empty_run_gives_rows_that_say_what_is_missing():
    claims = read_claims(CLAIMS)
    table = evaluate_claims(claims, Data(MODELS, {}, {}))
    assert set(table["verdict"]) == {"no data"} and len(table) == len(claims)
    assert table["reason"].iloc[0] == "the run has no generations/m-base.en.jsonl"
    lone = evaluate_claims(claims, Data({"tuned": "i"}, {}, {}))
    assert lone["reason"].iloc[0] == "the run has no untuned model"


def test_missing_n_and_lonely_topics_are_said():
    table = answers([1, 2, 3])
    dip = claim(error_of(n=[3], minus={"n": [4, 9]}))
    row = row_of(dip, generations={("untuned", "en"): table})
    assert row["verdict"] == "no data"
    assert row["reason"] == "generations/m-base.en.jsonl holds no answers to N = 9"
    lone = row_of(claim(error_of()), generations={("untuned", "en"): table.assign(topic="sea")})
    assert (lone["verdict"], lone["reason"]) == ("undecided", "no interval: one topic only")
    same = row_of(claim(error_of()), generations={("untuned", "en"): answers([0])})
    assert (same["verdict"], same["reason"]) == ("undecided", "no interval: no variance")
    sides = {("untuned", "en"): table, ("untuned", "it"): answers([1, 2], n_words=(3, 4))}
    unequal = row_of(claim(error_of(minus={"language": "it"})), generations=sides)
    assert unequal["reason"] == "the two sides have different N: [3, 4, 5] and [3, 4]"


def test_behaviour_values_are_balanced_over_n():
    """3 answers to N = 3 weigh as much together as 12 to N = 4."""
    table = answers([0], n_words=(3, 4)).assign(error=lambda t: 10 * (t["n"] == 3) + t.index % 2)
    table = table.iloc[9:].reset_index(drop=True)
    row = row_of(claim(error_of()), generations={("untuned", "en"): table})
    by_n = table.groupby("n")["error"].mean()
    assert row["value"] == pytest.approx(by_n.mean()) and row["n"] == 15
    assert row["statistic"] == "mean error in words (untuned, en, N = 3, 4)"


def test_cut_answers_that_happen_to_fit_are_not_exact():
    table = answers([0], truncated=[True, False])
    row = row_of(claim(error_of(measure="exact")), generations={("untuned", "en"): table})
    assert row["value"] == 0.5 and row["truncated"] == 0.5
    exact = {"generations": {("tuned", "en"): answers([0]), ("untuned", "en"): answers([9])}}
    statistic = error_of(tuning="tuned", measure="exact", minus={"tuning": "untuned"})
    row = row_of(claim(statistic), **exact)
    ones = np.ones(36)
    topics = answers([0])["topic"].to_numpy()
    newcombe = share_difference_interval(ones, topics, 0 * ones, topics)
    assert row["value"] == 1 and row["low"] == pytest.approx(float(newcombe.low))
    assert row["verdict"] == "supported" and row["model"] == "m-instruct - m-base"


def test_cwa_side_is_the_total_of_the_named_components():
    data = attribution(5, head=0.3)
    statistic = {"kind": "cwa", "component": "head", "layers": [0.75, 1], "tuning": "untuned"}
    statistic |= {"language": "en", "form": "step", "target": "end"}
    found = measure(
        statistic, Data(MODELS, {("untuned", "en"): data}, {}), Bootstrap(resamples=200)
    )
    totals = data["cwa_head"].sel(target="end").isel(layer=[6, 7]).sum(["layer", "head"])
    groups = [
        float(totals[data["n"] == k].sum() / data["n_boundary"][data["n"] == k].sum()) for k in N
    ]
    assert float(found.interval.estimate) == pytest.approx(np.mean(groups))
    said = "CWA of the heads of layers 6-7, target end, per step (untuned, en, N = 3, 4, 5)"
    assert found.text == said


def test_what_is_beyond_signs_is_nothing_where_signs_are_random():
    """A constant positive score: CWA is far from 0, but shifted signs give just as much."""
    data = {("tuned", "en"): attribution(6, mlp=np.full(8, 5.0))}
    statistic = {"kind": "cwa", "component": "mlp", "layers": "final", "form": "sum"}
    statistic |= {"tuning": "tuned", "language": "en"}
    plain = row_of(claim(statistic), data)
    beyond = row_of(claim(statistic | {"beyond": "signs"}), data)
    assert plain["verdict"] == "supported" and plain["low"] > 3
    assert abs(beyond["value"]) < 0.5


def test_only_answers_with_both_signs_are_beyond_signs():
    """Mean over them alone: the others contribute 0 by construction, and would be counted as n."""
    data = attribution(6, mlp=np.full(8, 5.0))
    mixed = (data["n_negative"] > 0) & (data["n_negative"] < data["n_steps"])
    mixed = mixed.to_numpy()
    statistic = {"kind": "cwa", "component": "mlp", "layers": "final", "form": "step"}
    statistic |= {"tuning": "tuned", "language": "en", "beyond": "signs"}
    row = row_of(claim(statistic), {("tuned", "en"): data})
    assert 20 <= row["n"] == mixed.sum() < len(mixed)
    own = data.isel(sample=np.flatnonzero(mixed), layer=7).sel(target="token")
    total = (own["cwa_mlp_plus"] - own["cwa_mlp_minus"]).to_numpy()
    sign = 1 - 2 * own["n_negative"].to_numpy() / own["n_steps"].to_numpy()
    beyond = own["cwa_mlp"].to_numpy() - sign * total
    assert row["value"] == pytest.approx(beyond.sum() / own["n_steps"].to_numpy().sum())
    assert f"{mixed.sum()} of {len(mixed)} answers" in row["statistic"]


@pytest.mark.parametrize(("answers", "topics"), [(19, 12), (20, 7)])
def test_few_answers_with_both_signs_say_nothing(answers: int, topics: int):
    """It takes 20 answers about 8 topics; a number of 6 answers is none of 168."""
    data = attribution(6, mlp=np.full(8, 5.0))
    mixed = (data["n_negative"] > 0) & (data["n_negative"] < data["n_steps"])
    kept = np.flatnonzero(mixed.to_numpy())[:answers]
    negative = np.zeros_like(data["n_negative"].to_numpy())
    negative[kept] = data["n_negative"].to_numpy()[kept]
    names = np.array([f"u{place % 12}" for place in range(data.sizes["sample"])])
    names[kept] = [f"t{place % topics}" for place in range(answers)]
    data = data.assign(n_negative=("sample", negative)).assign_coords(topic=("sample", names))
    statistic = {"kind": "cwa", "component": "mlp", "layers": "final", "form": "step"}
    statistic |= {"tuning": "tuned", "language": "en", "beyond": "signs"}
    row = row_of(claim(statistic), {("tuned", "en"): data})
    assert row["verdict"] == "no data" and row["n"] == 0
    assert f"only {answers} of {data.sizes['sample']} answers" in row["reason"]
    assert f"about {topics} topics; it takes 20 about 8" in row["reason"]


def test_last_quarter_of_layers():
    assert layers_between(32, 0.75, 1.0).tolist() == list(range(24, 32))
    assert layers_between(6, 0.75, 1.0).tolist() == [4, 5]
    assert layers_between(4, 0.0, 0.25).tolist() == [0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"direction": "up"}, r"claims\[0\].direction: 'up' is not legal; legal: above, below"),
        ({"margin": 1}, r"claims\[0\].margin: only `near` has one"),
        ({"direction": "near"}, r"claims\[0\].margin: missing; near needs one"),
        ({"direction": "near", "margin": {"share": 0.1, "of": "mlp"}}, "give a number"),
        ({"statistic": {"kind": "cwas"}}, r"statistic.kind: 'cwas' is not legal"),
        ({"statistic": error_of(tunings="x")}, "tunings: unknown key .* did you mean tuning"),
        ({"statistic": {"kind": "cwa"}}, r"statistic.layers: missing; legal: final, or"),
        ({"statistic": error_of(minus={"n": []})}, r"statistic.minus.n: \[\] is not legal"),
        ({"id": "Two Words"}, "legal: small letters, digits and hyphens"),
        ({"statistic": {"measure": "error"}}, r"statistic.kind: missing; legal: behaviour, cwa"),
        ({"statistic": error_of(n=[3, 3])}, r"statistic.n: \[3, 3\] is not legal; legal: a list"),
        ({"null_value": True}, "null_value: true is not legal; legal: a number"),
        ({"direction": "near", "margin": {"share": 1}}, r"margin: {share: 1} is not legal"),
        ({"paper": {}}, r"paper: {} is not legal; legal: a mapping with value, says or both"),
    ],
)
def test_wrong_claims_are_told_in_plain_words(tmp_path, change, words):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [claim(error_of()) | change]}))
    with pytest.raises(LengthlensError, match=words):
        read_claims(path)


def test_repeated_ids_and_broken_files_are_told(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": [claim(error_of()), claim(error_of())]}))
    with pytest.raises(LengthlensError, match=r"x is also the id of claims\[0\]"):
        read_claims(path)
    path.write_text("claims: [")
    with pytest.raises(LengthlensError, match="is not YAML"):
        read_claims(path)
    with pytest.raises(LengthlensError, match="does not exist"):
        read_claims(tmp_path / "none.yaml")


def test_a_claim_may_be_about_a_probe():
    """exact is .5 in aligned answers and 1 in free ones: the difference is -.5, in that order."""
    table = probed(0)
    table.loc[table["probe"] == "aligned", "error"] = np.resize([0, 1], 36)
    given = error_of("en", "tuned", "exact", probe="aligned", minus={"probe": "free"})
    row = row_of(claim(given, "below"), probes={("tuned", "en"): table})
    assert row["value"] == -0.5 and row["verdict"] == "supported"
    assert row["source"] == "probes/m-instruct.en.jsonl"
    assert row["statistic"].startswith("share of exact answers, aligned (tuned, en")
    missing = row_of(claim(given))
    assert missing["reason"] == "the run has no probes/m-instruct.en.jsonl"


def test_slope_on_tokens_per_word():
    """error = 2 x + N: the slope within N is 2 whatever N adds; cut answers do not count."""
    table = probed(0)
    table["error"] = 2 * table["tokens_per_word"] + table["n"]
    noise = np.random.default_rng(0).normal(0, 0.01, len(table))
    table["error"] += noise
    table.loc[:3, "error"], table.loc[:3, "truncated"] = 99.0, True
    statistic = {"kind": "tokens_per_word", "measure": "error"}
    statistic |= {"tuning": "tuned", "language": "en"}
    row = row_of(claim(statistic), probes={("tuned", "en"): table})
    assert row["value"] == pytest.approx(2, abs=0.02) and row["verdict"] == "supported"
    assert row["n"] == 32
    table["tokens_per_word"] = 1.0
    assert row_of(claim(statistic), probes={("tuned", "en"): table})["verdict"] == "no data"


KEYS = {"tuning": "tuned", "language": "en"}


@pytest.mark.parametrize(
    ("statistic", "unit"),
    [
        ({"kind": "behaviour", "measure": "error"}, "words"),
        ({"kind": "behaviour", "measure": "exact"}, "share"),
        ({"kind": "behaviour", "measure": "exact", "minus": {"n": [3]}}, "share difference"),
        ({"kind": "behaviour", "measure": "error", "minus": {"n": [3]}}, "words"),
        ({"kind": "tokens_per_word", "measure": "absolute_error"}, "words per token"),
        ({"kind": "tokens_per_word", "measure": "exact"}, "share per token"),
        ({"kind": "cwa"}, "logits"),
        ({"kind": "agreement", "minus": {"score": "norm"}}, "correlation"),
        ({"kind": "behaviour_share", "minus": {"tuning": "untuned"}}, "share"),
        ({"kind": "ablation", "measure": "exact"}, "share difference"),
        ({"kind": "ablation", "measure": "end_margin"}, "logits"),
        ({"kind": "repair"}, "logits"),
    ],
)
def test_every_kind_knows_its_unit(statistic: dict, unit: str):
    assert unit_of(statistic) == unit and unit in CLAIM_UNITS
    row = row_of(claim(statistic | KEYS))
    assert (row["verdict"], row["unit"], row["sided"]) == ("no data", unit, "one")


def test_every_kind_that_may_be_claimed_is_measured():
    schema = Claims.model_json_schema()
    kinds = schema["$defs"]["Claim"]["properties"]["statistic"]["discriminator"]["mapping"]
    assert set(kinds) == set(KINDS)


def test_a_claim_of_nearness_is_two_sided():
    given = claim(error_of(), direction="near", margin=1)
    row = row_of(given, generations={("untuned", "en"): answers([1, 2, 3])})
    assert (row["sided"], row["unit"], row["level"]) == ("two", "words", 0.9)
