"""The findings of the summary: what a short answer may say, and where its numbers come from."""

import numpy as np
import pandas as pd
import pytest
from synthetic_report import NAMES, TUNINGS, evil_material

from lengthlens.figures.style import Cast
from lengthlens.reporting.answers import counted, tally, verdict
from lengthlens.reporting.lead import draw_lead
from lengthlens.reporting.page import render_report
from lengthlens.reporting.questions import (
    carries_over,
    extends,
    harder_n,
    keeps_to_n,
    more_than_text,
    passes_on,
    scores_find_causes,
    without_final_mlp,
    words_or_tokens,
)
from lengthlens.reporting.sections import SECTIONS

CAST = Cast(TUNINGS, NAMES)
nan = float("nan")


@pytest.mark.parametrize(
    "rows, said",
    [
        ([(0.1, 0.3), (0.2, 0.4)], ("yes in both languages", "yes")),
        ([(0.1, 0.3)], ("yes", "yes")),
        ([(-0.3, -0.1)] * 3, ("no in all 3 languages", "no")),
        ([(-0.3, 0.1), (-0.1, 0.2)], ("not shown", "open")),
        ([(0.1, 0.3), (-0.1, 0.2)], ("yes in 1, undecided in 1 of 2 languages", "open")),
        ([(0.1, 0.3), (-0.2, -0.1)], ("yes in 1, no in 1 of 2 languages", "open")),
        ([(nan, nan)], ("no interval", "open")),
        ([(0.0, 0.3)], ("not shown", "open")),
    ],
)
def test_a_short_answer_says_no_more_than_the_intervals(rows, said):
    assert verdict(*tally(rows), "languages") == said


def test_what_is_counted_is_named():
    one = Cast({"a": "untuned", "b": "tuned"}, {})
    two = Cast({"a": "tuned", "b": "tuned"}, {})
    assert counted(one) == "languages" and counted(two) == "cases of model and language"
    assert counted(one, "text") == "cases of language and text"
    assert counted(two, "text") == "cases of model, language and text"


def behaviour(exact):
    rows = [
        {"model": model, "language": "en", "n": "all", "split": "all", "n_samples": 24,
         "exact": value, "exact_low": low, "exact_high": high, "other_language": 0.0}
        for model, (value, low, high) in exact.items()
    ]  # fmt: skip
    further = {"control": ["chance"], "extrapolation": ["probe"]}  # none
    return {"behaviour": pd.DataFrame(rows)} | {
        name: pd.DataFrame(columns=["model", "language", *columns])
        for name, columns in further.items()
    }


def test_models_are_told_apart_only_where_their_intervals_do_not_touch():
    apart = keeps_to_n(behaviour({"i": (0.9, 0.8, 0.95), "b": (0.1, 0.0, 0.2)}), CAST)
    assert apart.answer == "yes"
    assert "90.0" in apart.evidence[0] and "[80.0, 95.0]" in apart.evidence[0]
    assert "[0.0, 20.0]" in apart.evidence[0] and "24 answers" in apart.evidence[0]
    touching = keeps_to_n(behaviour({"i": (0.9, 0.5, 0.95), "b": (0.4, 0.2, 0.6)}), CAST)
    assert touching.answer == "not shown"
    assert keeps_to_n(behaviour({"i": (0.9, 0.8, 0.95)}), CAST) is None


def test_chance_and_the_largest_n_stand_beside_exactness():
    who = {"model": "i", "language": "en"}
    beyond = [
        who | {"probe": probe, "n": n, "error": error, "error_low": -4.0, "error_high": -2.0,
               "exact": 0.1, "exact_low": 0.0, "exact_high": 0.3, "n_samples": 8}
        for probe, n, error in (
            ("free", 9, 0.0), ("extrapolation", 10, -1.0), ("extrapolation", 12, -3.0),
        )
    ]  # fmt: skip
    tables = behaviour({"i": (0.9, 0.8, 0.95), "b": (0.1, 0.0, 0.2)}) | {
        "control": pd.DataFrame([who | {"chance": 0.14}, who | {"model": "b", "chance": nan}]),
        "extrapolation": pd.DataFrame(beyond),
    }
    [told] = keeps_to_n(tables, CAST).evidence
    assert "(all prompts); by chance (N permuted) it would be 14.0 %. Beyond" in told.replace(
        "\u202f", " "
    )
    assert told.endswith("are exact, and the error is −3.00 words [−4.00, −2.00]")
    assert "N = 12, 10.0 % [0.0, 30.0] of 8 answers" in told.replace("\u202f", " ")
    few = tables | {"extrapolation": pd.DataFrame(beyond[:1])}
    assert keeps_to_n(few, CAST).evidence[0].endswith("it would be 14.0 %")
    tables["behaviour"]["other_language"] = 0.7
    assert ". Of all answers 70.0 % are in another" in keeps_to_n(tables, CAST).evidence[0]


def test_only_the_first_tuned_model_is_told_at_once():
    cast = Cast({"i": "tuned", "j": "tuned", "b": "untuned"}, {"en": "English"})
    found = keeps_to_n(behaviour(dict.fromkeys("ijb", (0.9, 0.8, 0.95))), cast)
    assert len(found.evidence) == 1 and found.evidence[0].startswith("i, English")
    assert found.others == "j, English"


def test_each_of_several_untuned_models_is_named():
    cast = Cast({"i": "tuned", "b": "untuned", "c": "untuned"}, {"en": "English"})
    found = keeps_to_n(behaviour(dict.fromkeys("ibc", (0.9, 0.8, 0.95))), cast)
    assert ["b's 90.0" in found.evidence[0], "c's 90.0" in found.evidence[1]] == [True, True]
    both = keeps_to_n(behaviour(dict.fromkeys("ib", (0.9, 0.8, 0.95))), CAST)
    assert "the untuned model's 90.0" in both.evidence[0]


def same_text(low: float, language: str = "en", **values: float) -> pd.DataFrame:
    """Shares of .6 and .9 on the two texts; `low`: the lower limit of the first."""
    about = {"group": "late heads", "tuned": "i", "untuned": "b", "language": language}
    shares = {"share_on_tuned": 0.6, "share_on_untuned": 0.9, "share": 0.75} | values
    return pd.DataFrame(
        [
            about
            | {"quantity": name, "value": value, "n_samples": 40}
            | {"value_low": low if name == "share_on_tuned" else value - 0.1}
            | {"value_high": value + 0.1}
            for name, value in shares.items()
        ]
    )


def test_the_texts_share_is_compared_with_a_half_on_either_text():
    """A mean above a half is no answer where one end is not."""
    nothing = {name: nan for name in ("share_on_tuned", "share_on_untuned", "share")}
    table = pd.concat([same_text(0.55), same_text(0.55, "it", **nothing)], ignore_index=True)
    found = more_than_text({"same_text": table}, CAST)
    assert found.answer == "yes in both cases of language and text"
    assert (
        "60.0 % [55.0, 70.0] on i's text and 90.0 % [80.0, 100.0] on b's text" in found.evidence[0]
    )
    assert "no difference is shown" in found.evidence[1]
    less = more_than_text({"same_text": same_text(0.4)}, CAST)
    assert less.answer == "yes in 1, undecided in 1 of 2 cases of language and text"


def test_scores_are_judged_within_layers_and_of_instruct_models_only():
    row = {"model": "i", "language": "en", "kind": "head", "outcome": "decision", "over": "within",
           "mode": "zero", "score": "cwa", "correlation": 0.4, "correlation_low": 0.1,
           "correlation_high": 0.6, "n_evaluate": 30,
           "over_norm": 0.3, "over_norm_low": 0.1, "over_norm_high": 0.5}  # fmt: skip
    others = [row | {"over": "all", "correlation": 0.9}, row | {"model": "b", "correlation": 0.8}]
    contrast = row | {"outcome": "contrast", "correlation": 0.2, "over_norm_low": -0.1}
    found = scores_find_causes({"scores": pd.DataFrame([row, *others])}, CAST)
    assert found.answer == "yes" and len(found.evidence) == 1
    both = scores_find_causes({"scores": pd.DataFrame([row, contrast])}, CAST)
    assert both.answer == "yes in 1, undecided in 1 of 2 cases"
    assert "with the effect at the decision step: English 0.40" in both.evidence[0]
    assert "at the decision minus earlier boundaries: English 0.20" in both.evidence[1]
    assert "0.40 [0.10, 0.60]" in found.evidence[0] and "30 answers" in found.evidence[0]


def test_what_the_final_mlp_gives_less_is_called_mediation():
    row = {"model": "i", "language": "en", "term": "final_mlp", "chosen_by": "top", "mode": "zero",
           "method": "cwa", "k": 2, "minus": "", "contribution": -1.5, "contribution_low": -2.0,
           "contribution_high": -1.0, "n_samples": 30}  # fmt: skip
    found = passes_on({"repair": pd.DataFrame([row])}, CAST)
    assert found.css == "no" and "+1.50 logits [+1.00, +2.00]" in found.evidence[0]
    late = row | {"chosen_by": "position", "method": "late_heads", "k": 16, "contribution": 0.5,
                  "contribution_low": 0.2, "contribution_high": 0.9}  # fmt: skip
    found = passes_on({"repair": pd.DataFrame([row, late])}, CAST)
    assert found.answer == "yes" and len(found.evidence) == 1
    assert "mediation; no test of self-repair" in found.question
    assert "\u22120.500 logits [\u22120.900, \u22120.200]" in found.evidence[0]
    assert "when all heads of the last quarter of layers are removed (" in found.evidence[0]


def test_the_fall_without_the_final_mlp_stands_beside_that_without_the_first_heads():
    row = {"model": "i", "language": "en", "source_language": "en", "measure": "exact",
           "mode": "zero", "chosen_by": "position", "method": "final_mlp", "k": 1,
           "components": "L5M", "change": -0.46, "change_low": -0.56, "change_high": -0.36,
           "n_samples": 104}  # fmt: skip
    head = row | {"chosen_by": "top", "method": "nswap", "components": "L5H3", "change": -0.45}
    again = head | {"method": "effect"}
    other = head | {"method": "cwa", "components": "L5H1", "change": 0.0, "change_high": 0.1}
    larger = head | {"k": 2, "components": "L5H1;L5H3"}
    table = pd.DataFrame([row, head, again, other, larger, row | {"mode": "mean"}])
    found = without_final_mlp({"ablation": table}, CAST)
    assert found.answer == "yes" and len(found.evidence) == 1
    said = found.evidence[0]
    assert "by \u221246.0 points [\u221256.0, \u221236.0] without the final MLP" in said
    assert (
        "\u221245.0 points [\u221256.0, \u221236.0] without L5H3 (first by N-swap contrast, "
        in said
    )
    assert "without L5H1 (first by CWA)" in said and "(104 answers of the evaluate half)" in said
    assert without_final_mlp({"ablation": table[table["method"] == "cwa"]}, CAST) is None
    neutral = row | {"measure": "neutral_loglik", "change": -0.5, "change_low": -0.6}
    table = pd.concat([table, pd.DataFrame([neutral | {"change_high": -0.4}])])
    (said,) = without_final_mlp({"ablation": table}, CAST).evidence
    assert "neutral text by \u22120.500 nats [\u22120.600, \u22120.400] per token" in said


def test_heads_carry_over_where_the_margin_falls():
    row = {"model": "i", "measure": "end_margin", "method": "cwa", "source_language": "en",
           "target_language": "it", "untuned": True, "effect": -2.0, "effect_low": -3.0,
           "effect_high": -1.0, "n_samples": 30}  # fmt: skip
    found = carries_over({"transfer": pd.DataFrame([row])}, CAST)
    assert found.answer == "yes" and "never tuned" in found.evidence[0]
    rises = row | {"effect": 2.0, "effect_low": 1.0, "effect_high": 3.0}
    assert carries_over({"transfer": pd.DataFrame([rises])}, CAST).css == "no"
    home = row | {"target_language": "en"}
    assert carries_over({"transfer": pd.DataFrame([home])}, CAST) is None


def tokens(coverage, language="en"):
    row = {"model": "i", "language": language, "reference": "", "measure": "exact",
           "quantity": "change", "value": 0.2, "value_low": 0.1, "value_high": 0.3,
           "n_samples": 30}  # fmt: skip
    levels = [
        row | {"measure": name, "quantity": "aligned", "value": value}
        for name, value in (("coverage", coverage), ("degenerate", 0.0))
    ]
    return pd.DataFrame([row, *levels])


def test_a_poor_vocabulary_tells_nothing_of_the_tokenizer():
    assert words_or_tokens({"tokenization": tokens(0.9)}, CAST).answer == "yes"
    poor = words_or_tokens({"tokenization": tokens(0.2)}, CAST)
    assert poor.answer == "not judged" and "not judged: the language" in poor.evidence[0]


def test_control_beyond_the_study_and_harder_n():
    row = {"model": "i", "language": "en", "probe": "extrapolation", "n": "10", "gain": 0.5,
           "gain_low": 0.2, "gain_high": 0.8, "error": -1.0, "error_low": -2.0, "error_high": 0.0,
           "n_samples": 12}  # fmt: skip
    found = extends({"extrapolation": pd.DataFrame([row, row | {"n": "12", "error": -3.0}])}, CAST)
    assert found.answer == "yes" and "N = 10 to 12" in found.evidence[0]
    assert "24 answers" in found.evidence[0]
    dip = {"model": "i", "language": "en", "measure": "exact", "against": "neighbours", "n": 3,
           "value": -0.2, "all_low": -0.3, "all_high": -0.1, "n_samples": 50,
           "verdict": "worse"}  # fmt: skip
    worse = harder_n({"dip": pd.DataFrame([dip, dip | {"n": 4, "verdict": "open"}])}, CAST)
    assert "N = 3 (−20.0 points" in worse.evidence[0] and "N = 4" not in worse.evidence[0]
    quiet = harder_n({"dip": pd.DataFrame([dip | {"verdict": "open"}])}, CAST)
    assert quiet.answer == "not shown"


def test_every_question_is_asked_once_and_answered_where_its_section_begins():
    asked = [ask for section in SECTIONS for ask in section.findings]
    assert len(asked) == len(set(asked)) >= 9
    page = render_report(evil_material())
    summary = page[page.index('id="summary"') : page.index('id="claims"')]
    assert "Do tuned models keep to N" in summary and page.count("Do tuned models keep to N") == 1
    answer = summary[summary.index("Do tuned models keep to N") :]
    assert answer.index('<span class="verdict yes">') < answer.index("(all prompts)")


def test_the_picture_shows_the_tables_numbers_for_every_k():
    material = evil_material()
    lead = draw_lead(material.tables["behaviour"], material.tables["ablation"], CAST)
    assert list(lead.doses) == [1, 2] and lead.first == 1
    effects = material.tables["ablation"]
    exact = effects[(effects["measure"] == "exact") & (effects["k"] == 1)]
    (language, rows), *_ = lead.doses[1]
    assert language == "English"
    assert [row.label for row in rows] == [
        "nothing removed",
        "top 1 by CWA",
        "top 1 by end contrast",
    ]
    shown = [row.mark.at for row in rows[1:]]
    own = exact[(exact["language"] == "en") & (exact["chosen_by"] == "top")]
    own = own[own["source_language"] == "en"]
    np.testing.assert_allclose(shown, 100 * own["chosen"])
    np.testing.assert_allclose([row.rival.at for row in rows[1:]], 100 * own["control"])


def test_every_share_of_exact_answers_says_of_which_half():
    """The halves are counted in the run: 12 topics and 24 answers of each model and language."""
    material = evil_material()
    page = render_report(material)
    behaviour = material.tables["behaviour"]
    whole = behaviour[behaviour["n"] == "all"].set_index("split")
    for name in ("select", "evaluate"):
        rows = whole.loc[[name]]
        samples, topics = rows["n_samples"].iloc[0], rows["n_topics"].iloc[0]
        assert f"the\n{name} half holds {samples} answers about {topics} topics" in page
    assert "12 answers, evaluate half" in page
    assert "in percent of the evaluate half" in page
    found = keeps_to_n(material.tables, CAST)
    assert all("(all prompts)" in text for text in found.evidence)


def test_without_ablated_answers_there_is_no_picture():
    material = evil_material()
    effects = material.tables["ablation"].iloc[:0]
    assert draw_lead(material.tables["behaviour"], effects, CAST) is None
