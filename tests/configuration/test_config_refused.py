"""Wrong configurations are refused, with all their problems in one list."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_project import make_config, problems_of, put

from lengthlens.configuration.sources import Sources
from lengthlens.configuration.study import ConfigurationError, Study


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
        "the first not a hyphen",
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
    ("models.m", {"variant": "base"}, "none of `path`, `hub` and `gguf`; legal: exactly one"),
    ("models.m", {"path": "a", "hub": "b", "variant": "base"}, "`path` and `hub`; legal: exactly"),
    (
        "models.m",
        {"path": "a", "gguf": "b", "variant": "base"},
        "`path` and `gguf`; legal: exactly",
    ),
    ("models.m", {"gguf": "gone.gguf", "variant": "base"}, "there is no file"),
    ("models.m", {"gguf": "models/small/config.json", "variant": "base"}, "is no GGUF file"),
    (
        "models.m",
        {"gguf": {"pip": "a>1", "file": "b"}, "variant": "base"},
        "models.m.gguf: {pip: 'a>1', file: 'b'} is not legal; legal: a file, or a mapping",
    ),
    ("models.m", {"gguf": {"pip": "a==1", "file": "b"}, "variant": "base"}, "gguf.sha256: missing"),
    (
        "models.m",
        {"gguf": {"file": "b", "sha256": "c"}, "variant": "base"},
        "sha256: 'c'} is not legal",
    ),
    ("models.m", {"adapter": "a", "variant": "base"}, "none of `path`, `hub` and `gguf`"),
    (
        "models.m",
        {"gguf": "a{b}.gguf", "variant": "base"},
        "models.m.gguf: 'a{b}.gguf' holds a brace",
    ),
    ("models.small.adapter", "{a}", "models.small.adapter: '{a}' holds a brace"),
    ("models.small.adapter", "gone", "models.small.adapter: there is no adapter folder"),
    ("models.small.adapter", "models/small", "holds no adapter (adapter_config.json"),
    ("models.m", {"path": "gone", "variant": "base"}, "models.m.path: 'gone' is not a folder"),
    ("models.m", {"path": "a{b}", "variant": "base"}, "models.m.path: 'a{b}' holds a brace"),
    ("models.m", {"path": "models", "variant": "base"}, "holds no model itself, but 1 of its"),
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


def test_resample_cannot_come_first_without_donors(root):
    config = make_config() | {"n_words": [3]}
    config["ablation"]["modes"] = ["resample", "zero"]
    (problem,) = problems_of(config, root)
    assert problem.startswith("ablation.modes: resample, the first mode, needs two values")


def test_keys_given_twice_are_told_with_their_lines(config, root: Path, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("run: a\nprompts:\n  seed: 1\n  seed: 2\nrun: b\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        Study.from_config(config, root=root, sources=Sources({str(path): {}}))
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


@pytest.mark.parametrize(("section", "key"), [("count", "steered"), ("transplant", "languages")])
def test_languages_named_by_a_section_are_those_of_the_run(config, root: Path, section, key):
    config[section][key] = ["en", "xx"]
    [problem] = problems_of(config, root)
    assert problem.startswith(f"{section}.{key}[1]: 'xx' is no language of this run; legal: auto")


def test_transplants_are_made_where_models_were_tuned(config, root: Path):
    config["languages"], config["ablation"]["untuned"] = ["en", "it"], ["it"]
    assert Study.from_config(config, root=root).transplant_languages == ["en"]
    config["ablation"]["untuned"] = ["it", "en"]  # all of them: then nothing is left out
    assert Study.from_config(config, root=root).transplant_languages == ["en", "it"]
    config["transplant"]["languages"] = ["it"]
    assert Study.from_config(config, root=root).transplant_languages == ["it"]
    config["transplant"]["languages"] = []
    assert Study.from_config(config, root=root).transplant_languages == []


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
        ("ทะเลสงบมาก", "unicode", "Thai script, without spaces, and no convention finds words"),
        ("མཚོ་ཞི་བ།", "whitespace", "legal for it: unicode, which counts each syllable"),
        ("མཚོ་ཞི་བ།", "unicode", None),
        ("ꀉꉬꄮ", "whitespace", "Yi script, without spaces, and no convention finds words"),
        ("ꀉꉬꄮ", "unicode", "Yi script, without spaces, and no convention finds words"),
        ("ꦱꦼꦒꦫ", "whitespace", "Javanese script, without spaces, and no convention"),
        ("ᬲᬸᬓ᭄ᬱ᭄ᬫ", "whitespace", "Balinese script, without spaces, and no convention"),
        ("ပင်လယ်", "unicode", "Burmese script, without spaces, and no convention"),
        ("समुद्र शांत है।", "whitespace", None),
        ("바다는 고요하다.", "whitespace", None),
        ("ባሕሩ ጸጥ ብሏል።", "whitespace", None),
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


@pytest.mark.parametrize("key", [["n_words"], ["probes", "n_words"]])
def test_numbers_that_need_a_plural_form_that_a_language_lacks(config, root: Path, key):
    """The languages of the small project give one wording each, which is for 2 words and more."""
    put(config, key, [5, 1])
    english, _ = problems_of(config, root)
    assert english.startswith(f"{'.'.join(key)}: in en the number 1 takes the plural form `one`")
    assert "does not give for the templates a, b" in english


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
    from lengthlens.workflow import doctor

    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    try:
        said = [text for state, text in doctor.check_study([str(path)]) if state == doctor.WRONG]
    except doctor.LengthlensError as error:
        said = [str(error)]
    assert len(said) == 1 and words in said[0] and "Traceback" not in said[0]


def test_half_of_the_marks_of_thinking_is_refused(config: dict[str, Any], root: Path):
    """What is missing in one form of a value is told of the whole value."""
    model = next(iter(config["models"]))
    put(config, ["models", model, "thinking"], {"open": "<t>"})
    [problem] = problems_of(config, root)
    assert problem.startswith(f"models.{model}.thinking: {{open: '<t>'}} is not legal")
