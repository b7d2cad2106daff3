"""What a run finds as Markdown, and how it comes into pages."""

import re

import pytest
from synthetic_report import EVIL, evil_material

from lengthlens.reporting.digest import BEGIN, DEEPER, END, digest, one_list, put
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
    section = Shown("a", "A", "A", "", "", leads=(f"a_b *c* [1, 2] |x| {EVIL}",), story=True)
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
