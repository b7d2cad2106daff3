"""Language files in other encodings, scripts and states: read, or told what is wrong."""

import copy
import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from examples import at_least
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lengthlens.errors import LengthlensError
from lengthlens.files.yaml_files import read_yaml
from lengthlens.language.languages import load_language
from lengthlens.language.prompts import build_prompts
from lengthlens.language.words import mentions

GOOD = {
    "code": "xx",
    "name": "Example",
    "topics": {
        "sea": {"name": "the sea", "about": "about the sea", "words": ["sea", "seas"]},
        "dog": {"name": "the dog", "about": "about the dog", "words": ["dog", "dogs"]},
    },
    "templates": {
        "plain": "Write exactly {n} words {about}.",
        "topic": "Topic: {name}. Exactly {n} words.",
    },
    "neutral": ["It rained all night.", "The cat slept."],
}
LANGUAGES = {
    "Hebrew": ("הים", "הכלב", "כתוב בדיוק {n} מילים על {name}.", "ירד גשם כל הלילה."),
    "Arabic": ("البحر", "الكلب", "اكتب {n} كلمات بالضبط عن {name}.", "هطل المطر طوال الليل."),
    "Persian": ("دریا", "سگ", "دقیقاً {n} واژه دربارهٔ {name} بنویس.", "باران می‌بارید."),
    "Chinese": ("大海", "小狗", "请用{n}个字写一句关于{name}的话。", "昨天夜里下雨了。"),
    "Japanese": ("海", "犬", "{name}について{n}語で書いてください。", "昨夜は雨が降りました。"),
    "Thai": ("ทะเล", "สุนัข", "เขียนเกี่ยวกับ{name} {n} คำ", "เมื่อคืนฝนตก"),
    "Korean": ("바다", "개", "{name} 에 대해 {n} 단어로 쓰세요.", "밤새 비가 내렸다."),
    "Greek": ("θάλασσα", "σκύλος", "Γράψε {n} λέξεις: {name}.", "Έβρεχε όλη νύχτα."),
}


def write(folder: Path, content: object, encoding: str = "utf-8") -> Path:
    path = folder / "xx.yaml"
    text = (
        content
        if isinstance(content, str)
        else yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    )
    path.write_bytes(text.encode(encoding))
    return path


def refused(path: Path) -> str:
    with pytest.raises(LengthlensError) as caught:
        load_language(path)
    assert str(path) in str(caught.value)
    str(caught.value).encode()
    return str(caught.value)


@pytest.mark.parametrize("name", LANGUAGES)
def test_any_script_can_be_written(tmp_path: Path, name: str):
    sea, dog, template, sentence = LANGUAGES[name]
    content = {
        "code": "xx",
        "name": name,
        "topics": {"sea": {"name": sea, "words": [sea]}, "dog": {"name": dog, "words": [dog]}},
        "templates": {"plain": template},
        "neutral": [sentence],
    }
    language = load_language(write(tmp_path, content))
    for prompt in build_prompts(language, 5, 0, 2, seed=1):
        assert "5" in prompt.text
        [topic] = [topic for topic in language.topics if mentions(prompt.text, topic.words)]
        assert topic.id == prompt.topic


def test_an_undivided_text_mentions_its_words_anywhere():
    assert mentions("昨天大海很平静。", ["大海"])
    assert not mentions("昨天小狗很平静。", ["大海"])
    assert not mentions("the seaside", ["sea"])


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-16", "not UTF-8 text but UTF-16"),
        ("latin-1", r"not UTF-8 text \(byte 0xfc in line \d+\)"),
        ("cp1252", r"not UTF-8 text \(byte 0xfc in line \d+\)"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, encoding: str, words: str):
    content = GOOD | {"neutral": ["Die Tür fällt zu."]}
    assert re.search(words, refused(write(tmp_path, content, encoding)))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path):
    assert load_language(write(tmp_path, GOOD, "utf-8-sig")).code == "xx"


@pytest.mark.parametrize("code", [0x200F, 0x202E, 0x2066, 0x00AD, 0x200B, 0xFEFF, 0x2028, 0x07])
@pytest.mark.parametrize("place", ["neutral", "templates", "topics"])
def test_characters_that_cannot_be_seen_are_named(tmp_path: Path, code: int, place: str):
    content = copy.deepcopy(GOOD)
    if place == "neutral":
        content["neutral"][1] = f"The {chr(code)}cat slept."
    elif place == "templates":
        content["templates"]["plain"] = f"Write{chr(code)} exactly {{n}} words {{about}}."
    else:
        content["topics"]["dog"]["name"] = f"the{chr(code)} dog"
    assert f"U+{code:04X}" in refused(write(tmp_path, content))


@pytest.mark.parametrize("text", ["gar\ufffdon", "\ue000", r'"\ud800"'])
def test_what_stands_for_no_character_is_refused(tmp_path: Path, text: str):
    source = yaml.safe_dump(GOOD).replace("The cat slept.", text)
    assert "stands for no character" in refused(write(tmp_path, source))


def test_decomposed_text_is_refused_where_it_stands(tmp_path: Path):
    content = copy.deepcopy(GOOD)
    content["topics"]["dog"]["about"] = unicodedata.normalize("NFD", "über the dog")
    assert "topic `dog`, form `about`" in refused(write(tmp_path, content))


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("topics", "dog", "name"), "The  SEA", "topic `dog`: has the same name"),
        (("topics", "dog", "name"), "ｔｈｅ ｓｅａ", "topic `dog`: has the same name"),
        (("topics", "dog", "words"), ["seas", "sea"], "has the same `words` as topic `sea`"),
        (("templates", "topic"), "WRITE exactly {n} words  {about}.", "has the same wording"),
        (("neutral",), ["The cat slept.", "the CAT slept."], "is there twice"),
    ],
)
def test_what_differs_in_case_or_spacing_only_is_the_same(tmp_path: Path, path, value, words):
    content = copy.deepcopy(GOOD)
    put(content, path, value)
    assert words in refused(write(tmp_path, content))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("code: xx\nname: &a [*a]\n", "the key `topics` is missing"),
        ("code: 2026-13-45\n", "looks like one (month must be"),
        ("[a]: 1\n", "key"),
        ("\tcode: xx\n", "holds a tab: indent with spaces"),
        ("[" * 3000, "nested too deeply"),
        ("code: !!python/name:os.system x\n", "not valid YAML"),
        ("code: xx\n---\ncode: yy\n", "not valid YAML"),
        ("\0", "not valid YAML"),
        ("", "must be a mapping"),
    ],
)
def test_yaml_of_every_kind(tmp_path: Path, text: str, words: str):
    assert words in refused(write(tmp_path, text))


def test_a_tower_of_references_is_not_written_out(tmp_path: Path):
    tower = "a: &a0 [x, x, x]\n" + "".join(
        f"b{i}: &a{i + 1} [*a{i}, *a{i}, *a{i}, *a{i}]\n" for i in range(30)
    )
    assert len(refused(write(tmp_path, f"{tower}code: *a30\n"))) < 5000


def test_a_folder_is_no_language_file(tmp_path: Path):
    (tmp_path / "xx.yaml").mkdir()
    assert "cannot be read" in refused(tmp_path / "xx.yaml")


def test_repeated_keys_are_found_at_every_depth(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("a: {b: 1, b: 2}\nc:\n  - d: 1\n    d: 1\na: 3\n", encoding="utf-8")
    assert [(key.path, key.lines) for key in read_yaml(path).repeated] == [
        (("a", "b"), (1, 1)),
        (("c", "0", "d"), (3, 4)),
        (("a",), (1, 5)),
    ]


# --- any damage whatsoever -------------------------------------------------------------------

# What may never stand where text is expected.
NO_TEXT = [None, True, 3, 1.5, [], {}, "", "  ", "a\nb", " x", "e\u0301", "\u202e", [["x"]]]


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[dict, str]:
    """A good file with one thing wrong, and what the words must name."""
    content = copy.deepcopy(GOOD)
    action = draw(st.sampled_from(["text", "delete", "add", "id", "placeholder"]))
    section = draw(st.sampled_from(["topics", "templates", "neutral"]))
    if action == "text":
        place, named = draw(st.sampled_from(TEXTS))
        put(content, place, draw(st.sampled_from(NO_TEXT)))
    elif action == "delete":
        key = draw(st.sampled_from([*content, "about", "words"]))
        del (content if key in content else content["topics"]["dog"])[key]
        named = key if key in GOOD else "dog"
    elif action == "add":
        named = draw(st.text("abcxyz", min_size=1, max_size=8).filter(lambda key: key not in GOOD))
        content[named] = draw(st.integers() | st.text(max_size=3))
    elif action == "id":
        section = draw(st.sampled_from(["topics", "templates"]))
        key = draw(
            st.sampled_from(["", " ", "Dog", "é", "a b", "-a", "1", "\u202e", 3, None, True])
        )
        content[section][key] = content[section].pop(next(iter(content[section])))
        named = f"{section[:-1]} id"
    else:
        named = draw(st.sampled_from(list(content["templates"])))
        wrong = st.sampled_from(["{m}", "{N}", "{}", "{0}", "{n:d}", "{n!r}", "{n.x}", "{", "}"])
        content["templates"][named] += draw(wrong)
    return content, named


TEXTS = [
    *[((key,), f"`{key}`") for key in ("code", "name", "topics", "templates", "neutral")],
    *[(("topics", "dog", form), "topic `dog`") for form in ("name", "about", "words")],
    *[(("templates", name), f"template `{name}`") for name in ("plain", "topic")],
    (("neutral", 0), "neutral sentence 1"),
    (("topics", "sea"), "topic `sea`"),
]


def put(content: dict, path: tuple, value: object) -> None:
    for part in path[:-1]:
        content = content[part]
    content[path[-1]] = copy.deepcopy(value)


@settings(max_examples=at_least(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(case=spoilt())
def test_any_malformed_file_is_refused_by_name(tmp_path: Path, case: tuple[dict, str]):
    content, named = case
    told = refused(write(tmp_path, content))
    # A list is named as such where it is none, else by the sentence in it that is wrong.
    assert named in told or (named == "`neutral`" and "neutral sentence" in told)


@settings(max_examples=at_least(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.binary(max_size=60) | st.text("{}[]&*!|>'\"%@`,:-?# \nax1.e~", max_size=40))
@example(b"\xff\xfe")
@example("? [a]\n: b")
def test_any_bytes_whatsoever_are_refused_in_words(tmp_path: Path, text: bytes | str):
    path = tmp_path / "xx.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(path)


CONTRASTS = {
    "mark": ".",
    "early": ["Use {n} words for a text {about}"],
    "late": ["Write a text {about} in {n} words"],
}


def test_contrasts_are_asked_with_and_without_their_mark(tmp_path: Path):
    """Each wording twice; a file without them is whole."""
    language = load_language(write(tmp_path, GOOD | {"contrasts": CONTRASTS}))
    assert {one.id: one.text for one in language.contrasts} == {
        "early-mark-1": "Use {n} words for a text {about}.",
        "early-bare-1": "Use {n} words for a text {about}",
        "late-mark-1": "Write a text {about} in {n} words.",
        "late-bare-1": "Write a text {about} in {n} words",
    }
    assert load_language(write(tmp_path, GOOD)).contrasts == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ([], "must be a mapping of mark, early, late: got []"),
        ({"mark": "."}, "must be a mapping of mark, early, late"),
        (CONTRASTS | {"mark": ""}, "`mark`: '' is no punctuation"),
        (CONTRASTS | {"mark": "stop"}, "`mark`: 'stop' is no punctuation"),
        (CONTRASTS | {"late": []}, "`early` and `late` must be lists of as many wordings"),
        (CONTRASTS | {"late": ["In {n}: {about}."]}, "ends with a mark: leave it out"),
        (CONTRASTS | {"late": ["Say {about}"]}, "`contrasts`, template `late-1`"),
        (CONTRASTS | {"early": [None]}, "`contrasts`, template `early-1`"),
    ],
)
def test_contrasts_that_cannot_be_used_are_told(tmp_path: Path, change: object, words: str):
    assert words in refused(write(tmp_path, GOOD | {"contrasts": change}))
