"""What can be wrong with a language file, in words for the person who writes it.

`find_problems` looks at the parsed content only and gathers everything wrong, so that a new file is
corrected in one go. Every problem names the place, the offending value and the cure.
"""

import re
import string
import unicodedata
from collections.abc import Iterator

from lengthlens.words import mentions, split_words

KEYS = ("code", "name", "topics", "templates", "neutral")
_CODE = re.compile(r"[A-Za-z0-9-]+")
_ID = re.compile(r"[a-z][a-z0-9-]*")
_FORM = re.compile(r"[a-z][a-z_]*")


def find_problems(content: object, code: str) -> list[str]:
    """Everything wrong with a parsed language file; `code` is its file name without ".yaml"."""
    if not isinstance(content, dict):
        return [f"the file must be a mapping with the keys {', '.join(KEYS)}"]
    missing = [key for key in KEYS if key not in content]
    unknown = [key for key in content if key not in KEYS]
    problems = [f"the key `{key}` is missing: add it (see docs/languages.md)" for key in missing]
    problems += [f"unknown key `{key}`: the keys are {', '.join(KEYS)}" for key in unknown]
    if missing:
        return problems
    problems += _header_problems(content, code)
    problems += _topic_problems(content["topics"])
    problems += _template_problems(content["templates"], content["topics"])
    problems += _neutral_problems(content["neutral"])
    return problems


def _header_problems(content: dict, code: str) -> Iterator[str]:
    found = content["code"]
    if not isinstance(found, str):
        yield f'`code` is read as {found!r}: put it in quotes, code: "{code}"'
    elif found != code:
        yield f"`code` is {found!r} but the file is named {code}.yaml: make them agree"
    elif not _CODE.fullmatch(found):
        yield f"`code` {found!r} may hold only letters, digits and hyphens: rename the file too"
    yield from _text_problems("`name`", content["name"])


def _topic_problems(topics: object) -> Iterator[str]:
    if not isinstance(topics, dict) or len(topics) < 2:
        yield (
            "`topics` must be a mapping of at least 2 topics, since some of them go to the split "
            f"`select` and the others to `evaluate`: got {_brief(topics)}"
        )
        return
    all_forms: set = set()
    for entry in topics.values():
        if isinstance(entry, dict):
            all_forms |= set(entry) - {"words"}
    names: dict[str, str] = {}
    for topic_id, entry in topics.items():
        place = f"topic `{topic_id}`"
        yield from _id_problems("topic", topic_id)
        if not isinstance(entry, dict) or "name" not in entry or "words" not in entry:
            yield f"{place}: must be a mapping with `name`, `words` and the other forms in use"
            continue
        for form in sorted(all_forms - set(entry), key=str):
            yield f"{place}: the form `{form}` is missing, which other topics have: add it"
        yield from _form_problems(place, entry)
        name = entry["name"]
        if isinstance(name, str) and names.setdefault(name, topic_id) != topic_id:
            yield f"{place}: has the same name {name!r} as topic `{names[name]}`: change one"


def _form_problems(place: str, entry: dict) -> Iterator[str]:
    words = entry["words"]
    broken = list(_mention_word_problems(place, words))
    yield from broken
    for form, text in entry.items():
        if form == "words":
            continue
        if form == "n" or not isinstance(form, str) or not _FORM.fullmatch(form):
            yield f"{place}: {form!r} cannot name a form: use lower-case letters, and not `n`"
            continue
        wrong = list(_text_problems(f"{place}, form `{form}`", text))
        yield from wrong
        if not wrong and not broken and not mentions(text, words):
            yield (
                f"{place}, form `{form}`: {text!r} holds none of its `words` "
                f"{', '.join(words)}: correct the form or add the word"
            )


def _mention_word_problems(place: str, words: object) -> Iterator[str]:
    if not isinstance(words, list) or not words:
        yield f"{place}: `words` must be a list of at least one word: got {_brief(words)}"
        return
    for word in words:
        wrong = list(_text_problems(f"{place}, `words`", word))
        yield from wrong
        if wrong:
            continue
        if word != word.lower():
            yield f"{place}, `words`: write {word!r} in lower case"
        if split_words(word, "unicode") != [word] or not mentions(word, [word]):
            yield f"{place}, `words`: {word!r} is not a single word: give single words only"
        if words.count(word) > 1:
            yield f"{place}, `words`: {word!r} is given twice: remove one"


def _template_problems(templates: object, topics: object) -> Iterator[str]:
    if not isinstance(templates, dict) or not templates:
        yield f"`templates` must be a mapping of id: wording: got {_brief(templates)}"
        return
    entries = topics.values() if isinstance(topics, dict) else []
    forms = [set(entry) - {"words"} for entry in entries if isinstance(entry, dict)]
    available = set.union(*forms) if forms else set()
    texts: dict[str, str] = {}
    for template_id, text in templates.items():
        place = f"template `{template_id}`"
        yield from _id_problems("template", template_id)
        wrong = list(_text_problems(place, text))
        yield from wrong
        if wrong:
            continue
        yield from _placeholder_problems(place, text, available)
        if texts.setdefault(text, template_id) != template_id:
            yield f"{place}: has the same wording as template `{texts[text]}`: change one"


def _placeholder_problems(place: str, text: str, available: set[str]) -> Iterator[str]:
    try:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        yield f"{place}: {text!r} has a stray brace ({error}): write placeholders as {{n}}"
        return
    for _, name, format_spec, conversion in fields:
        if format_spec or conversion:
            yield f"{place}: write the placeholder {name!r} plainly as {{{name}}}"
        if name != "n" and name not in available:
            choices = ", ".join(f"{{{form}}}" for form in sorted(available, key=str))
            yield f"{place}: no topic has the form {{{name}}}: use {{n}} and {choices or 'a form'}"
    names = [name for _, name, _, _ in fields]
    if "n" not in names:
        yield f"{place}: {text!r} does not say the number of words: put {{n}} where it belongs"
    if not available & set(names):
        yield f"{place}: {text!r} does not say the topic: put a form such as {{name}} in it"


def _neutral_problems(neutral: object) -> Iterator[str]:
    if not isinstance(neutral, list) or not neutral:
        yield f"`neutral` must be a list of at least one sentence: got {_brief(neutral)}"
        return
    for number, sentence in enumerate(neutral, start=1):
        yield from _text_problems(f"neutral sentence {number}", sentence)
        if neutral.index(sentence) != number - 1:
            yield f"neutral sentence {number}: {sentence!r} is there twice: remove one"


def _id_problems(kind: str, key: object) -> Iterator[str]:
    if not isinstance(key, str):
        yield f"{kind} id is read as {key!r}: put it in quotes"
    elif not _ID.fullmatch(key):
        yield f"{kind} id {key!r}: use lower-case letters a-z, digits and hyphens"


def _text_problems(place: str, text: object) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"{place}: is read as {text!r}, which is not text: put it in quotes"
    elif not text.strip():
        yield f"{place}: is empty: write it or remove it"
    elif text != text.strip() or "\n" in text:
        yield f"{place}: {text!r} must be one line without spaces around it: trim it"
    elif not unicodedata.is_normalized("NFC", text):
        yield (
            f"{place}: {text!r} is not in Unicode's composed form (NFC), so equal words could "
            "differ: convert the file with unicodedata.normalize('NFC', …)"
        )


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
