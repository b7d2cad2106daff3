"""What the report says of paths, compensation and contrasting templates follows the intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lengthlens.analysis.contrasts import CIRCUITS, CONTRASTS
from lengthlens.analysis.paths import COMPENSATION, PATHS
from lengthlens.reporting.paths import (
    say_compensation,
    say_contrasts,
    say_new_templates,
    say_paths,
)

OWN = {"model": "m", "language": "en", "swap": 1, "n_samples": 12, "n_topics": 6, "absent": ""}


def share(value: float) -> dict:
    return {"share": value, "share_low": value - 0.1, "share_high": value + 0.1}


def test_paths_are_named_with_what_they_go_into() -> None:
    rows = [
        {"sender": "embedding", "receiver": "L0H6.v", "component": "L0H6"} | share(0.8),
        {"sender": "L5M", "receiver": "logits", "component": "logits"} | share(0.7),
        {"sender": "L0M", "receiver": "L5.mlp", "component": "L5M"} | share(0.3),
        {"sender": "L0M", "receiver": "L0H6.q", "component": "L0H6"} | share(0.1),
    ]
    table = pd.DataFrame([OWN | row for row in rows], columns=list(PATHS))
    (said,) = say_paths(table)
    assert "the number's embedding to L0H6 (value) 80.0 % [70.0, 90.0]" in said
    assert "L5M directly to the logits 70.0 %" in said and "L0M to L5M 30.0 %" in said
    assert "query" not in said  # its interval reaches 0
    missing = pd.DataFrame([OWN | {"absent": "no circuit is faithful"}], columns=list(PATHS))
    assert say_paths(missing) == ["m (en): no circuit is faithful."]
    (said,) = say_paths(table.assign(share=np.nan))
    assert "no path is named (12 answers)" in said


def test_what_the_final_mlp_reads_beside_the_late_heads() -> None:
    effects = {"direct": 2.0, "mediated": -1.0, "both": 1.0, "interaction": 0.0, "rest": 5.0}
    rows = [
        OWN | {
            "term": term, "effect": value, "effect_low": value - 0.5, "effect_high": value + 0.5,
            "compensates": "no",
        }
        for term, value in effects.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COMPENSATION))
    (said,) = say_compensation(table)
    assert "contributes +5.00 logits [+4.50, +5.50] to the effect of N (12 answers)" in said
    parallel = table[~table["term"].isin(["mediated", "both", "interaction"])]
    assert "does not read the late heads" in say_compensation(parallel)[0]


def test_kinds_of_templates_and_new_templates() -> None:
    made = [
        OWN | {"kind": kind, "layer": layer, "role": role} | share(value)
        for kind, layer, role, value in (
            ("late-mark", 1, "mark", 0.9),
            ("late-bare", 1, "closing", 0.8),
            ("early-mark", 1, "mark", np.nan),
        )
    ]
    (said,) = say_contrasts(pd.DataFrame(made, columns=list(CONTRASTS)))
    assert "number late, with a final mark: the final mark (layer 1) (12 answers)" in said
    assert "number late, without one: the end of the prompt (layer 1)" in said
    assert "number early, with a final mark: no effect of N is shown" in said
    assert "number early, without one: no answer could be traced" in said
    row = OWN | {
        "kind": "late-mark", "n_answers": 40, "exact": 0.5, "exact_low": 0.4, "exact_high": 0.6,
        "k": 7, "faithfulness": 0.9, "low": 0.8, "high": 1.0,
    }  # fmt: skip
    table = pd.DataFrame([row], columns=list(CIRCUITS))
    (said,) = say_new_templates(table)
    assert "50.0 % [40.0, 60.0] of 40 answers are exact" in said
    assert "7 components keeps 90.0 % [80.0, 100.0]" in said
    assert "no circuit to test" in say_new_templates(table.assign(k=np.nan))[0]
    said = say_new_templates(table.assign(faithfulness=np.nan))[0]
    assert "with a final mark: 50.0 %" in said and "no effect of N is shown (12 answers)" in said
