"""Language files: the shipped ones hold what the study needs; wrong ones are told what is wrong."""

import re
import unicodedata
from pathlib import Path

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.language.languages import Language, check_parallel, load_language
from lengthlens.language.words import count_words, mentions

RESOURCES = Path(__file__).parents[2] / "resources" / "languages"
CODES = sorted(path.stem for path in RESOURCES.glob("*.yaml"))
SYNTHETIC = "qaa"

GOOD = """\
code: xx
name: Example
topics:
  sea: {name: the sea, about: about the sea, words: [sea, seas]}
  dog: {name: the dog, about: about the dog, words: [dog, dogs]}
templates:
  plain: "Write exactly {n} words {about}."
  topic: "Topic: {name}. Exactly {n} words."
neutral:
  - "It rained all night."
  - "The cat slept."
"""


@pytest.fixture(scope="module")
def languages() -> dict[str, Language]:
    return {code: load_language(RESOURCES / f"{code}.yaml") for code in CODES}


def write(folder: Path, text: str, code: str = "xx") -> Path:
    path = folder / f"{code}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_languages_of_the_study_are_there() -> None:
    assert {"en", "it", "lb"} <= set(CODES)


def test_shipped_languages_are_parallel(languages: dict[str, Language]) -> None:
    check_parallel(languages.values())


@pytest.mark.parametrize("code", CODES)
def test_sizes(languages: dict[str, Language], code: str) -> None:
    language = languages[code]
    assert len(language.topics) == 48
    assert len(language.templates) >= 8
    assert len(language.neutral) >= (12 if code == SYNTHETIC else 32)


@pytest.mark.parametrize("code", CODES)
def test_every_topic_fits_every_template(languages: dict[str, Language], code: str) -> None:
    """A filled wording names its topic and its number once, with no brace or double space left."""
    language = languages[code]
    for template in language.templates:
        for topic in language.topics:
            for n in (1, 2, 7):
                text = language.ask(template, topic, n)
                assert mentions(text, topic.words), text
                assert not re.search(r"[{}]|  | [.,:?]", text), text
                assert re.findall(r"\d+", text) == [str(n)], text


@pytest.mark.parametrize("code", CODES)
def test_neutral_sentences(languages: dict[str, Language], code: str) -> None:
    """Whole sentences of 6 to 14 words (natural languages), without figures, all different."""
    for sentence in languages[code].neutral:
        if code != SYNTHETIC:
            assert sentence[0].isupper() and sentence.endswith(".")
            assert 6 <= count_words(sentence, "whitespace") <= 14, sentence
        assert not any(character.isdigit() for character in sentence)


def test_no_two_topics_of_a_language_share_a_word(languages: dict[str, Language]) -> None:
    """Otherwise an answer on one topic would count as a mention of another."""
    for language in languages.values():
        words = [word for topic in language.topics for word in topic.words]
        assert len(words) == len(set(words)), language.code


def test_italian_prepositions_join_their_article(languages: dict[str, Language]) -> None:
    """il → sul, del; la → sulla, della; l' → sull', dell'; lo → sullo, dello."""
    endings = {"il ": "l ", "la ": "lla ", "l'": "ll'", "lo ": "llo "}
    for topic in languages["it"].topics:
        article = next(a for a in endings if topic.forms["name"].startswith(a))
        noun = topic.forms["name"].removeprefix(article)
        assert (article == "l'") == (noun[0] in "aeiou"), noun
        assert topic.forms["about"] == f"su{endings[article]}{noun}"
        assert topic.forms["of"] == f"de{endings[article]}{noun}"


def test_luxembourgish_articles_follow_the_n_rule(languages: dict[str, Language]) -> None:
    """den before a vowel and d, h, n, t, z; de before the rest; d' for feminine and neuter."""
    for topic in languages["lb"].topics:
        name = topic.forms["name"]
        noun = re.sub(r"^(d'|den |de )", "", name)
        keeps_n = unicodedata.normalize("NFD", noun)[0].lower() in "aeioudhntz"
        masculine = "den " if keeps_n else "de "
        assert name in (f"d'{noun}", f"{masculine}{noun}")
        assert topic.forms["about"] == f"iwwer {name}"
        dative = ("vum ",) if not name.startswith("d'") else ("vum ", "vun der ")
        assert topic.forms["of"] in [start + noun for start in dative]


def test_luxembourgish_nouns_ending_in_n_are_followed_by_what_keeps_it(
    languages: dict[str, Language],
) -> None:
    """The final n of "Kichen" or "Hafen" falls before most consonants: no wording has one there."""
    for template in languages["lb"].templates:
        for gap, after in re.findall(r"\{[a-z]{2,}\}(\W*)(\w?)", template.text):
            assert gap[0] in ".,:?" or after in "aeioudhntz", template.text


def test_a_good_file_is_read(tmp_path: Path) -> None:
    language = load_language(write(tmp_path, GOOD))
    assert [topic.id for topic in language.topics] == ["sea", "dog"]
    assert language.topics[0].words == ("sea", "seas")
    filled = language.ask(language.templates[0], language.topics[1], 4)
    assert filled == "Write exactly 4 words about the dog."
    assert language.neutral == ("It rained all night.", "The cat slept.")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("code: xx", "code: yy", r"`code` is 'yy' but the file is named xx\.yaml"),
        ("code: xx", "code: no", r"`code` is read as False: put it in quotes"),
        ("name: Example\n", "", r"the key `name` is missing"),
        ("neutral:", "remarks: 1\nneutral:", r"unknown key `remarks`"),
        ("exactly {n} words", "some words", r"template `plain`: .* put \{n\} where it belongs"),
        ("{about}", "here", r"template `plain`: .*does not say the topic"),
        ("{about}", "{of}", r"template `plain`: no topic has the form \{of\}: use \{n\} and"),
        ("{about}", "{about", r"template `plain`: .*stray brace"),
        ("{n} words {", "{n:d} words {", r"write the placeholder 'n' plainly as \{n\}"),
        ("  dog:", "  sea:", r"duplicated id 'sea'"),
        ("  topic:", "  plain:", r"duplicated id 'plain'"),
        ("  dog:", "  Dog House:", r"topic id 'Dog House': use lower-case"),
        ("  dog:", "  on:", r"topic id is read as True: put it in quotes"),
        ("the dog, about: about the dog", "the dog", r"topic `dog`: the form `about` is missing"),
        ("{name: the dog, about", "{n: the dog, about", r"topic `dog`: must be a mapping with"),
        ("{name: the dog,", "{name: the sea,", r"form `name`: 'the sea' holds none of its `words`"),
        ("the dog, about", "the dog, n: dog, about", r"topic `dog`: 'n' cannot name a form"),
        ("[dog, dogs]", "[]", r"topic `dog`: `words` must be a list of at least one"),
        ("[dog, dogs]", "[dog, Dogs]", r"write 'Dogs' in lower case"),
        ("[dog, dogs]", "[dog, the dog]", r"'the dog' is not a single word"),
        ("[dog, dogs]", "[dog, dog]", r"'dog' is given twice"),
        ("[dog, dogs]", "[dog, yes]", r"`words`: is read as True, which is not text"),
        ('"The cat slept."', '""', r"neutral sentence 2: is empty"),
        ('"The cat slept."', '" The cat slept."', r"must be one line without spaces around it"),
        ('"The cat slept."', '"It rained all night."', r"neutral sentence 2: .* is there twice"),
        ('"The cat slept."', '"Un caffe\u0300."', r"not in Unicode's composed form"),
        ("Topic: {name}. Exactly {n} words", "Write exactly {n} words {about}", r"same wording as"),
        (
            "  dog: {name: the dog, about: about the dog, words: [dog, dogs]}\n",
            "",
            r"at least 2 topics, since some of them go to the split",
        ),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert GOOD.count(old) >= 1
    with pytest.raises(LengthlensError, match=message) as caught:
        load_language(write(tmp_path, GOOD.replace(old, new, 1)))
    assert "xx.yaml" in str(caught.value)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    broken = GOOD.replace("{about}.", "here.").replace('"The cat slept."', '""')
    with pytest.raises(LengthlensError) as caught:
        load_language(write(tmp_path, broken))
    assert str(caught.value).count("\n  - ") == 2


@pytest.mark.parametrize("text", ["", "- a list", "a: [", "code: xx\nname: X"])
def test_files_of_another_shape_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(LengthlensError, match=r"xx\.yaml"):
        load_language(write(tmp_path, text))


@pytest.mark.parametrize("key", ["topics", "templates", "neutral"])
@pytest.mark.parametrize("value", ["5", "word", "[]", "{}", "[1, 2]", "{a: 1, b: 2}"])
def test_sections_of_another_shape_are_refused(tmp_path: Path, key: str, value: str) -> None:
    text = re.sub(rf"(?ms)^{key}:\n(  .*?\n)+?(?=\S|\Z)", f"{key}: {value}\n", GOOD)
    with pytest.raises(LengthlensError, match=r"xx\.yaml cannot be used"):
        load_language(write(tmp_path, text))


def test_a_missing_file_and_another_encoding_are_told(tmp_path: Path) -> None:
    with pytest.raises(LengthlensError, match=r"no language file .*zz\.yaml"):
        load_language(tmp_path / "zz.yaml")
    path = tmp_path / "xx.yaml"
    path.write_bytes(GOOD.replace("night", "nüit").encode("latin-1"))
    with pytest.raises(LengthlensError, match="not UTF-8"):
        load_language(path)


def test_languages_that_are_not_parallel_are_told(tmp_path: Path) -> None:
    first = load_language(write(tmp_path, GOOD))
    renamed = GOOD.replace("code: xx", "code: yy").replace("  dog:", "  cat:")
    with pytest.raises(LengthlensError, match=r"topics .*only 'xx' has dog; only 'yy' has cat"):
        check_parallel([first, load_language(write(tmp_path, renamed, "yy"))])

    lines = GOOD.replace("code: xx", "code: zz").splitlines(keepends=True)
    lines[6], lines[7] = lines[7], lines[6]
    with pytest.raises(LengthlensError, match=r"templates .*order differs from position 1"):
        check_parallel([first, load_language(write(tmp_path, "".join(lines), "zz"))])
