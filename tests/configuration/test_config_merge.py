"""Snakemake merges what users give over the defaults; their `models` replace the default set.

Run with the real Snakemake, in a small workflow that reads the configuration as ours does.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lengthlens.configuration.study import restore_models

SCRIPTS = Path(__file__).parents[2] / "scripts"

SNAKEFILE = f"""
import copy, sys
sys.path.insert(0, {str(SCRIPTS)!r})
from lengthlens.configuration.study import restore_models

given = copy.deepcopy(config)
configfile: "config.yaml"
merged = restore_models(given, config)

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


@pytest.mark.parametrize(
    ("arguments", "files", "expected"),
    [
        (["--config", f"models={json.dumps(C)}"], {}, {**DEFAULTS, "models": C}),
        (
            ["--configfile", "1.yaml", "2.yaml"],
            {"1.yaml": {"models": C}, "2.yaml": {"models": D, "prompts": {"per_n": 9}}},
            {"models": C | D, "prompts": {"per_n": 9, "seed": 2}},
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
    ids=["config", "two-files", "profile", "no-models"],
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
