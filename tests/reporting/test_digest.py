"""What a run finds as Markdown, and how it comes into pages."""

import re

import pandas as pd
import pytest
from synthetic_report import EVIL, claim, evil_material

from lengthlens.errors import LengthlensError
from lengthlens.files.formats import CLAIMS
from lengthlens.files.provenance import provenance
from lengthlens.files.tables import write_table
from lengthlens.reporting.digest import BEGIN, DEEPER, END, digest, main, one_list, put, put_claims
from lengthlens.reporting.findings import describe_claims
from lengthlens.reporting.shown import Shown, shown_sections

MADE = {"lengthlens": "1.0", "commit": "abc"}


def test_the_story_comes_first_and_says_what_the_report_says():
    sections = shown_sections(evil_material())
    text = digest(sections, "r", MADE)
    assert text.startswith("<!-- run r, lengthlens 1.0, commit abc -->\n")
    story, deeper = text.split(DEEPER)
    assert "**Do tuned models keep to N more often than untuned models?** *yes" in story
    for section in sections:
        for found in section.findings:
            assert (found.question in text) and (found.question in story) == section.story
    assert "### What was asked" in story and "### What was asked" not in deeper
    assert not re.search(r"(?<!\\)<(?!!--)", text)  # nothing becomes HTML


def test_signs_of_markdown_are_shown_as_they_are():
    section = Shown("a", "A", "", "", label="A", leads=(f"a_b *c* [1, 2] |x| {EVIL}",))
    text = digest([section], "r", MADE)
    assert "- a\\_b \\*c\\* [1, 2] |x| " in text and "\\<script\\>" in text


def test_the_readme_gets_one_list():
    text = "<!-- run -->\n\n### A\n\n- led\n\n**Is it?** *yes*\n\n- so\n\n### B\n\n- more\n"
    assert one_list(text) == "<!-- run -->\n- led\n- **Is it?** *yes*\n  - so\n- more"


def test_pages_keep_what_stands_around():
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put(page, "new\n") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert put(put(page, "new"), "new") == put(page, "new")
    with pytest.raises(ValueError, match="no <!-- findings: begin -->"):
        put("a page", "text")


def test_a_page_gets_a_table_of_the_claims_that_it_names():
    rows = [claim(id="b", claim="Mean |error| a_b.", verdict="undecided", reason="few"), claim()]
    claims = describe_claims(pd.DataFrame(rows))
    page = (
        "before\n<!-- claims: {} -->\nold\n<!-- end of claims -->\nafter <!-- end of claims -->\n"
    )
    named = f"{claims[1].id} b"
    found = put_claims(page.format(named), claims, "r", MADE)
    assert found.startswith(f"before\n<!-- claims: {named} -->\n<!-- run r, lengthlens 1.0, commit")
    assert "old" not in found and found.endswith(
        "\n<!-- end of claims -->\nafter <!-- end of claims -->\n"
    )
    lines = [line for line in found.splitlines() if line.startswith("| ")]
    assert lines[0] == "| claim | paper | r | verdict |"
    assert lines[1].endswith("| −0.07 words | −0.25 words [−0.50, +0.01] | supported |")
    assert lines[2].startswith("| Mean \\|error\\| a\\_b. (`b`) |")
    assert lines[2].endswith("| undecided; few |")
    assert put_claims(found, claims, "r", MADE) == found
    with pytest.raises(LengthlensError, match="r has no claim gone, lost;"):
        put_claims(page.format("b gone lost"), claims, "r", MADE)


def test_each_page_gets_what_it_marks(tmp_path):
    run, docs = tmp_path / "r", tmp_path / "docs"
    for folder in (run / "figures", docs / "figures"):
        folder.mkdir(parents=True)
    (run / "findings.md").write_text(f"### A\n\n- story\n\n{DEEPER}\n\n### B\n\n- deeper\n")
    (run / "figures/worked_cases.svg").write_text("<svg/>")
    write_table(pd.DataFrame([claim(id="b")]), run / "claims.csv", provenance(CLAIMS, {}))
    for name in ("README.md", "docs/findings.md"):
        (tmp_path / name).write_text(f"{BEGIN}\n{END}\n")
    (docs / "paper.md").write_text("<!-- claims: b -->\n<!-- end of claims -->\n")
    main(str(run), *(str(tmp_path / name) for name in ("README.md", "docs/findings.md")))
    assert "deeper" not in (tmp_path / "README.md").read_text()
    assert "- deeper" in (docs / "findings.md").read_text()
    assert not (docs / "figures/worked_cases.svg").exists()
    main(str(run), str(docs / "paper.md"))
    assert "(`b`) |" in (docs / "paper.md").read_text()
    assert (docs / "figures/worked_cases.svg").read_text() == "<svg/>"
