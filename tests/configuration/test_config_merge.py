"""Snakemake merges what users give over the defaults; their `models` replace the default set.

Run with the real Snakemake, in a small workflow that takes the lines which read it from ours.
"""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from lengthlens.configuration.study import restore_models

ROOT = Path(__file__).parents[2]
LINES = re.search(
    r"^written = .*?^if STANDALONE:\n(.*?)^else:", (ROOT / "Snakefile").read_text(), re.S | re.M
)
SNAKEFILE = f"""
import os, sys
from snakemake.common.configfile import load_configfile
sys.path.insert(0, {str(ROOT / "scripts")!r})
from lengthlens.configuration.sources import Sources, merge
from lengthlens.configuration.study import config_schema, restore_models

{LINES[0].splitlines()[0]}
{textwrap.dedent(LINES[1])}
merged = restore_models(given, merge(load_configfile("config.yaml"), given))

rule write_config:
    output: "seen.json"
    params: seen=merged
    script: "write_config.py"
"""
SCRIPT = """
import json
with open(snakemake.output[0], "w") as file:
    json.dump(snakemake.params.seen, file)
"""
DEFAULTS = {"models": {"a": {"path": "a"}, "b": {"path": "b"}}, "prompts": {"per_n": 1, "seed": 2}}
C = {"c": {"hub": "c", "variant": "base"}}
D = {"d": {"hub": "d", "variant": "base"}}
E = {"e": {"path": "e", "variant": "base"}}
PROBED = {**DEFAULTS, "probes": {"languages": ["qaa"], "per_n": 2}}


@pytest.mark.parametrize(
    ("given", "languages"),
    [
        ({}, ["qaa"]),
        ({"models": D}, []),
        ({"models": D, "probes": {"per_n": 3}}, []),
        ({"models": D, "probes": {"languages": ["xx"]}}, ["xx"]),
        ({"probes": {"languages": ["xx"]}}, ["xx"]),
    ],
)
def test_languages_that_are_only_probed_belong_to_the_default_models(given: dict, languages: list):
    merged = {**PROBED, **given, "probes": PROBED["probes"] | given.get("probes", {})}
    seen = restore_models(given, merged)
    assert seen["probes"] == merged["probes"] | {"languages": languages}
    assert merged["probes"]["languages"] in (["qaa"], ["xx"])  # what was merged is left alone


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "files", "expected"),
    [
        pytest.param(
            ["--config", f"models={json.dumps(C)}"],
            {},
            {**DEFAULTS, "models": C},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--configfile", "1.yaml", "2.yaml"],
            {"1.yaml": {"models": C}, "2.yaml": {"models": D, "prompts": {"per_n": 9}}},
            {"models": D, "prompts": {"per_n": 9, "seed": 2}},
            marks=pytest.mark.slow,
        ),
        (
            ["--configfile", "1.yaml", "2.yaml", "--config", f"models={json.dumps(E)}"],
            {"1.yaml": {"models": C}, "2.yaml": {"models": D}},
            {**DEFAULTS, "models": E},
        ),
        pytest.param(
            ["--configfile", "1.yaml", "2.yaml"],
            {"1.yaml": {"models": C}, "2.yaml": {"prompts": {"per_n": 9}}},
            {"models": C, "prompts": {"per_n": 9, "seed": 2}},
            marks=pytest.mark.slow,
        ),
        (
            ["--config", "run=007", "n_words=[3,5]", "languages=[no,en]", "prompts={seed: 4}"],
            {},
            {
                **DEFAULTS,
                "run": "007",
                "n_words": [3, 5],
                "languages": ["no", "en"],
                "prompts": {"per_n": 1, "seed": 4},
            },
        ),
        (
            ["--profile", "mine"],
            {"mine/config.yaml": {"configfile": "1.yaml"}, "1.yaml": {"models": D}},
            {**DEFAULTS, "models": D},
        ),
        (
            ["--configfile", "1.yaml"],
            {"1.yaml": {"prompts": {"seed": 5}}},
            {**DEFAULTS, "prompts": {"per_n": 1, "seed": 5}},
        ),
    ],
    ids=["config", "two", "two-and-config", "models-first", "typed", "profile", "no-models"],
)
def test_what_a_job_sees(tmp_path: Path, arguments: list[str], files: dict, expected: dict):
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    (tmp_path / "write_config.py").write_text(SCRIPT, encoding="utf-8")
    for name, content in {"config.yaml": DEFAULTS, **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "seen.json").read_text(encoding="utf-8")) == expected
