"""The four answers at the centre of the report: each follows from intervals, in both directions."""

from __future__ import annotations

import pandas as pd
import pytest

from lengthlens.figures.style import Cast
from lengthlens.reporting.story import (
    cwa_finds_them,
    what_carries_n,
    what_final_mlp_does,
    when_to_stop,
)

CAST = Cast({"b": "untuned", "t": "tuned"}, {"en": "English", "it": "Italian"})
SEVERAL = Cast(dict(CAST.tunings) | {"u": "tuned"}, dict(CAST.languages))
WHO = {"model": "t", "language": "en"}


def around(name: str, value: float, width: float = 0.1) -> dict[str, float]:
    return {name: value, f"{name}_low": value - width, f"{name}_high": value + width}


def traced(role: str, layer: int, share: float, language: str = "en") -> dict:
    return (
        {"model": "t", "language": language, "swap": 1, "direction": "noising", "role": role}
        | {"layer": layer, "n_samples": 17}
        | around("share", share)
        | around("n_effect", 7.0, 1.0)
    )


def test_the_way_of_the_number_is_told_in_the_order_of_layers() -> None:
    rows = [
        traced("last", 8, 0.9), traced("numeral", 0, 0.99), traced("mark", 3, 0.8),
        traced("mark", 4, 0.55), traced("answer", 5, 0.3),
    ]  # fmt: skip
    found = when_to_stop({"tracing": pd.DataFrame(rows)}, CAST)
    assert (found.answer, found.css) == (
        "the number goes to the final mark, then the last token",
        "yes",
    )
    (said,) = found.evidence
    assert "by 7.00 logits [6.00, 8.00]" in said and said.endswith(
        "(17 answers; 5 layers traced, 0 to 8)"
    )
    way = "the number (layer 0), then the final mark (layer 3), then the last token (layer 8)"
    assert way in said


def test_ways_that_differ_between_languages_are_no_one_answer() -> None:
    rows = [
        traced("numeral", 0, 0.9),
        traced("numeral", 0, 0.9, "it"),
        traced("last", 3, 0.9, "it"),
    ]
    found = when_to_stop({"tracing": pd.DataFrame(rows)}, CAST)
    assert found.answer == "the number goes to the last token (in 1 of 2 languages)"
    assert found.css == "open" and len(found.evidence) == len(found.further) == 1


def test_with_several_tuned_models_cases_are_counted() -> None:
    rows = [
        traced("numeral", 0, 0.9, language) | {"model": model}
        for model in "tu"
        for language in CAST.languages
    ]
    rows.append(traced("last", 3, 0.9, "it"))
    found = when_to_stop({"tracing": pd.DataFrame(rows)}, SEVERAL)
    assert found.answer == (
        "the number goes to the last token (in 1 of 4 cases of model and language)"
    )
    assert found.others == "t, Italian; u, English; u, Italian"


def test_without_an_effect_or_a_place_there_is_no_way() -> None:
    weak = pd.DataFrame([traced("numeral", 0, 0.3)])
    assert when_to_stop({"tracing": weak}, CAST).answer == "no way of the number is shown"
    none = weak.assign(share=float("nan"), share_low=float("nan"))
    assert when_to_stop({"tracing": weak}, CAST).evidence[0].endswith("(17 answers)")
    (said,) = when_to_stop({"tracing": none}, CAST).evidence
    assert "no effect of N is shown" in said and "logits" not in said
    assert when_to_stop({"tracing": weak.assign(model="b")}, CAST) is None


def carrier(component: str, share: float, language: str = "en") -> dict:
    return (
        {"model": "t", "language": language, "component": component, "n_samples": 20}
        | {"n_unpatched": 0, "level": 0.95}
        | around("share", share)
        | around("n_effect", 7.0)
    )


def circuit(method: str, k: float, kept: float) -> dict:
    return WHO | {
        "source_language": "en", "method": method, "k": k, "n_components": 54, "n_samples": 22,
        "faithfulness": kept, "low": kept - 0.1, "high": kept + 0.1, "n_orders": 0,
    }  # fmt: skip


def test_carriers_in_every_language_are_the_answer() -> None:
    tables = {
        "carriers": pd.DataFrame(
            [
                carrier("L0M", 1.0), carrier("L0H6", 0.9), carrier("L5H1", 0.05),
                carrier("L0M", 1.0, "it"), carrier("L2H2", 0.5, "it"),
            ]
        ),
        "circuits": pd.DataFrame([circuit("atp", 8, 0.9)]),
    }  # fmt: skip
    found = what_carries_n(tables, CAST)
    assert (found.answer, found.css) == ("L0M", "yes")
    (english,), (italian,) = found.evidence, found.further
    assert "L0M 100.0 % [90.0, 110.0]; L0H6 90.0 % [80.0, 100.0] (20 answers" in english
    assert "L5H1" not in english  # its interval holds 0
    assert "top 8 of 54 components by AtP together keep 90.0 % [80.0, 100.0]" in english
    assert "by AtP" not in italian


def score(name: str, correlation: float) -> dict:
    return (
        WHO
        | {"kind": "head", "over": "within", "score": name, "n_components": 48}
        | around("correlation", correlation)
    )


@pytest.mark.parametrize(
    ("kept", "answer", "css"), [(0.9, "yes", "yes"), (0.1, "no", "no"), (0.5, "not shown", "open")]
)
def test_whether_cwa_finds_them_follows_from_what_as_many_components_keep(
    kept: float, answer: str, css: str
) -> None:
    sets = pd.DataFrame([circuit("atp", 8, 0.9), circuit("cwa", 8, kept), circuit("cwa", 4, 0.0)])
    tables = {
        "patch_scores": pd.DataFrame([score("cwa", 0.2), score("atp", 0.9)]),
        "circuits": sets.assign(k=[8, float("nan"), float("nan")]),
        "faithfulness": sets,
    }
    found = cwa_finds_them(tables, CAST)
    assert (found.answer, found.css) == (answer, css)
    (said,) = found.evidence
    low, high = 100 * kept - 10, 100 * kept + 10
    assert f"top 8 components by CWA keep {100 * kept:.1f} % [{low:.1f}, {high:.1f}]" in said
    assert "those by AtP 90.0 % [80.0, 100.0]" in said
    assert "CWA 0.20 [0.10, 0.30], AtP 0.90 [0.80, 1.00] (48 heads)" in said


def test_without_a_circuit_only_correlations_are_told() -> None:
    nothing = pd.DataFrame([circuit("atp", float("nan"), 0.1)])
    tables = {"patch_scores": pd.DataFrame([score("cwa", 0.2)]), "circuits": nothing}
    found = cwa_finds_them(tables | {"faithfulness": nothing}, CAST)
    assert found.answer == "no interval" and "keep" not in found.evidence[0]


def final(share: float, layer: int = 5) -> dict:
    return (
        WHO
        | {"kind": "mlp", "positions": "all", "direction": "noising", "swap": 1}
        | {"layer": layer, "component": f"L{layer}M", "n_samples": 47}
        | around("share", share)
    )


def way(term: str, effect: float, verdict: str) -> dict:
    return (
        WHO
        | {"swap": 1, "term": term, "compensates": verdict, "n_samples": 23}
        | around("effect", effect, 0.5)
    )


@pytest.mark.parametrize(
    ("mediated", "verdict", "said"),
    [
        (7.0, "no", "it passes on their effect"),
        (-2.0, "yes", "it compensates for them"),
        (0.0, "no", "it does not compensate"),
        (0.0, "open", "is undecided"),
    ],
)
def test_what_the_final_mlp_does(mediated: float, verdict: str, said: str) -> None:
    tables = {
        "patches": pd.DataFrame([final(1.0, layer=0), final(0.75)]),
        "compensation": pd.DataFrame(
            [way("direct", 1.4, verdict), way("mediated", mediated, verdict)]
        ),
    }
    found = what_final_mlp_does(tables, CAST)
    assert found.answer == "it carries 75.0 % of the effect of N" and found.css == "yes"
    assert found.evidence[0].startswith("English: L5M carries 75.0 %") and said in found.evidence[0]


def test_a_final_mlp_that_is_not_shown_to_carry_anything() -> None:
    tables = {
        "patches": pd.DataFrame([final(0.05)]),
        "compensation": pd.DataFrame(columns=[*WHO, "swap", "term"]),
    }
    found = what_final_mlp_does(tables, CAST)
    assert (found.answer, found.css) == ("not shown", "open")
    tables["patches"] = pd.DataFrame([final(0.05), final(0.75) | {"language": "it"}])
    some = what_final_mlp_does(tables, CAST)
    told = "it carries 5.0 to 75.0 % of the effect of N, shown in 1 of 2 languages"
    assert (some.answer, some.css) == (told, "open")
