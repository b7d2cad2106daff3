"""What the README and the other pages promise exists."""

import re
from pathlib import Path

import pytest
import yaml

from lengthlens.configuration.study import Study

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [
        target
        for target in targets
        if not re.match(r"https?:", target) and not (page.parent / target).exists()
    ]
    assert missing == []


def test_the_configuration_of_the_readme_is_valid():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```yaml\n(# mine.yaml\n.*?)```", text, flags=re.DOTALL)
    overrides = yaml.safe_load(block)
    config = DEFAULTS | overrides | {"prompts": DEFAULTS["prompts"] | overrides["prompts"]}
    assert Study.from_config(config, overrides, ROOT).n_words == (5, 10, 15)


def test_commands_of_the_readme_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"^make ([a-z-]+)$", text, flags=re.MULTILINE))
    assert commands == {"reproduce", "test"}
    assert commands <= set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
