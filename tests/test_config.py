"""Configurations: the shipped ones are valid, wrong ones are refused with all their problems."""

import copy
import dataclasses
import datetime
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_project import DEFAULTS, TOPICS, make_config, make_project

from lengthlens.config import SECTIONS, ConfigurationError, Study, restore_models
from lengthlens.config_table import config_table
from lengthlens.validation import documented_keys, dotted, show, subschema

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "schemas/config.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def config() -> dict[str, Any]:
    return make_config()


def problems_of(config: Any, root: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Study.from_config(config, root=root)
    return caught.value.problems


def merged(overrides: dict[str, Any]) -> dict[str, Any]:
    """The defaults under `overrides`, as Snakemake merges them."""
    result = copy.deepcopy(DEFAULTS)
    for key, value in overrides.items():
        if isinstance(value, dict):
            result[key] |= value
        else:
            result[key] = value
    return result


# --- the shipped configurations --------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    sorted(
        f"config/{path.name}" for path in (ROOT / "config").glob("*.yaml") if path.stem != "pocket"
    ),
)
def test_shipped_configurations_are_valid(name: str):
    overrides = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    study = Study.from_config(merged(overrides), overrides, ROOT)
    assert study.run == Path(name).stem.replace(".", "")
    assert len(study.models) == 2


def test_defaults_are_valid_and_complete():
    study = Study.from_config(DEFAULTS, {}, ROOT)
    assert study.run == "pocket"
    assert list(study.values) == list(SCHEMA["properties"])


def test_every_key_of_the_schema_is_in_config_yaml_and_the_reverse():
    assert list(DEFAULTS) == list(SCHEMA["properties"])
    for key in SECTIONS:
        assert list(DEFAULTS[key]) == list(SCHEMA["properties"][key]["properties"]), key


def test_every_key_of_config_yaml_has_a_comment():
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    for above, line in zip(lines, lines[1:], strict=False):
        text = line.strip()
        key = text.partition(":")[0]
        if text and not text.startswith("#") and key not in SECTIONS and "pocket-" not in key:
            assert above.strip().startswith("#"), f"no comment above: {line}"


def test_config_yaml_states_what_is_legal():
    """What the comments call legal and what the schema does are the same set of words."""
    text = " ".join(
        line.strip().lstrip("# ")
        for line in (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    )
    for path, key in documented_keys(SCHEMA).items():
        for word in key.get("enum", key.get("items", {}).get("enum", [])):
            shown = show(word).strip("'")
            assert shown in text, f"{dotted(path)}: {shown} is not mentioned"


def test_the_dataclasses_have_the_keys_of_the_schema():
    for key, section in SECTIONS.items():
        names = [field.name for field in dataclasses.fields(section)]
        assert names == list(SCHEMA["properties"][key]["properties"])


def test_every_key_has_a_description_and_says_what_is_legal():
    keys = documented_keys(SCHEMA)
    assert len(keys) == 52
    for path, key in keys.items():
        assert key["description"].strip() and key["legal"].strip(), dotted(path)


def test_the_table_of_keys_is_up_to_date():
    """`python -m lengthlens.config_table` writes it."""
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == config_table(ROOT)


# --- reading it ------------------------------------------------------------------------------


def test_attributes_and_slices(config: dict[str, Any], root: Path):
    config["models"]["small"]["stop_tokens"] = ["\n", 7]
    study = Study.from_config(config, root=root)
    assert study.models["small"].stop_tokens == ("\n", 7)
    assert study.model_folder("small") == root / "models/small"
    assert study.generation.max_new_tokens == 64
    assert study.ablation.k == (1, 2, 4, 8, 16)
    assert study.results == "results/pocket"
    assert study.capacity == {"en": 12, "it": 12}
    assert study.slice("counting", "prompts.seed", "ablation.k") == {
        "counting": "whitespace",
        "prompts": {"seed": 0},
        "ablation": {"k": [1, 2, 4, 8, 16]},
    }


def test_a_slice_does_not_depend_on_the_order_of_the_top_level_keys(config, root: Path):
    """Rules compare their parameters as text: moving a key must not make them stale."""
    turned = dict(reversed(config.items()))
    keys = [key for key in config if key != "models"]
    one = Study.from_config(config, root=root).slice(*keys)
    other = Study.from_config(turned, root=root).slice(*keys)
    assert repr(one) == repr(other)


def test_a_slice_does_not_depend_on_the_order_inside_a_section(config, root: Path):
    turned = copy.deepcopy(config)
    turned["generation"] = dict(reversed(config["generation"].items()))
    turned["models"]["small"] = dict(reversed(config["models"]["small"].items()))
    one = Study.from_config(config, root=root).slice("generation", "models")
    other = Study.from_config(turned, root=root).slice("generation", "models")
    assert repr(one) == repr(other)


def test_the_configuration_is_not_changed(config: dict[str, Any], root: Path):
    before = copy.deepcopy(config)
    study = Study.from_config(config, {"models": config["models"]}, root)
    study.slice("ablation")["ablation"]["k"].append(99)
    assert config == before
    assert study.ablation.k == (1, 2, 4, 8, 16)


def test_shards_are_full_until_the_prompts_run_out(config: dict[str, Any], root: Path):
    config["prompts"] |= {"per_n": 6, "shard": 5}
    config["n_words"] = [3]
    study = Study.from_config(config, root=root)
    assert [(s.name, s.start, s.stop) for s in study.shards()] == [
        ("en.n3.0", 0, 5),
        ("en.n3.1", 5, 10),
        ("it.n3.0", 0, 5),
        ("it.n3.1", 5, 10),
    ]
    assert study.shard("en", 3, 2) == dataclasses.replace(
        study.shards("en")[0], index=2, start=10, stop=12
    )
    assert study.shards("it") == study.shards()[2:]


@pytest.mark.parametrize("per_n", [1, 3, 4, 5, 8, 11, 12])
def test_more_prompts_only_append_shards(config: dict[str, Any], root: Path, per_n: int):
    config["n_words"] = [3, 5, 6]
    config["prompts"]["per_n"] = 12
    all_shards = Study.from_config(config, root=root).shards()
    config["prompts"]["per_n"] = per_n
    try:
        shards = Study.from_config(config, root=root).shards()
    except ConfigurationError as error:
        assert "split" in str(error) and per_n < 4
        return
    assert [shard for shard in all_shards if shard in shards] == shards
    assert len(shards) == 2 * 3 * -(-per_n // 4)


def test_a_date_without_quotes_is_read_as_meant(config: dict[str, Any], root: Path):
    config["generation"]["date"] = datetime.date(2026, 2, 3)
    assert Study.from_config(config, root=root).generation.date == "2026-02-03"


def test_given_models_replace_the_default_set():
    mine = {"mine": {"hub": "a/b", "revision": "c", "variant": "base"}}
    combined = {**DEFAULTS, "models": {**DEFAULTS["models"], **mine}}
    assert restore_models({"models": mine, "run": "x"}, combined)["models"] == mine
    assert restore_models({"run": "x"}, combined)["models"] == combined["models"]
    assert set(combined["models"]) == {"pocket-base", "pocket-instruct", "mine"}
    assert set(Study.from_config(combined, {"models": mine}, ROOT).models) == {"mine"}


def test_importing_it_is_light():
    program = (
        "import sys; before = set(sys.modules); import lengthlens.config;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "scripts")},
    )
    heavy = {"torch", "transformers", "xarray", "numpy", "pandas", "scipy", "h5py", "matplotlib"}
    assert "lengthlens" in result.stdout.split()
    assert not heavy & set(result.stdout.split())


# --- what is refused -------------------------------------------------------------------------


def test_all_problems_in_one_list(config: dict[str, Any], root: Path):
    config["langauges"] = ["en"]
    config["run"] = "../elsewhere"
    config["counting"] = "unicod"
    config["generation"]["max_new_tokens"] = "many"
    config["languages"] = ["en", "fr"]
    config["models"]["other"] = {"variant": "chat", "path": "x"}
    del config["figures"]["dpi"]
    assert problems_of(config, root) == [
        "counting: 'unicod' is not legal; legal: whitespace, unicode or elision; "
        "did you mean unicode?",
        "figures.dpi: missing; legal: a whole number from 50 to 1200",
        "generation.max_new_tokens: 'many' is not legal; legal: a whole number > the largest N, "
        "at most 100000",
        "langauges: unknown key (value ['en']); did you mean languages?",
        "models.other.variant: 'chat' is not legal; legal: base or instruct",
        "run: '../elsewhere' is not legal; legal: 1 to 64 letters, digits and hyphens, "
        "the first no hyphen",
        "languages[1]: 'fr' has no resource file resources/languages/fr.yaml; legal: en, it, "
        "or add that file",
    ]


# Each: a path, the value put there, and words that the problem must hold.
WRONG = [
    ("run", "a/b", "run: 'a/b' is not legal"),
    ("run", "..", "run: '..'"),
    ("run", "", "run: ''"),
    ("run", "-x", "run: '-x'"),
    ("run", "a\n", "run: 'a\\n'"),
    ("run", "naïve", "run: 'naïve'"),
    ("run", "x" * 65, "run: 'xxx"),
    ("run", 3, "run: 3"),
    ("models", {}, "models: {} is not legal"),
    ("models", None, "models: null"),
    ("models.a b", {"hub": "x", "variant": "base"}, "models.a b: the name is not legal"),
    ("models.m", {"variant": "base"}, "neither `path` nor `hub`"),
    ("models.m", {"path": "a", "hub": "b", "variant": "base"}, "both `path` and `hub`"),
    ("models.m", {"path": "gone", "variant": "base"}, "models.m.path: 'gone' is not a folder"),
    ("models.m", {"path": "models", "variant": "base"}, "has no readable config.json"),
    ("models.m", {"path": "models/small", "variant": "instruct"}, "has no chat template"),
    ("models.small.revision", "abc", "only a `hub` model has a revision"),
    ("models.m", {"hub": "a/b", "variant": "base"}, "models.m.revision: missing, so the weights"),
    ("models.small.varaint", "base", "did you mean variant?"),
    ("models.small.stop_tokens", ["a", "a"], "models.small.stop_tokens: ['a', 'a']"),
    ("models.small.stop_tokens", [-1], "models.small.stop_tokens[0]: -1"),
    ("models.small.stop_tokens", [True], "models.small.stop_tokens[0]: true"),
    (
        "models.Small",
        {"hub": "x", "revision": "y", "variant": "base"},
        "differ in upper and lower case only",
    ),
    ("models.m", {"hub": "../../etc", "variant": "base"}, "models.m.hub: '../../etc'"),
    ("languages", [], "languages: []"),
    ("languages", "en", "languages: 'en'"),
    ("languages", ["en", "en"], "languages: ['en', 'en']"),
    ("languages", [False], "languages[0]: false is not legal"),
    ("languages", ["../en"], "languages[0]: '../en'"),
    ("n_words", [0], "n_words[0]: 0"),
    ("n_words", [3, 3], "n_words: [3, 3]"),
    ("n_words", [3.0], "n_words[0]: 3.0"),
    ("n_words", [True], "n_words[0]: true"),
    ("n_words", ["3"], "n_words[0]: '3'"),
    ("n_words", [100], "generation.max_new_tokens: 64 cuts every answer of 100 words"),
    ("prompts.per_n", 0, "prompts.per_n: 0"),
    ("prompts.per_n", 13, "legal: at most 12 (6 topics × 2 templates)"),
    ("prompts.shard", -1, "prompts.shard: -1"),
    ("prompts.seed", 1.5, "prompts.seed: 1.5"),
    ("prompts.seed", 2**32, "prompts.seed: 4294967296"),
    ("prompts", 24, "prompts: 24"),
    ("per_n", 24, "per_n: unknown key (value 24); did you mean prompts.per_n or forced.per_n or"),
    ("seed", 1, "did you mean prompts.seed or generation.seed or"),
    ("generation.batch_size", "large", "generation.batch_size: 'large'"),
    ("generation.batch_size", 0, "generation.batch_size: 0"),
    ("generation.memory_gb", float("nan"), "generation.memory_gb: .nan"),
    ("generation.memory_gb", float("-inf"), "generation.memory_gb: -.inf"),
    ("generation.dtype", "bf16", "generation.dtype: 'bf16'"),
    ("generation.device", "CPU", "did you mean cpu?"),
    ("generation.temperature", -0.1, "generation.temperature: -0.1"),
    ("generation.top_p", 0, "generation.top_p: 0"),
    ("generation.samples", 4, "4 greedy answers to a prompt would all be the same"),
    ("generation.date", "2026-02-30", "'2026-02-30' is no day of the calendar"),
    ("generation.date", "today", "generation.date: 'today'"),
    ("activations.keep", "yes", "activations.keep: 'yes'"),
    ("activations.keep", 1, "activations.keep: 1"),
    ("statistics.level", 95, "statistics.level: 95"),
    ("ablation.methods", ["cwaa"], "did you mean cwa?"),
    ("ablation.modes", [], "ablation.modes: []"),
    ("probes.languages", ["xx"], "probes.languages[0]: 'xx' has no resource file"),
    ("probes.per_n", 13, "probes.per_n: 13 is more than the languages have; legal: at most 12"),
    ("probes.n_words", [10, 10], "probes.n_words: [10, 10]"),
    ("figures.formats", ["gif"], "figures.formats[0]: 'gif'"),
    ("figures.formats", ["pdf"], "figures.formats: ['pdf'] has nothing that the report can show"),
    ("report.title", "", "report.title: ''"),
    ("report.answers", None, "report.answers: null"),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG)
def test_a_wrong_value_is_the_only_problem(config, root: Path, path: str, value, words: str):
    put(config, path.split("."), value)
    problems = problems_of(config, root)
    assert len(problems) == 1, problems
    assert words in problems[0]


def put(config: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        config = config[part]
    config[path[-1]] = value


def test_splits_that_stay_empty(config: dict[str, Any], root: Path):
    config["prompts"]["per_n"] = 1
    config["n_words"] = [3]
    [problem] = problems_of(config, root)
    assert problem.startswith("prompts.per_n: 1 prompts for each N leave the split")


def test_problems_of_a_language_file_are_listed(config: dict[str, Any], tmp_path: Path, root: Path):
    copied = shutil.copytree(root, tmp_path / "project")
    (copied / "resources/languages/it.yaml").write_text("code: it\n", encoding="utf-8")
    config["run"] = "/"
    problems = problems_of(config, copied)
    assert [problem.partition(":")[0] for problem in problems] == ["run", "languages[1]"]
    assert "the key `topics` is missing" in problems[1]


def test_what_is_only_probed(config: dict[str, Any], root: Path):
    """A language of both lists is probed once, and those of the study come first."""
    config["languages"] = ["en"]
    config["probes"]["languages"] = ["it", "en"]
    study = Study.from_config(config, root=root)
    assert study.probed_languages == ("en", "it")
    assert study.capacity == {"en": 12, "it": 12}
    assert {shard.language for shard in study.shards()} == {"en"}


def test_languages_that_are_not_parallel(config: dict[str, Any], tmp_path: Path, root: Path):
    copied = shutil.copytree(root, tmp_path / "project")
    path = copied / "resources/languages/it.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("  moon:", "  mars:"))
    [problem] = problems_of(config, copied)
    assert problem.startswith("languages: topics of languages 'en' and 'it' are not parallel")


@pytest.mark.parametrize("config", [None, [], "run: x", 3])
def test_not_a_mapping(config: Any, root: Path):
    assert problems_of(config, root) == ["it is not a mapping of keys to values"]


def test_what_yaml_can_express_and_json_cannot(config: dict[str, Any], root: Path):
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    laughs: Any = "ha"
    for _ in range(11):
        laughs = [laughs] * 50
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    config |= {True: 1, None: 2, "cyclic": cyclic, "laughs": laughs, "deep": deep}
    config["report"] |= {"title": cyclic, "answers": laughs}
    config["figures"]["dpi"] = 10**5000
    starts = [problem.partition(":")[0] for problem in problems_of(config, root)]
    assert starts == [
        "true",
        "null",
        "cyclic",
        "deep",
        "figures.dpi",
        "laughs",
        "report.answers",
        "report.title",
    ]


# --- any configuration whatsoever ------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=5)
    | st.sampled_from([*TOPICS, "auto", "cwa", "en", "..", "-1", "1e3", "a" * 200, "\ud800", "\0"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=6,
)


def hold_to_the_promise(config: Any, root: Path) -> None:
    """A study, or a ConfigurationError with at least one short line for each problem."""
    try:
        study = Study.from_config(config, root=root)
    except ConfigurationError as error:
        assert error.problems
        assert str(error).count("\n") >= len(error.problems)
        assert all(0 < len(problem) < 600 for problem in error.problems)
        assert "additionalProperties" not in str(error)
    else:
        assert (root / study.results).resolve().parent == (root / "results").resolve()


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(config=VALUES)
def test_any_data(root: Path, config: Any):
    hold_to_the_promise(config, root)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_valid_configuration_damaged_in_places(root: Path, data: st.DataObject, seed: int):
    config = make_config()
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        damage(config, chance, data.draw(VALUES), data.draw(SCALARS))
    hold_to_the_promise(config, root)


def damage(config: dict[Any, Any], chance: random.Random, value: Any, key: Any) -> None:
    """Put `value` at a random place, or delete or misname a key there."""
    here: Any = config
    while True:
        if not isinstance(here, dict | list) or not here:
            return
        place = chance.choice(list(here) if isinstance(here, dict) else range(len(here)))
        if isinstance(here[place], dict | list) and chance.random() < 0.7:
            here = here[place]
            continue
        action = chance.choice(["put", "put", "delete", "add"])
        if action == "put":
            here[place] = value
        elif action == "delete":
            del here[place]
        elif isinstance(here, dict):
            here[key] = value
        else:
            here.append(value)
        return


def test_subschema_of_a_path_that_leads_nowhere():
    assert subschema(SCHEMA, ("run", "below", 3)) == {}


@pytest.mark.parametrize(
    ("n_words", "positions", "expected"),
    [
        ([3, 4], "generated", ["zero", "mean", "resample"]),
        ([3], "generated", ["zero", "mean"]),
        ([3, 4], "all", ["zero", "mean"]),
    ],
)
def test_resample_is_left_out_where_it_has_no_donors(root, n_words, positions, expected):
    config = make_config() | {"n_words": n_words}
    config["ablation"]["positions"] = positions
    assert Study.from_config(config, root=root).ablation_modes == expected


def test_resample_cannot_come_first_without_donors(root):
    config = make_config() | {"n_words": [3]}
    config["ablation"]["modes"] = ["resample", "zero"]
    (problem,) = problems_of(config, root)
    assert problem.startswith("ablation.modes: resample, the first mode, needs two values")


# --- files and folders -----------------------------------------------------------------------


def test_keys_given_twice_are_told_with_their_lines(config, root: Path, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("run: a\nprompts:\n  seed: 1\n  seed: 2\nrun: b\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        Study.from_config(config, root=root, files=[path])
    assert [problem.split(", of which")[0] for problem in caught.value.problems] == [
        f"prompts.seed: given twice in {path}, in lines 3 and 4",
        f"run: given twice in {path}, in lines 1 and 5",
    ]


def test_two_names_for_the_same_model(config, root: Path):
    config["models"]["other"] = {"path": "models/../models/small/", "variant": "base"}
    [problem] = problems_of(config, root)
    assert problem.startswith("models.other: the same model as 'small'")
    config["models"]["other"]["stop_tokens"] = ["."]  # which makes its answers others
    assert len(Study.from_config(config, root=root).models) == 2


@pytest.mark.parametrize("key", ["k", "further_k"])
def test_sizes_of_which_all_are_beyond_a_models_heads(config, root: Path, key: str):
    config["ablation"][key] = [8, 9]
    assert Study.from_config(config, root=root)
    config["ablation"][key] = [9, 10]
    [problem] = problems_of(config, root)
    assert problem.startswith(f"ablation.{key}: [9, 10] is more than the 8 heads of 'small'")


def test_languages_without_a_file_are_misspelt(config, root: Path):
    config["ablation"]["untuned"] = ["it", "itt"]
    [problem] = problems_of(config, root)
    assert problem.startswith("ablation.untuned[1]: 'itt' has no resource file")
    assert problem.endswith("did you mean it?")


def test_probes_beyond_the_limit_of_tokens(config, root: Path):
    config["probes"]["n_words"] = [64]
    [problem] = problems_of(config, root)
    assert "64 cuts every answer of 64 words (probes.n_words)" in problem


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("prompts.per_n", "1e1", "it is read as text: write 10"),
        ("statistics.level", ".9e0", "it is read as text: write a number without quotes"),
        ("run", False, "put it in quotes"),
        ("report.title", 2026, "put it in quotes"),
    ],
)
def test_what_yaml_reads_as_something_else(config, root: Path, path: str, value, words: str):
    put(config, path.split("."), value)
    [problem] = problems_of(config, root)
    assert problem.startswith(f"{path}: ") and words in problem


@pytest.mark.parametrize(
    ("neutral", "counting", "words"),
    [
        ("大海很平静。", "whitespace", "legal for it: unicode"),
        ("大海很平静。", "unicode", None),
        ("海は静かです。", "whitespace", "legal for it: unicode"),
        ("ทะเลสงบมาก", "unicode", "no convention finds words"),
        ("הים שקט מאוד.", "whitespace", None),
        ("البحر هادئ جدا.", "whitespace", None),
    ],
)
def test_scripts_without_spaces_need_another_convention(
    config, tmp_path: Path, root: Path, neutral: str, counting: str, words: str | None
):
    copied = shutil.copytree(root, tmp_path / "project")
    path = copied / "resources/languages/it.yaml"
    language = yaml.safe_load(path.read_text(encoding="utf-8"))
    language["neutral"] = [neutral * 20]
    path.write_text(yaml.safe_dump(language, sort_keys=False), encoding="utf-8")
    config["counting"] = counting
    if words is None:
        assert Study.from_config(config, root=copied)
        return
    [problem] = problems_of(config, copied)
    assert problem.startswith(f"counting: {counting} cannot count 'it'") and words in problem


def test_a_hub_models_heads_are_known_once_it_is_fetched(config, root: Path, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    config["models"] = {"far": {"hub": "some/one", "revision": commit, "variant": "instruct"}}
    config["ablation"]["k"] = [9]
    assert Study.from_config(config, root=root)
    snapshot = tmp_path / "models--some--one" / "snapshots" / commit
    shutil.copytree(root / "models/small", snapshot)
    problems = problems_of(config, root)
    assert "ablation.k: [9] is more than the 8 heads of 'far'" in problems[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"run: a\nrun: b\n", "run: given twice in"),
        (b"run: caf\xe9\n", "not UTF-8 text"),
        (b"run: [a\n", "is not valid YAML"),
        (b"- run\n", "is not a mapping of keys to values"),
        (b"generation: {date: 2026-13-01}\n", "looks like one"),
        (b"langauges: [en]\n", "did you mean languages?"),
        (None, "there is no file"),
    ],
)
def test_the_doctor_words_what_snakemake_does_not(tmp_path: Path, capsys, content, words: str):
    from lengthlens import doctor

    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    try:
        said = [text for state, text in doctor.check_study([str(path)]) if state == doctor.WRONG]
    except doctor.LengthlensError as error:
        said = [str(error)]
    assert len(said) == 1 and words in said[0] and "Traceback" not in said[0]
