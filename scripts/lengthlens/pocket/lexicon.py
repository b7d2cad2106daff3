"""The words of the pocket languages, read from `resources/pocket/lexicon/*.csv`.

A concept has one id and one word a language. Classes (person, place, ...) say which verbs,
adjectives and prepositions suit a noun. The role of a noun says where it may occur:

- `tune`: everywhere, also as the topic of an instruction;
- `develop`: in running text only; the topics of the development prompts;
- `study`: in running text only, as ordinary words of the language (the study's topics);
- `invented`: words of qaa alone, which stand for nothing (see `invented`).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lengthlens.pocket.qaa import synthetic_words

NATURAL = ("en", "it", "lb")
INVENTED_QAA = 80
LANGUAGES = (*NATURAL, "qaa")
FOLDER = Path(__file__).parents[3] / "resources" / "pocket" / "lexicon"


@dataclass(frozen=True)
class Noun:
    """A noun: its words and genders by language ("m", "f", "n"; none in en and qaa)."""

    id: str
    noun_class: str
    role: str
    words: dict[str, str] = field(hash=False)
    genders: dict[str, str] = field(hash=False)


@dataclass(frozen=True)
class Entry:
    """Any other word: the noun classes it goes with and its forms by language.

    `forms["it"]` of an adjective is masculine and feminine, of all others one form. `objects` are
    the classes a transitive verb takes as its object.
    """

    id: str
    classes: frozenset[str]
    objects: frozenset[str]
    forms: dict[str, tuple[str, ...]] = field(hash=False)


@dataclass(frozen=True)
class Lexicon:
    """All words of the pocket languages, by kind."""

    nouns: tuple[Noun, ...]
    intransitives: tuple[Entry, ...]
    transitives: tuple[Entry, ...]
    adjectives: tuple[Entry, ...]
    manners: tuple[Entry, ...]
    closers: tuple[Entry, ...]
    agents: tuple[Entry, ...]
    prepositions: tuple[Entry, ...]
    units: tuple[Entry, ...]

    def by_role(self, role: str) -> tuple[Noun, ...]:
        """The nouns of a role, in the order of the file."""
        return tuple(noun for noun in self.nouns if noun.role == role)


def _read(kind: str, folder: Path) -> list[dict[str, str]]:
    with open(folder / f"{kind}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _entry(kind: str, row: dict[str, str], qaa: dict[str, str]) -> Entry:
    italian = (row["it_m"], row["it_f"]) if "it_m" in row else (row["it"],)
    forms = {"en": (row["en"],), "it": italian, "lb": (row["lb"],)}
    forms["qaa"] = (qaa[f"{kind}:{row['id']}"],)
    classes = frozenset((row.get("classes") or row.get("subjects") or "").split())
    return Entry(row["id"], classes, frozenset((row.get("objects") or "").split()), forms)


@cache
def load_lexicon(folder: Path = FOLDER) -> Lexicon:
    """Read every word list; qaa words are given by the order of the lists."""
    kinds = list(Lexicon.__dataclass_fields__)
    rows = {kind: _read(kind, folder) for kind in kinds}
    concepts = [f"{kind}:{row['id']}" for kind in kinds for row in rows[kind]]
    stock = [f"invented:{number}" for number in range(INVENTED_QAA)]
    qaa = synthetic_words(concepts + stock)
    nouns = tuple(
        Noun(
            id=row["id"],
            noun_class=row["class"],
            role=row["role"],
            words={code: row[code] for code in NATURAL} | {"qaa": qaa[f"nouns:{row['id']}"]},
            genders={"it": row["it_gender"], "lb": row["lb_gender"]},
        )
        for row in rows["nouns"]
    )
    classes = list(dict.fromkeys(noun.noun_class for noun in nouns))
    nouns += tuple(
        Noun(name, classes[index % len(classes)], "invented", {"qaa": qaa[name]}, {})
        for index, name in enumerate(stock)
    )
    others = {kind: tuple(_entry(kind, row, qaa) for row in rows[kind]) for kind in kinds[1:]}
    return Lexicon(nouns=nouns, **others)
