"""What the report says of models with and without control."""

from dataclasses import replace

import pandas as pd
from synthetic_report import NAMES, TUNINGS, evil_material

from lengthlens.analysis.behaviour import summarise_answers
from lengthlens.reporting.control import Gate, control_sentences, gate_of, wrapping_sentences
from lengthlens.reporting.page import render_report
from lengthlens.reporting.sections import SECTIONS
from lengthlens.statistics import Bootstrap


def control(opened):
    """tables/control.csv of the two models; `opened`: of the tuned model, by language."""
    rows = []
    for model in TUNINGS:
        for code in NAMES:
            there = model == "i" and opened[code]
            row = {"model": model, "language": code, "n_samples": 24, "n_topics": 12}
            row |= {"truncated": 0.25 * (model == "b"), "n_swapped": 20, "level": 0.95}
            for name, value in (
                ("exact", 0.9), ("chance", 0.5), ("over_chance", 0.4), ("slope", 0.95),
                ("n_effect", 3.0),
            ):  # fmt: skip
                row |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
            reason = "" if there else "N is not shown to move the decision to end"
            rows.append(row | {"open": there, "reason": reason})
    return pd.DataFrame(rows)


def page_of(opened):
    material = evil_material()
    return render_report(replace(material, tables=material.tables | {"control": control(opened)}))


def section(page, name):
    start = page.index(f'<section id="{name}"')
    return page[start : page.index("</section>", start)]


def test_where_there_is_no_control_nothing_is_explained():
    page = page_of({"en": False, "it": False})
    assert "No control is shown, so there is nothing to explain" in section(page, "summary")
    assert "No control of the word count is shown for i in English and Italian" in section(
        page, "summary"
    )
    assert "N is not shown to move the decision to end" in section(page, "summary")
    for name in ("attribution", "causes", "same-text", "scores", "confirmatory", "repair"):
        if f'<section id="{name}"' in page:
            assert "Nothing to explain" in section(page, name)
            assert "<table" not in section(page, name) and "<svg" not in section(page, name)
    assert 'id="lead"' not in page and "explorer-data" not in page
    assert "Control is not shown" in section(page, "claims")


def test_one_language_without_control_is_left_out():
    page = page_of({"en": True, "it": False})
    assert "Control is not shown everywhere" in section(page, "summary")
    causes = section(page, "causes")
    assert "not shown for i in Italian" in causes and "English" in causes
    assert causes.count("Italian") == 1
    assert "explorer-data" in page


def test_with_control_everywhere_nothing_is_said():
    page = page_of({"en": True, "it": True})
    assert "Nothing to explain" not in section(page, "causes")
    for name in ("summary", "claims"):
        assert "Control is not shown" not in section(page, name)
        assert "No control is shown" not in section(page, name)
    assert "Control is shown." in section(page, "control")


def test_the_gate_is_asked_of_instruct_models_or_else_of_all():
    table = control({"en": True, "it": False})
    gate = gate_of({"control": table}, TUNINGS)
    assert gate.opened == {("i", "en")} and set(gate.closed) == {("i", "it")}
    alone = gate_of({"control": table[table["model"] == "b"]}, {"b": "untuned"})
    assert alone.nothing and set(alone.closed) == {("b", "en"), ("b", "it")}
    assert not gate_of({}, TUNINGS).closed


def test_all_sections_on_the_mechanism_wait_for_the_gate():
    """Where tuning brought no control, no part of the weights brings a share of it either."""
    gated = {section.id for section in SECTIONS if section.explains}
    traced = {"mechanism", "circuits", "attention", "count", "tuning"}
    assert {"causes", "scores"} | traced <= gated and "behaviour" not in gated


def test_rows_of_closed_pairs_are_left_out_of_every_kind_of_table():
    gate = Gate(frozenset({("i", "en")}), {("i", "it"): "why"})
    transfer = pd.DataFrame(
        {"model": "i", "source_language": ["en", "it"], "target_language": ["it", "en"]}
    )
    assert gate.explained(transfer)["source_language"].tolist() == ["it"]
    texts = pd.DataFrame({"tuned": "i", "untuned": "b", "language": ["en", "it"]})
    assert gate.explained(texts)["language"].tolist() == ["en"]
    profiles = pd.DataFrame({"model": "i", "first": ["en", "en"], "second": ["it", "lb"]})
    assert gate.explained(profiles)["second"].tolist() == ["lb"]
    repair = pd.DataFrame({"model": "i", "language": ["en", "en"], "minus": [None, "it"]})
    assert len(gate.explained(repair)) == 1


def test_sentences_hold_every_number_with_its_interval():
    first, *_, last = control_sentences(control({"en": True, "it": True}))
    assert "25.0 % were cut" in first and first.endswith("to end.")
    assert "90.0 % [80.0, 100.0] of 24 answers are exact" in last
    assert "+40.0 points [+30.0, +50.0] above the 50.0 % expected by chance" in last
    assert (
        "+0.95 words [+0.85, +1.05]" in last
        and "lowers the end margin by 3.00 logits [2.90, 3.10]" in last
    )
    assert last.endswith("Control is shown.")


TEXTS = {
    0: "Here is a sentence: the old harbour keeps a lamp burning tonight.",
    1: "The old harbour keeps a lamp burning tonight.",
    2: "La casa sul mare è molto antica.",
    3: "Moon",
}


def test_politeness_and_other_languages_are_counted():
    """Of four Italian answers one begins politely, two are in English, one is too short to tell."""
    from synthetic_report import evil_answers, language

    table = evil_answers()
    table = table[(table["model"] == "i") & (table["language"] == "it")].head(4)
    table = table.assign(text=list(TEXTS.values()), n=8, error=[4, 0, -1, -7], words=[12, 8, 7, 1])
    languages = {code: language(code) for code in NAMES}
    found = summarise_answers(table, languages, Bootstrap(resamples=100))
    row = found[(found["n"] == "all") & (found["split"] == "all")].iloc[0]
    assert row["preamble"] == 0.25 and row["quotes"] == row["markdown"] == row["echo"] == 0
    assert row["own_language"] == 0.25 and row["other_language"] == 0.5
    assert row["undetermined"] == 0.25 and row["main_language"] == "en"
    polite, foreign = wrapping_sentences(found, NAMES)
    assert "25.0 % begin with an introduction" in polite
    assert "50.0 % are in another language, most of them in English" in foreign


def test_the_last_sentence_alone_can_be_counted():
    from synthetic_report import evil_answers, language

    table = evil_answers()
    table = table[(table["model"] == "i") & (table["language"] == "en")].head(2)
    table = table.assign(text=["Sure! One two three.", "One two."], n=3, error=[1, -1])
    languages = {code: language(code) for code in NAMES}
    for how, exact in (("whole", 0), ("last_sentence", 0.5)):
        found = summarise_answers(table, languages, counted=how, bootstrap=Bootstrap(resamples=100))
        assert found["exact"].iloc[0] == exact
