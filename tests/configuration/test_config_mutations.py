"""Malformed configurations of every kind: each is refused in words that name the spoilt key.

What is illegal is written down here once more, independently of the schema: for every key a few
values that are at the edge of what is legal, and that the tests of the key's kind do not draw.
"""

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest
from examples import at_least
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_project import make_config, put

from lengthlens.configuration.study import ConfigurationError, Study
from lengthlens.files.validation import dotted, show

NAME = [
    3,
    1.5,
    True,
    None,
    [],
    "",
    ".",
    "..",
    "a/b",
    "a b",
    "-a",
    "ä",
    "a\n",
    "a\0",
    "x" * 65,
    "a_b",
]
COUNT = [0, -1, 1.0, True, "1", "many", None, [1], {"a": 1}, 10**9, 10**70, float("nan")]
SEED = [-1, 2**32, 1.0, True, "0", None, [0], float("inf")]
NUMBER = [-1, True, "1", None, [1.0], float("nan"), float("inf"), float("-inf"), 10**30]
CHOICE = ["", "none", "Zero", 0, 1, None, [], {}]
CODES = ["en", None, {}, [False], ["en", "en"], ["en", "En "], ["../en"], ["zz"], [3], [["en"]]]
SIZES = [1, "1", None, [0], [-1], [1.0], [True], ["1"], [1, 1], [[1]], [10**9], [17, 18], {"a": 1}]

# Key -> values that are not legal, each enough on its own to refuse the configuration.
ILLEGAL: dict[str, list[Any]] = {
    "run": NAME,
    "models": [None, [], {}, "small", 3],
    "models.small": [None, [], "models/small", 3, {}],
    "models.small.path": [None, "", 3, [], "gone", "models", "a\0b", "~nobody-has-this-name/x"],
    "models.small.variant": [*CHOICE, "chat", "Base", "instruct"],  # it has no chat template
    "pairs": [
        None,
        {},
        "small",
        ["small"],
        [{}],
        [{"untuned": "small"}],
        [{"untuned": "small", "tuned": "small"}],
        [{"untuned": "small", "tuned": "gone"}],
        [{"untuned": "small", "tuned": None}],
        [{"untuned": "small", "tuned": "small", "more": 1}],
    ],
    "languages": [*CODES, []],
    "n_words": [[], 3, "3", None, [0], [-3], [3.0], [True], ["3"], ["1e3"], [3, 3], [10001], [64]],
    "prompts": [None, [], 24, "24"],
    "prompts.per_n": [*COUNT, 13],
    "prompts.shard": COUNT,
    "prompts.seed": SEED,
    "generation": [None, [], "auto"],
    "generation.max_new_tokens": [*COUNT, 9, 10],
    "generation.batch_size": [*COUNT, "Auto", ""],
    "generation.memory_gb": [*NUMBER, 0],
    "generation.dtype": [*CHOICE, "int8", "fp16"],
    "generation.device": [*CHOICE, "gpu", "cuda:0"],
    "generation.threads": COUNT,
    "generation.seed": SEED,
    "generation.temperature": [*NUMBER, 1e-300, 101],
    "generation.top_p": [*NUMBER, 0, 1.0001],
    "generation.samples": [*COUNT, 2],  # greedy answers would all be the same
    "generation.date": [None, 20260101, "today", "2026-13-01", "2026-02-30", "26-01-01", [], ""],
    "jobs": [None, [], "all"],
    "jobs.shards": [*CHOICE, "each", 1],
    "activations": [None, [], True],
    "activations.keep": ["", "yes", 0, 1, None, [], {}, "true"],
    "activations.precision": [*CHOICE, "bfloat16"],
    "counting": [*CHOICE, "words", "Whitespace", ["unicode"], False],
    "counted": [*CHOICE, "words", "last", ["whole"], False],
    "statistics": [None, [], 0.95],
    "statistics.level": [*NUMBER, 0, 1, 95],
    "statistics.resamples": [*COUNT, 99],
    "statistics.seed": SEED,
    "forced": [None, [], 3],
    "forced.per_n": COUNT,
    "forced.modes": ["zero", None, [], ["Zero"], ["zero", "zero"], ["resample"], [0], {}],
    "forced.exhaustive": COUNT,
    "patching": [None, [], 3],
    "patching.swaps": [1, None, [], [0], [1, 1], ["1"], [2], {}],
    "patching.positions": ["all", None, [], ["All"], ["all", "all"], [0], {}],
    "patching.directions": ["noising", None, [], ["noise"], ["noising", "noising"], [0], {}],
    "patching.integrated_steps": [*COUNT, 1001],
    "patching.seed": SEED,
    **{f"patching.{key}": COUNT for key in ("per_n", "atp_per_n", "exhaustive", "random")},
    **{f"patching.{key}": [-1, 1.5, "1", None, True, []] for key in ("further_per_n", "best")},
    "circuits": [None, [], 3],
    "circuits.per_n": COUNT,
    "circuits.methods": ["atp", None, [], ["ATP"], ["atp", "atp"], [0], {}],
    "circuits.sizes": [0.5, None, [], [0], [1], [0.5, 0.5], ["0.5"], [True], {}],
    "circuits.faithful": [*NUMBER, 0, 1, 85],
    "circuits.orders": [*COUNT, 19],
    "circuits.seed": SEED,
    "tracing": [None, [], 3],
    "tracing.per_n": COUNT,
    "tracing.swaps": [1, None, [], [0], [1, 1], ["1"], [2], {}],
    "tracing.every": [*COUNT, 1001],
    "transplant": [None, [], 3],
    "transplant.languages": [None, 3, "en", ["en", "en"], ["xx"], [None], {}],
    "transplant.answer_layers": [1, None, "true", []],
    "transplant.scales": [0.5, None, [0], [1.6], [0.5, 0.5], ["1"], [True], {}],
    "transplant.every": [*COUNT, 1001],
    **{f"transplant.{key}": COUNT for key in ("per_n", "controls", "across_per_n")},
    "transplant.seed": SEED,
    "paths": [None, [], 3],
    "paths.per_n": COUNT,
    "paths.most": [*COUNT, 1001],
    "contrasts": [None, [], 3],
    "contrasts.per_n": COUNT,
    "count": [None, [], 3],
    "count.per_n": COUNT,
    "count.every": [*COUNT, 1001],
    "count.steered": [None, 3, "en", ["en", "en"], ["xx"], [None], {}],
    "count.steps": [1, None, [], ["1"], [1, 1], [True], [1001], [-1001], {}],
    "count.neurons": [1, None, [], [0], [1, 1], ["1"], [100_001], {}],
    "count.draws": [*COUNT, 1001],
    "count.seed": SEED,
    "ablation": [None, [], 3],
    "ablation.k": [*SIZES, []],
    "ablation.further_k": SIZES,
    "ablation.methods": ["cwa", None, [], ["cwaa"], ["cwa", "cwa"], [0], {}],
    "ablation.modes": ["zero", None, [], ["Zero"], ["mean", "mean"], [0], {}],
    "ablation.positions": [*CHOICE, "prompt"],
    **{
        f"ablation.{key}": COUNT
        for key in (
            "controls",
            "test_controls",
            "answered_controls",
            "further_controls",
            "base_controls",
        )
    },
    "ablation.base_prompts": COUNT,
    "ablation.max_new_tokens": [*COUNT, "Auto", "", 9],
    "ablation.untuned": CODES,
    "ablation.seed": SEED,
    "probes": [None, "en", 3],
    "probes.languages": CODES,
    "probes.n_words": [3, "3", None, [0], [3.0], [True], ["3"], [10, 10], [10001], [64], {}],
    "probes.per_n": [*COUNT, 13],
    "figures": [None, [], "png"],
    "figures.formats": ["png", None, [], ["gif"], ["png", "png"], ["pdf"], [1], {}],
    "figures.dpi": [*COUNT, 49, 1201],
    "report": [None, [], "title"],
    "report.title": [None, "", "  ", 3, [], "x" * 201, "a\nb", "a\0", "\ud800", "\x1b[31m", {}],
    "report.answers": [-1, 1001, 1.0, True, "4", None, [4]],
}
# A key's own value may be legal and still at odds with this other key, which is then named.
AT_ODDS = {
    "n_words": "generation.max_new_tokens",
    "probes.n_words": "generation.max_new_tokens",
    "models.small.path": "models.small",
    "models.small": "models.small",
}
GARBAGE = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "\0",
        "\ud800",
        "\u202e",
        "ключ",
        "键",
        "a" * 300,
        "run ",
        "Run",
        "__proto__",
        "{",
        "\n",
    ]
)


pytestmark = pytest.mark.usefixtures("languages_read_once")


def test_every_key_is_spoilt():
    config = make_config()
    assert set(ILLEGAL) == {dotted(path) for path in paths_of(config)}


def test_the_unspoilt_configuration_is_legal(root: Path):
    assert Study.from_config(make_config(), root=root).run == "pocket"


@pytest.mark.parametrize("key", ILLEGAL)
def test_every_illegal_value_is_refused_under_its_key(root: Path, key: str):
    for value in ILLEGAL[key]:
        config = make_config()
        put(config, key.split("."), copy.deepcopy(value))
        assert_refused(config, root, key, AT_ODDS.get(key))


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[dict, tuple[str, ...]]:
    """A valid configuration with one thing wrong, and the path that the words must name."""
    config = make_config()
    path = draw(st.sampled_from(paths_of(config)))
    *above, key = path
    parent = config
    for part in above:
        parent = parent[part]
    action = draw(st.sampled_from(["type", "value", "delete", "misspell", "add"]))
    if action == "type" and parent[key] == "auto":  # where a number is legal, too
        action = "value"
    if action == "type":
        parent[key] = draw(of_another_type(parent[key]))
    elif action == "value":
        parent[key] = copy.deepcopy(draw(st.sampled_from(ILLEGAL[".".join(path)])))
    elif action == "delete":
        del parent[key]
        if path == ("models", "small"):
            return config, ("models",)
    elif action == "misspell":
        wrong = draw(misspelt(key).filter(lambda name: name not in parent))
        if above == ["models"]:  # names are free there
            wrong = draw(st.sampled_from(["a/b", "..", "ä", "a b", ""]))
        parent[wrong] = parent.pop(key)
        return config, (*above, wrong)
    else:
        known = set(parent) | {"hub", "revision", "stop_tokens"}
        name = draw(GARBAGE.filter(lambda name: name not in known))
        if above == ["models"]:
            name = draw(st.sampled_from(["a/b", "..", "ä", "a b", "\ud800"]))
        parent[name] = draw(st.integers() | st.text(max_size=5) | st.none())
        return config, (*above, name)
    return config, path


@settings(max_examples=at_least(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(case=spoilt())
def test_any_malformed_configuration_is_refused_under_its_key(root: Path, case: tuple):
    config, path = case
    key = dotted(path)
    assert_refused(config, root, key, AT_ODDS.get(key))


def assert_refused(config: dict, root: Path, key: str, instead: str | None = None) -> None:
    before = show(config)
    with pytest.raises(ConfigurationError) as caught:
        Study.from_config(config, root=root)
    places = [problem.partition(": ")[0] for problem in caught.value.problems]
    named = {place for place in places if place == key or place.startswith((f"{key}[", f"{key}."))}
    assert named or instead in places, (key, caught.value.problems)
    assert all(problem.isprintable() or "\n" in problem for problem in caught.value.problems)
    str(caught.value).encode()  # a terminal can show it
    assert show(config) == before


def paths_of(config: dict) -> list[tuple[str, ...]]:
    """The path of every key, sections and the model included."""
    found: list[tuple[str, ...]] = []

    def walk(value: dict, path: tuple[str, ...]) -> None:
        for key, below in value.items():
            found.append((*path, key))
            if isinstance(below, dict):
                walk(below, (*path, key))

    walk(config, ())
    return found


def of_another_type(value: Any) -> st.SearchStrategy:
    """Values of types that cannot stand where `value` does."""
    kinds: dict[type, st.SearchStrategy] = {
        dict: st.dictionaries(st.sampled_from(["a", "0"]), st.integers(), min_size=1, max_size=2),
        list: st.just([[[]]]) | st.just([None]),
        str: st.just("\x07"),
        bytes: st.binary(max_size=5),
        set: st.just({1}),
        datetime.datetime: st.datetimes(),
        type(None): st.none(),
    }
    if not isinstance(value, int | float):
        kinds[int] = st.integers()
    same = str if isinstance(value, str) else type(value)
    return st.one_of(*(strategy for kind, strategy in kinds.items() if kind is not same))


def misspelt(key: str) -> st.SearchStrategy[str]:
    """The key with a letter doubled, lost, changed or swapped with the next, or in capitals."""
    place = st.integers(0, len(key) - 1)
    return st.one_of(
        place.map(lambda i: key[:i] + key[i] + key[i:]),
        place.map(lambda i: key[:i] + key[i + 1 :]),
        place.map(lambda i: key[:i] + "x" + key[i + 1 :]),
        place.map(lambda i: key[:i] + key[i : i + 2][::-1] + key[i + 2 :]),
        st.just(key.upper()),
    ).filter(lambda name: name != key)


@pytest.mark.parametrize(
    ("key", "wrong"),
    [("languages", "langauges"), ("n_words", "nwords"), ("counting", "Counting")],
)
def test_a_misspelt_key_is_told_what_was_meant(root: Path, key: str, wrong: str):
    config = make_config()
    config[wrong] = config.pop(key)
    with pytest.raises(ConfigurationError, match=f"{wrong}: unknown key .*did you mean {key}\\?"):
        Study.from_config(config, root=root)
