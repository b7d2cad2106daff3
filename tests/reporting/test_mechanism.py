"""Sentences on what carries N, and on what cannot be said."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lengthlens.analysis.circuits import CIRCUITS, OVERLAP
from lengthlens.reporting.mechanism import (
    NAMED,
    say_carriers,
    say_circuits,
    say_overlap,
    say_patch_scores,
    unpatched_heads,
)

CARRIER = {
    "model": "m", "language": "en", "component": "L0H6", "share": 0.887, "share_low": 0.83,
    "share_high": 0.94, "n_effect": 13.49, "n_effect_low": 11.7, "n_effect_high": 15.2,
    "n_unpatched": 0, "n_samples": 71, "level": 0.95,
}  # fmt: skip


def test_carriers_that_the_story_does_not_name_are_told_with_their_intervals() -> None:
    weak = CARRIER | {"component": "L5H3", "share": 0.02, "share_low": -0.01, "share_high": 0.05}
    (said,) = say_carriers(pd.DataFrame([CARRIER, weak]))
    assert (
        said == "m (en): the effect of N that was patched is 13.5 logits [11.7, 15.2] (71 answers)."
    )
    named = [CARRIER | {"component": f"L{layer}M"} for layer in range(NAMED)]
    (said,) = say_carriers(pd.DataFrame([*named, CARRIER, weak]))
    assert (
        "further components that carry some, patched in alone: L0H6 88.7 % [83.0, 94.0] (71" in said
    )


def test_heads_that_were_not_patched_are_told_with_what_they_may_carry() -> None:
    """Only where there are any; without a sample no number is made up."""
    assert unpatched_heads(pd.Series(CARRIER)) == ""
    bound = {"unpatched": 0.12, "unpatched_low": 0.03, "unpatched_high": 0.21, "unpatched_most": 9}
    said = unpatched_heads(pd.Series(CARRIER | bound | {"n_unpatched": 160}))
    assert "160 heads were not patched" in said and "shares add up to 12.0 % [3.0, 21.0]" in said
    assert "at most 9 of them carry more than 5 % each (confidence level 0.95)" in said
    unknown = dict.fromkeys(bound, np.nan) | {"n_unpatched": 160}
    said = unpatched_heads(pd.Series(CARRIER | unknown))
    assert "no sample estimates what they carry" in said


def test_without_an_effect_the_story_says_so() -> None:
    assert say_carriers(pd.DataFrame([CARRIER | {"share": np.nan}])) == []


def test_circuits_are_told_with_their_size_or_the_reason() -> None:
    found = {
        "model": "m", "language": "en", "source_language": "en", "method": "atp", "k": 8,
        "n_components": 54, "faithfulness": 0.9, "low": 0.85, "high": 0.95, "n_samples": 22,
        "random": 0.07, "random_low": 0.01, "random_high": 0.3,
        "interchange": 1.0, "interchange_low": 0.77, "interchange_high": 1.0,
        "n_interchange": 16, "written_exact": 0.75, "written_exact_low": 0.45,
        "written_exact_high": 0.91, "n_written": 12, "absent": "",
    }  # fmt: skip
    none = found | {"method": "cwa", "k": np.nan, "absent": "no measured size is faithful"}
    other = found | {"source_language": "it"}
    said = say_circuits(pd.DataFrame([found, none, other], columns=list(CIRCUITS)))
    assert len(said) == 2
    assert "top 8 of 54 components by AtP keep 90.0 % [85.0, 95.0]" in said[0]
    assert "within layers keep 7.0 % (1.0 to 30.0 % across orders)" in said[0]
    assert (
        "100.0 % [77.0, 100.0] of 16 decisions" in said[0]
        and "75.0 % [45.0, 91.0] of 12 answers" in said[0]
    )
    assert said[1] == "m (en): no circuit by CWA: no measured size is faithful."
    unranked = {"model": "m", "language": "en", "method": "", "absent": "no score ranks"}
    (said,) = say_circuits(pd.DataFrame([unranked], columns=list(CIRCUITS)))
    assert said == "m (en): no circuit: no score ranks."


def test_scores_are_told_beside_the_norm_they_must_exceed() -> None:
    shared = {
        "model": "m", "language": "en", "kind": "head", "over": "within", "n_components": 48,
        "n_select": 54, "n_evaluate": 46,
    }  # fmt: skip
    values = {"cwa": (-0.1, -0.1), "atp": (0.68, 0.69), "norm": (-0.2, np.nan)}
    rows = [
        shared | {
            "score": score, "correlation": value, "correlation_low": value - 0.1,
            "correlation_high": value + 0.1, "over_norm_low": over,
        }
        for score, (value, over) in values.items()
    ]  # fmt: skip
    (said,) = say_patch_scores(pd.DataFrame(rows))
    assert "AtP 0.68 [0.58, 0.78], CWA \u22120.10" in said and "output norm \u22120.20" in said
    assert "Shown to beat the output norm: AtP (48 heads" in said
    assert say_patch_scores(pd.DataFrame(rows).assign(correlation=np.nan)) == []


def test_overlap_is_told_against_chance() -> None:
    row = {
        "model": "m", "method": "atp", "language": "en", "source_language": "it", "k": 5,
        "heads": 3, "source_heads": 3, "shared": 3, "chance": 0.625, "p": 0.0045, "mlps_shared": 2,
    }  # fmt: skip
    (said,) = say_overlap(pd.DataFrame([row], columns=list(OVERLAP)))
    assert (
        "3 heads in en and 3 in it; 3 are shared, against 0.62" in said and "(p = 0.0045)" in said
    )
