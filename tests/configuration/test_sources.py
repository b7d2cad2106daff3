"""What a person wrote is what is read, or it is refused with the place where it stands."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from small_project import make_config

from lengthlens.configuration.sources import Sources, merge, read_argument
from lengthlens.configuration.study import ConfigurationError, Study, config_schema


def problems_of(root: Path, sources: Sources) -> list[str]:
    """The problems of the small project's configuration with these sources above it."""
    given = sources.given(config_schema())
    with pytest.raises(ConfigurationError) as caught:
        Study.from_config(merge(make_config(), given), given, root, sources)
    return caught.value.problems


def written(folder: Path, text: str, name: str = "mine.yaml") -> Sources:
    """A file with this text, as Snakemake reads it."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return Sources({str(path): yaml.safe_load(text)})


@pytest.mark.parametrize(
    ("text", "path", "value", "read", "cure"),
    [
        ("n_words: [3, 010]", "n_words[1]", "010", "8", "10"),
        ("n_words: [03, 4]", "n_words[0]", "03", "3", "3"),
        ("n_words: [0x1F]", "n_words[0]", "0x1F", "31", "31"),
        ("n_words: [0b11]", "n_words[0]", "0b11", "3", "3"),
        ("n_words: [1_0]", "n_words[0]", "1_0", "10", "10"),
        ("n_words: [1:30]", "n_words[0]", "1:30", "90", "90"),
        ("prompts: {seed: 0_7}", "prompts.seed", "0_7", "7", "7"),
        ("statistics: {level: 0_0.95}", "statistics.level", "0_0.95", "0.95", "0.95"),
        ("generation: {temperature: 1:30.5}", "generation.temperature", "1:30.5", "90.5", "90.5"),
        ("languages: [en, no]", "languages[1]", "no", "false", "false"),
        ("languages:\n  - on", "languages[0]", "on", "true", "true"),
        ("counting: off", "counting", "off", "false", "false"),
        ("activations: {keep: yes}", "activations.keep", "yes", "true", "true"),
        ("report: {title: 12:30}", "report.title", "12:30", "750", "750"),
        ("generation: {date: 2026-01-02T03:04:05}", "generation.date", "2026-01-02T03:04:05",
         "2026-01-02 03:04:05", "2026-01-02 03:04:05"),
        ("models: {a: {path: models/small, variant: base, stop_tokens: [012]}}",
         "models.a.stop_tokens[0]", "012", "10", "12"),
    ],
)  # fmt: skip
def test_what_yaml_reads_otherwise_is_refused(root, tmp_path, text, path, value, read, cure):
    problems = problems_of(root, written(tmp_path, text))
    line = 2 if "\n" in text else 1
    assert problems == [
        f"{path}: {value} is read as {read} by the rules of YAML; write {cure}, or "
        f'"{value}" in quotes if a text is meant ({tmp_path / "mine.yaml"}, line {line})'
    ]


@pytest.mark.parametrize(
    "text",
    [
        "n_words: [3, 10]\nactivations: {keep: true}\nlanguages: ['en']",
        "statistics: {level: .5}\ngeneration: {temperature: 1.5, date: 2026-01-02}",
        'report: {title: "12:30"}\nrun: "010"\nactivations: {keep: FALSE}',
    ],
)
def test_what_is_read_as_written_is_taken(root: Path, tmp_path: Path, text: str):
    sources = written(tmp_path, text)
    given = sources.given(config_schema())
    study = Study.from_config(merge(make_config(), given), given, root, sources)
    for key, value in yaml.safe_load(text).items():
        found = study.values[key]
        if isinstance(value, dict):
            assert {name: str(found[name]) for name in value} == {
                k: str(v) for k, v in value.items()
            }
        else:
            assert found == value


@pytest.mark.parametrize("text", ["n_words: [0o10]", "n_words: [08]"])
def test_numbers_that_yaml_reads_as_text(root: Path, tmp_path: Path, text: str):
    [problem] = problems_of(root, written(tmp_path, text))
    advice = "write 8" if "08" in text else "write the number in decimal digits"
    assert f"it is read as text: {advice} (" in problem and problem.endswith("mine.yaml, line 1)")


def test_a_problem_says_where_its_value_was_given(root: Path, tmp_path: Path):
    """The last of the files that gives it, with its line; or the command line; no default."""
    one = written(tmp_path, "prompts:\n  seed: -1\n  per_n: 0\n", "one.yaml")
    two = written(tmp_path, "\n\nprompts: {seed: -2}\nfigures:\n  formats: [gif]\n", "two.yaml")
    both = Sources({**one.files, **two.files}, ["n_words=[0]", "runn=x"])
    assert [problem.rpartition(" (")[2] for problem in problems_of(root, both)] == [
        f"{tmp_path / 'two.yaml'}, line 5)",
        "given by --config)",
        f"{tmp_path / 'one.yaml'}, line 3)",
        f"{tmp_path / 'two.yaml'}, line 3)",
        "given by --config)",
    ]
    config = make_config() | {"counting": "words"}
    with pytest.raises(ConfigurationError) as caught:
        Study.from_config(config, {}, root, Sources())
    assert caught.value.problems[0].endswith("legal: whitespace, unicode or elision")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("n_words", "[3,5]", [3, 5]),
        ("n_words", "[03,5]", ["03", 5]),  # refused by the schema, as it is written
        ("n_words", "[1_0]", ["1_0"]),
        ("run", "2026", "2026"),
        ("run", "1e3", "1e3"),
        ("run", "no", "no"),
        ("languages", "[no,en]", ["no", "en"]),
        ("counting", "unicode", "unicode"),
        ("activations", "{keep: false}", {"keep": False}),
        ("activations", "{keep: temp}", {"keep": "temp"}),
        ("generation", "{batch_size: 4, temperature: 0.5}", {"batch_size": 4, "temperature": 0.5}),
        ("generation", "{batch_size: auto}", {"batch_size": "auto"}),
        ("generation", "{date: 2026-01-02}", {"date": "2026-01-02"}),
        ("models", "{a: {stop_tokens: [7, '7']}}", {"a": {"stop_tokens": [7, "7"]}}),
        ("n_words", "[3", "[3"),
        ("n_words", "", None),
        ("n_words", "&a [*a]", "&a [*a]"),
        ("unknown", "3", "3"),
    ],
)  # fmt: skip
def test_arguments_are_read_as_their_key_takes_them(key: str, text: str, value: Any):
    assert read_argument(text, config_schema(), (key,)) == value


def test_anchors_are_read_once(root: Path, tmp_path: Path):
    """A graph, and a bomb of 10^9 nodes: neither takes long nor hides anything."""
    many = [f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    lines = ["a: &a0 [07]", *many]
    [problem] = [p for p in written(tmp_path, "\n".join(lines)).problems()]
    assert problem.path == ("a", 0)
