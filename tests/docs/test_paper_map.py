"""The paper's map names what there is, and its tables are those of today's claims."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from lengthlens.figures.registry import FIGURES
from lengthlens.language.languages import load_language
from lengthlens.language.prompts import build_prompts
from lengthlens.reporting.digest import CLAIMS
from lengthlens.workflow.targets import TABLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/paper.md").read_text(encoding="utf-8")
DECLARED = {
    claim["id"]: claim
    for claim in yaml.safe_load((ROOT / "resources/claims.yaml").read_text("utf-8"))["claims"]
}
REGIONS = [(match[2].split(), match[0]) for match in CLAIMS.finditer(PAGE)]


def test_every_claim_of_the_paper_has_one_place():
    named = [name for names, _ in REGIONS for name in names]
    papers = [name for name, claim in DECLARED.items() if claim["origin"] == "paper"]
    assert len(papers) >= 20 and set(papers) <= set(named)
    assert len(named) == len(set(named)) and set(named) <= set(DECLARED)


def test_tables_were_filled_in_after_the_claims_or_the_page_changed():
    for names, region in REGIONS:
        rows = [line.strip("| ").split(" | ") for line in region.splitlines()]
        rows = [row for row in rows if row[0].endswith("`)")]
        texts = [f"{DECLARED[name]['claim']} (`{name}`)" for name in names]
        assert [row[0].replace("\\|", "|") for row in rows] == texts
        assert all(row[3].split(";")[0] in VERDICTS for row in rows)
        assert "<!-- run pocket, lengthlens " in region


VERDICTS = {"supported", "not supported", "undecided", "undecided (censored)", "no data"}


def test_what_is_named_exists():
    text = CLAIMS.sub("", PAGE)
    names = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", text))
    assert names and names <= set(DECLARED)
    known = {**dict.fromkeys(TABLES), **FIGURES}
    for listed in re.findall(
        r"\b(?:[Ff]igures?|[Tt]ables?)(?: and (?:figure|table))? (`[^.;:()]*`)", text
    ):
        for name in re.findall(r"`([^`]+)`", listed):
            assert name in known, name
    drawn = {name for name in FIGURES if f"`{name}`" in text or f"`figures/{name}`" in text}
    assert set(FIGURES) - drawn == {"series"}  # of checkpoints, which the paper does not have


def test_the_prompt_of_the_worked_case_is_the_one_that_is_quoted():
    quoted = re.search(r'The prompt was \*"([^"]+)"\*', PAGE)[1]
    picture = (ROOT / "docs/figures/worked_cases.svg").read_text(encoding="utf-8")
    language = load_language(ROOT / "resources/languages/en.yaml")
    prompts = build_prompts(language, 6, 0, 24, 0)
    [chosen] = [prompt for prompt in prompts if prompt.text == quoted]
    assert chosen.split == "evaluate"
    assert "asked for 6 words" in re.sub(r"\s+", " ", picture)
