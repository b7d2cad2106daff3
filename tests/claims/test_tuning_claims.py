"""Claims about transplants: judged by the shares of the file, never where the model was broken."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lengthlens.analysis.transplants import summarise_transplants
from lengthlens.claims.kinds import Data
from lengthlens.claims.verdicts import claims_of_pairs, evaluate_claims
from lengthlens.statistics import Bootstrap

MODELS = {"untuned": "before", "tuned": "after"}
BOOTSTRAP = Bootstrap(resamples=200)
HYBRIDS = (
    # into, what, layers, exact answers, neutral text
    ("untuned", "none", "", 0.0, -3.0),
    ("tuned", "none", "", 1.0, -4.0),
    ("untuned", "all", "3-3", 0.9, -3.5),
    ("untuned", "attention", "", 0.6, -3.5),
    ("untuned", "mlp", "", 0.1, -3.5),
    ("untuned", "mlp", "3-3", 0.3, -3.5),
    ("tuned", "all", "3-3", 0.95, -3.5),
    ("tuned", "attention", "", 0.0, -4.5),
)


def transplants(seed: int = 0, mlp: float = 0.3) -> xr.Dataset:
    """Four layers; so many exact answers to 40 prompts about 20 topics."""
    rng = np.random.default_rng(seed)
    shares = [mlp if row[1:3] == ("mlp", "3-3") else row[3] for row in HYBRIDS]
    exact = np.array([rng.permutation(np.arange(40) < round(40 * share)) for share in shares])
    into, what, layers, _, neutral = map(list, zip(*HYBRIDS, strict=True))
    dims, size = ("condition", "sample"), len(HYBRIDS)
    return xr.Dataset(
        {
            "error": (dims, 1.0 - exact),
            "truncated": (dims, np.zeros(exact.shape)),
            "end_margin": (dims, exact + rng.normal(0, 0.1, exact.shape)),
            "n_effect": (dims, exact + rng.normal(0, 0.1, exact.shape)),
            "neutral_loglik": ("condition", np.array(neutral)),
            "change_mlp": ("layer", np.ones(4)),
        },
        coords={
            "into": ("condition", into),
            "what": ("condition", what),
            "layers": ("condition", layers),
            "components": ("condition", [""] * size),
            "kv": ("condition", [""] * size),
            "prompting": ("condition", ["chat"] * size),
            "scale": ("condition", np.ones(size)),
            "control": ("condition", np.zeros(size, dtype=bool)),
            "topic": ("sample", np.repeat(np.arange(20), 2)),
        },
    )


def claim(**statistic) -> dict:
    own = {"kind": "transplant", "measure": "exact", "tuning": "untuned", "language": "en"}
    return {
        "id": "c", "claim": "So.", "origin": "ours", "direction": "above", "null_value": 0.5,
        "status": "confirmatory", "models": ["after"], "statistic": own | statistic,
    }  # fmt: skip


def row_of(null: float = 0.5, models=MODELS, files=None, **statistic) -> pd.Series:
    files = {"en": transplants(), "it": transplants(1, mlp=0.8)} if files is None else files
    made = claim(**statistic) | {"null_value": null}
    data = Data(models, {}, {}, transplants=files)
    return evaluate_claims([made], data, BOOTSTRAP).iloc[0]


@pytest.mark.parametrize("measure", ["exact", "n_effect"])
def test_late_layers_suffice_and_are_not_necessary(measure: str) -> None:
    suffices = row_of(what="all", layers=[0.75, 1], measure=measure)
    assert suffices["verdict"] == "supported" and suffices["unit"] == "share"
    assert suffices["value"] == pytest.approx(0.9, abs=0.05)
    table = summarise_transplants({("before", "after", "en"): transplants()}, BOOTSTRAP)
    own = table[(table["layers"] == "3-3") & (table["what"] == "all")]
    own = own[(own["measure"] == measure) & (own["into"] == "untuned")].iloc[0]
    assert (own["share"], own["share_low"]) == (suffices["value"], suffices["low"])
    assert own["verdict"] == "suffices"
    necessary = row_of(what="all", layers=[0.75, 1], measure=measure, tuning="tuned")
    assert necessary["verdict"] == "not supported"
    assert necessary["value"] == pytest.approx(0.05, abs=0.05)


def test_parts_and_languages_are_compared() -> None:
    attention = row_of(0, what="attention", minus={"what": "mlp"})
    assert attention["verdict"] == "supported" and attention["unit"] == "share difference"
    assert attention["value"] == pytest.approx(0.5)
    final = row_of(0, what="mlp", layers="final", language="it", minus={"language": "en"})
    assert final["verdict"] == "supported" and final["value"] == pytest.approx(0.5)


def test_what_breaks_the_model_is_not_judged() -> None:
    row = row_of(what="attention", tuning="tuned")
    assert row["verdict"] == "no data" and "neutral text is outside the range" in row["reason"]


def test_what_is_not_there_is_said() -> None:
    assert "do not differ there" in row_of(what="norms")["reason"]
    assert "no transplant/before--after.lb.nc" in row_of(what="all", language="lb")["reason"]
    nothing = transplants()
    nothing["error"][:] = 1.0
    row = row_of(what="mlp", files={"en": nothing})
    assert row["verdict"] == "no data" and "brought no exact answers above 0" in row["reason"]


def test_a_claim_about_the_untuned_side_names_the_tuned_model() -> None:
    """Only the pair that it names is judged, and no other one."""
    other = {"untuned": "x", "tuned": "y"}
    made = claim(what="all")
    assert claims_of_pairs([made], [other, MODELS]) == [[], [made]]
    assert claims_of_pairs([made], [other]) == [[made]]
    row = row_of(what="all", models=other)
    assert row["verdict"] == "no data" and "no model after" in row["reason"]


def test_a_confirmatory_claim_takes_the_place_of_the_exploratory_one_that_says_the_same() -> None:
    """Only of the pair that it was written for."""
    again = claim(what="all")
    explored = {name: value for name, value in again.items() if name not in ("models", "status")}
    other = claim(what="mlp") | {"status": "exploratory"}
    other.pop("models")
    claims = [explored | {"id": "explored"}, again, other]
    pair = {"untuned": "x", "tuned": "y"}
    assert claims_of_pairs(claims, [MODELS, pair]) == [[again, other], [claims[0], other]]
    assert claims_of_pairs(claims, [pair]) == [claims]  # without data, it replaces nothing
