"""What the report says of tuning where there is little to say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lengthlens.analysis.transplants import COLUMNS
from lengthlens.figures.style import Cast
from lengthlens.reporting.tuning import late_layers_suffice, say_transplants

CAST = Cast({"b": "untuned", "i": "tuned"}, {"en": "English"})


def table(share: float) -> pd.DataFrame:
    """Each of three layers alone, both ways."""
    rows = [
        {"untuned": "b", "tuned": "i", "language": "en", "into": into, "what": "all"}
        | {"layers": f"{layer}-{layer}", "scale": 1.0, "control": False, "measure": "exact"}
        | {"share": share, "share_low": share - 0.1, "share_high": share + 0.1, "verdict": ""}
        | {"n_samples": 4, "neutral_within": True}
        for into in ("untuned", "tuned")
        for layer in range(3)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_without_a_gain_there_is_no_share_and_it_is_said_once() -> None:
    none = table(np.nan)
    assert say_transplants(none) == ["i (en), exact answers: no gain from tuning is shown."]
    found = late_layers_suffice({"transplants": none}, CAST)
    assert found.answer == "not judged"
    (said,) = found.evidence
    assert said == (
        "English: tuned weights in layer 2 recover no share of exact answers, because no gain from "
        "tuning is shown"
    )


def test_one_layer_is_called_a_layer() -> None:
    found = late_layers_suffice({"transplants": table(0.8)}, CAST)
    assert found.answer == "yes" and found.evidence == (
        "English: tuned weights in layer 2 recover 80.0\u202f% [70.0, 90.0] of the gain in exact "
        "answers (4 prompts)",
    )


def test_both_measures_are_told_and_what_breaks_the_model_is_not_judged() -> None:
    swapped = table(0.2).assign(measure="n_effect", neutral_within=False)
    both = pd.concat([table(0.8), swapped])
    found = late_layers_suffice({"transplants": both}, CAST)
    (said,) = found.evidence
    assert found.answer == "yes" and said.endswith(
        "and 20.0\u202f% [10.0, 30.0] of the gain in the effect of N (4 prompts; not judged: "
        "neutral text is outside the range)"
    )
    broken = both.assign(neutral_within=False)
    assert late_layers_suffice({"transplants": broken}, CAST).answer == "not judged"
