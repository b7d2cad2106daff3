"""Language files: resources/languages/{code}.yaml, read and checked.

A file gives a language's topics (each in the grammatical forms that the wordings need), its
instruction wordings (templates) and neutral sentences. Topic and template ids, and their order, are
the same in every language, so that differences between languages can be paired. It may also give
wordings that differ in one thing alone: where the number stands, and whether a mark ends them. How
to write one: docs/languages.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

from lengthlens.errors import LengthlensError
from lengthlens.files.yaml_files import read_yaml
from lengthlens.language.checks import CONTRASTS, find_problems
from lengthlens.language.plurals import OTHER, plural_category

PLACES = CONTRASTS[1:]  # early or late: where the number stands
KINDS = tuple(f"{place}-{end}" for place in PLACES for end in ("mark", "bare"))


@dataclass(frozen=True)
class Topic:
    """A thing to write about: `forms` for the placeholders of templates (`name` among them),
    `words`, lower case, whose presence in an answer counts as a mention."""

    id: str
    forms: Mapping[str, str]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Template:
    """The wording of an instruction, with {n} and at least one topic form as placeholders.

    `text` is the wording for the plural category `other`; `plurals` has those for further ones.
    """

    id: str
    text: str
    plurals: Mapping[str, str] = field(default_factory=dict)

    def wording(self, category: str) -> str | None:
        """The wording for a plural category, if there is one."""
        return self.text if category == OTHER else self.plurals.get(category)


@dataclass(frozen=True)
class Language:
    code: str
    name: str
    topics: tuple[Topic, ...]
    templates: tuple[Template, ...]
    neutral: tuple[str, ...]
    contrasts: tuple[Template, ...] = ()  # ids: a kind of KINDS, a hyphen, a number

    def numerals(self, template: Template, topic: Topic, n: int) -> list[tuple[int, int]]:
        """The characters of the number in an instruction, [start, end), as often as it is there."""
        wording = template.wording(plural_category(self.code, n)) or template.text
        length, found = 0, []
        filled = {**topic.forms, "n": str(n), None: ""}
        for literal, name, _, _ in Formatter().parse(wording):
            start = length + len(literal)
            length = start + len(filled[name])
            if name == "n":
                found.append((start, length))
        return found

    def ask(self, template: Template, topic: Topic, n: int) -> str:
        """The instruction to write `n` words on a topic.

        Raises LengthlensError where the template has no form for that number.
        """
        category = plural_category(self.code, n)
        wording = template.wording(category)
        if wording is None:
            raise LengthlensError(_missing(self.code, category, [n], [template]))
        return wording.format(n=n, **topic.forms)


def load_language(path: str | Path) -> Language:
    """Read one language file.

    Raises LengthlensError that lists everything wrong with the file, each with its cure.
    """
    path = Path(path)
    if not path.exists():
        raise LengthlensError(
            f"there is no language file {path}: write it (docs/languages.md tells how) or take "
            f"{path.stem!r} out of `languages` in the configuration"
        )
    file = read_yaml(path)
    content = file.content
    problems = [
        f"duplicated id {key.path[-1]!r} in lines {key.lines[0]} and {key.lines[1]}: rename or "
        "remove one"
        for key in file.repeated
    ]
    problems += find_problems(content, code=path.stem)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise LengthlensError(f"{path} cannot be used as a language file:\n{listed}")
    topics = []
    for topic_id, entry in content["topics"].items():
        forms = {form: text for form, text in entry.items() if form != "words"}
        topics.append(Topic(topic_id, forms, tuple(entry["words"])))
    return Language(
        code=content["code"],
        name=content["name"],
        topics=tuple(topics),
        templates=tuple(_template(key, entry) for key, entry in content["templates"].items()),
        neutral=tuple(content["neutral"]),
        contrasts=_contrasts(content.get("contrasts")),
    )


def missing_forms(language: Language, numbers: Iterable[int]) -> str | None:
    """What the templates of a language lack for the given N, in words; None if nothing."""
    needed: dict[str, list[int]] = {}
    for n in numbers:
        needed.setdefault(plural_category(language.code, n), []).append(n)
    for category, used in needed.items():
        wordings = (*language.templates, *language.contrasts)
        lacking = [one for one in wordings if one.wording(category) is None]
        if lacking:
            return _missing(language.code, category, used, lacking)
    return None


def _missing(code: str, category: str, numbers: list[int], templates: list[Template]) -> str:
    shown = ", ".join(map(str, numbers))
    return (
        f"in {code} the number {shown} takes the plural form `{category}` (CLDR), which "
        f"resources/languages/{code}.yaml does not give for the templates "
        f"{', '.join(template.id for template in templates)}: write each as {{{category}: …, "
        f"other: …}}, or leave {shown} out"
    )


def _contrasts(content: Mapping | None) -> tuple[Template, ...]:
    """Every contrasting wording, with the final mark and without."""
    made = []
    for place in PLACES if content else ():
        for number, entry in enumerate(content[place], start=1):
            for end, mark in (("mark", content["mark"]), ("bare", "")):
                bare = _template(f"{place}-{end}-{number}", entry)
                plurals = {category: text + mark for category, text in bare.plurals.items()}
                made.append(Template(bare.id, bare.text + mark, plurals))
    return tuple(made)


def _template(template_id: str, entry: str | Mapping[str, str]) -> Template:
    forms = {OTHER: entry} if isinstance(entry, str) else dict(entry)
    return Template(template_id, forms.pop(OTHER), forms)


def check_parallel(languages: Iterable[Language]) -> None:
    """Raise LengthlensError unless all languages have the same topic and template ids in the same
    order; the message names the ids that differ."""
    languages = list(languages)
    for other in languages[1:]:
        first = languages[0]
        for kind in ("topics", "templates", "contrasts"):
            if kind == "contrasts" and not (first.contrasts and other.contrasts):
                continue  # they may be left out
            expected = [item.id for item in getattr(first, kind)]
            found = [item.id for item in getattr(other, kind)]
            if found != expected:
                raise LengthlensError(
                    f"{kind} of languages {first.code!r} and {other.code!r} are not parallel: "
                    f"{_difference(expected, found, first.code, other.code)}; give every language "
                    f"the same {kind}, with the same ids in the same order"
                )


def _difference(expected: list[str], found: list[str], first: str, other: str) -> str:
    alone = {
        first: [key for key in expected if key not in found],
        other: [key for key in found if key not in expected],
    }
    parts = [f"only {code!r} has {', '.join(keys)}" for code, keys in alone.items() if keys]
    if not parts:
        position = next(i for i, (a, b) in enumerate(zip(expected, found, strict=True)) if a != b)
        parts.append(
            f"the order differs from position {position + 1} on "
            f"({expected[position]!r} in {first!r}, {found[position]!r} in {other!r})"
        )
    return "; ".join(parts)
