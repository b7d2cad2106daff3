"""What can be wrong with a language file, in words for the person who writes it.

`find_problems` looks at the parsed content only and gathers everything wrong, so that a new file is
corrected in one go. Every problem names the place, the offending value and the cure.
"""

import re
import reprlib
import string
import unicodedata
from collections.abc import Iterator

from lengthlens.language.plurals import CATEGORIES, OTHER
from lengthlens.language.unspaced import is_unspaced_word
from lengthlens.language.words import mentions, split_words

KEYS = ("code", "name", "topics", "templates", "neutral")
CONTRASTS = ("mark", "early", "late")
_CODE = re.compile(r"[A-Za-z0-9-]+")
_ID = re.compile(r"[a-z][a-z0-9-]*")
_FORM = re.compile(r"[a-z][a-z_]*")
_SHOWN = 200

# Not seen, but read by tokenizers and by whoever compares words: soft hyphens, spaces of no width,
# marks of writing direction, line separators. Joiners (U+200C, U+200D) are not here: Persian and
# the languages of India are spelt with them.
_INVISIBLE = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# No character at all: halves of one, private ones, and what stands for unreadable bytes.
_NONE = re.compile("[\ud800-\udfff\ue000-\uf8ff\ufffd\U000f0000-\U0010ffff]")
_BRACE = re.compile("[{}]")
_PLAIN_REPR = reprlib.Repr()
_PLAIN_REPR.maxstring = _PLAIN_REPR.maxother = _PLAIN_REPR.maxlong = 60


def find_problems(content: object, code: str) -> list[str]:
    """Everything wrong with a parsed language file; `code` is its file name without ".yaml"."""
    if not isinstance(content, dict):
        return [f"the file must be a mapping with the keys {', '.join(KEYS)}"]
    missing = [key for key in KEYS if key not in content]
    unknown = [key for key in content if key not in (*KEYS, "contrasts")]
    problems = [f"the key `{key}` is missing: add it (see docs/languages.md)" for key in missing]
    problems += [f"unknown key `{_name(key)}`: the keys are {', '.join(KEYS)}" for key in unknown]
    if missing:
        return problems
    forms = _forms(content["topics"])
    problems += _header_problems(content, code)
    problems += _topic_problems(content["topics"], forms, code)
    problems += _template_problems(content["templates"], forms)
    problems += _neutral_problems(content["neutral"])
    problems += _contrast_problems(content.get("contrasts"), forms)
    return problems


def _header_problems(content: dict, code: str) -> Iterator[str]:
    found = content["code"]
    if not isinstance(found, str):
        yield f'`code` is read as {_brief(found)}: put it in quotes, code: "{code}"'
    elif found != code:
        yield f"`code` is {_brief(found)} but the file is named {code}.yaml: make them agree"
    elif not _CODE.fullmatch(found):
        yield f"`code` {found!r} may hold only letters, digits and hyphens: rename the file too"
    yield from _text_problems("`name`", content["name"])


def _topic_problems(topics: object, forms: set, code: str) -> Iterator[str]:
    if not isinstance(topics, dict) or len(topics) < 2:
        yield (
            "`topics` must be a mapping of at least 2 topics, since some of them go to the split "
            f"`select` and the others to `evaluate`: got {_brief(topics)}"
        )
        return
    names: dict[str, object] = {}
    sets: dict[frozenset, object] = {}
    for topic_id, entry in topics.items():
        place = f"topic `{_name(topic_id)}`"
        yield from _id_problems("topic", topic_id)
        if not isinstance(entry, dict) or "name" not in entry or "words" not in entry:
            yield f"{place}: must be a mapping with `name`, `words` and the other forms in use"
            continue
        for form in sorted(forms - set(entry), key=str):
            yield f"{place}: the form `{_name(form)}` is missing, which other topics have: add it"
        yield from _form_problems(place, entry, code)
        name, words = entry["name"], entry["words"]
        if isinstance(name, str) and names.setdefault(_alike(name), topic_id) != topic_id:
            other = _name(names[_alike(name)])
            yield f"{place}: has the same name {_brief(name)} as topic `{other}`: change one"
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            same = frozenset(map(_alike, words))
            if sets.setdefault(same, topic_id) != topic_id:
                yield f"{place}: has the same `words` as topic `{_name(sets[same])}`: change one"


def _forms(topics: object) -> set:
    """The forms that any topic has."""
    entries = topics.values() if isinstance(topics, dict) else ()
    return {form for entry in entries if isinstance(entry, dict) for form in entry} - {"words"}


def _form_problems(place: str, entry: dict, code: str) -> Iterator[str]:
    words = entry["words"]
    broken = list(_mention_word_problems(place, words, code))
    yield from broken
    for form, text in entry.items():
        if form == "words":
            continue
        if form == "n" or not isinstance(form, str) or not _FORM.fullmatch(form):
            yield f"{place}: {_brief(form)} cannot name a form: use lower-case letters, and not `n`"
            continue
        wrong = list(_text_problems(f"{place}, form `{form}`", text))
        if isinstance(text, str) and _BRACE.search(text):
            wrong.append(
                f"{place}, form `{form}`: {_brief(text)} holds a brace, which would stand in the "
                "prompt like a placeholder: remove it"
            )
        yield from wrong
        if not wrong and not broken and not mentions(text, words, code):
            yield (
                f"{place}, form `{form}`: {_brief(text)} holds none of its `words` "
                f"{', '.join(words)}: correct the form or add the word"
            )


def _mention_word_problems(place: str, words: object, code: str) -> Iterator[str]:
    if not isinstance(words, list) or not words:
        yield f"{place}: `words` must be a list of at least one word: got {_brief(words)}"
        return
    for word in words:
        wrong = list(_text_problems(f"{place}, `words`", word))
        yield from wrong
        if wrong:
            continue
        if word != word.lower():
            yield f"{place}, `words`: write {_brief(word)} in lower case"
        single = split_words(word, "unicode") == [word]
        if not (single or is_unspaced_word(word)) or not mentions(word, [word], code):
            yield f"{place}, `words`: {_brief(word)} is not a single word: give single words only"
        if words.count(word) > 1:
            yield f"{place}, `words`: {_brief(word)} is given twice: remove one"


def _template_problems(templates: object, forms: set) -> Iterator[str]:
    if not isinstance(templates, dict) or not templates:
        yield f"`templates` must be a mapping of id: wording: got {_brief(templates)}"
        return
    texts: dict[str, object] = {}
    for template_id, entry in templates.items():
        place = f"template `{_name(template_id)}`"
        yield from _id_problems("template", template_id)
        wordings = {OTHER: entry}
        if isinstance(entry, dict):
            yield from _category_problems(place, entry)
            wordings = {key: text for key, text in entry.items() if key in CATEGORIES}
        for category, text in wordings.items():
            here = f"{place}, form `{category}`" if isinstance(entry, dict) else place
            wrong = list(_text_problems(here, text))
            yield from wrong or _placeholder_problems(here, text, forms)
        text = wordings.get(OTHER)
        if isinstance(text, str) and texts.setdefault(_alike(text), template_id) != template_id:
            other = _name(texts[_alike(text)])
            yield f"{place}: has the same wording as template `{other}`: change one"


def _contrast_problems(contrasts: object, forms: set) -> Iterator[str]:
    """They may be left out; else there are as many with an early as with a late number."""
    if contrasts is None:
        return
    if not isinstance(contrasts, dict) or set(contrasts) != set(CONTRASTS):
        yield (
            f"`contrasts` must be a mapping of {', '.join(CONTRASTS)}: got {_brief(contrasts)}; "
            "leave it out if there are none"
        )
        return
    mark, lists = contrasts["mark"], [contrasts[place] for place in CONTRASTS[1:]]
    if not isinstance(mark, str) or not mark or any(character.isalnum() for character in mark):
        yield f"`contrasts`, `mark`: {_brief(mark)} is no punctuation: write it in quotes"
    if not all(isinstance(part, list) and part for part in lists) or len(set(map(len, lists))) > 1:
        yield "`contrasts`: `early` and `late` must be lists of as many wordings, at least one"
        return
    wordings = {
        f"{place}-{number}": entry
        for place in CONTRASTS[1:]
        for number, entry in enumerate(contrasts[place], start=1)
    }
    for problem in _template_problems(wordings, forms):
        yield f"`contrasts`, {problem}"
    texts = [entry.get(OTHER) if isinstance(entry, dict) else entry for entry in wordings.values()]
    for text in texts:
        if isinstance(text, str) and text and not (text[-1].isalnum() or text[-1] == "}"):
            yield f"`contrasts`: {_brief(text)} ends with a mark: leave it out, `mark` is added"


def _category_problems(place: str, entry: dict) -> Iterator[str]:
    """Plural forms have CLDR's names. Those that the language does not have are never used."""
    for key in entry:
        if key not in CATEGORIES:
            yield f"{place}: {_brief(key)} is no plural form: the forms are {', '.join(CATEGORIES)}"
    if OTHER not in entry:
        yield f"{place}: the form `{OTHER}` is missing: add it"


def _placeholder_problems(place: str, text: str, available: set[str]) -> Iterator[str]:
    try:
        fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
    except ValueError as error:
        yield f"{place}: {_brief(text)} has a stray brace ({error}): write placeholders as {{n}}"
        return
    if "{{" in text or "}}" in text:
        yield f"{place}: {_brief(text)} would leave a brace in the prompt: remove it"
    for _, name, format_spec, conversion in fields:
        if format_spec or conversion:
            yield f"{place}: write the placeholder {name!r} plainly as {{{name}}}"
        if name != "n" and name not in available:
            choices = ", ".join(f"{{{form}}}" for form in sorted(available, key=str))
            yield f"{place}: no topic has the form {{{name}}}: use {{n}} and {choices or 'a form'}"
    names = [name for _, name, _, _ in fields]
    if "n" not in names:
        shown = _brief(text)
        yield f"{place}: {shown} does not say the number of words: put {{n}} where it belongs"
    if not available & set(names):
        yield f"{place}: {_brief(text)} does not say the topic: put a form such as {{name}} in it"


def _neutral_problems(neutral: object) -> Iterator[str]:
    if not isinstance(neutral, list) or not neutral:
        yield f"`neutral` must be a list of at least one sentence: got {_brief(neutral)}"
        return
    seen: set[str] = set()
    for number, sentence in enumerate(neutral, start=1):
        yield from _text_problems(f"neutral sentence {number}", sentence)
        if isinstance(sentence, str) and sentence.strip():
            if _alike(sentence) in seen:
                yield f"neutral sentence {number}: {_brief(sentence)} is there twice: remove one"
            seen.add(_alike(sentence))


def _id_problems(kind: str, key: object) -> Iterator[str]:
    if not isinstance(key, str):
        yield f"{kind} id is read as {_brief(key)}: put it in quotes"
    elif not _ID.fullmatch(key):
        yield f"{kind} id {_brief(key)}: use lower-case letters a-z, digits and hyphens"


def _text_problems(place: str, text: object) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"{place}: is read as {_brief(text)}, which is not text: put it in quotes"
    elif not text.strip():
        yield f"{place}: is empty: write it or remove it"
    elif text != text.strip() or "\n" in text:
        yield f"{place}: {_brief(text)} must be one line without spaces around it: trim it"
    elif found := _INVISIBLE.search(text):
        yield (
            f"{place}: {_brief(text)} holds the invisible character {_character(found[0])}: "
            "remove it (text from right to left needs no marks)"
        )
    elif found := _NONE.search(text):
        yield (
            f"{place}: {_brief(text)} holds {_character(found[0])}, which stands for no character: "
            "the text was saved or copied in another encoding; write it anew"
        )
    elif not unicodedata.is_normalized("NFC", text):
        yield (
            f"{place}: {_brief(text)} is not in Unicode's composed form (NFC), so equal words "
            "could differ: convert the file with unicodedata.normalize('NFC', …)"
        )


def _alike(text: str) -> str:
    """The same for texts that differ only in case, spacing, width or composition."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _character(character: str) -> str:
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def _name(key: object) -> str:
    """A key as it stands in the file, if it is short and can be printed."""
    return key if isinstance(key, str) and key.isprintable() and len(key) <= 60 else _brief(key)


def _brief(value: object) -> str:
    """The value in Python's notation, shortened; whatever YAML can express is safe to show."""
    if isinstance(value, str):
        text = repr(value[: _SHOWN + 1])
        return text if len(value) <= _SHOWN else f"{text[:_SHOWN]}..."
    text = _PLAIN_REPR.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
