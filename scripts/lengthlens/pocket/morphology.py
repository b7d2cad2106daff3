"""How the pocket languages inflect: articles, prepositions, agreement, word order.

Every function returns a list of words as the `whitespace` convention counts them: "l'isola" and
"d'Mier" are one word. In Luxembourgish a final "(n)" marks an n that the Eifel rule may drop.
"""

from __future__ import annotations

import re

from lengthlens.pocket.lexicon import Entry, Noun
from lengthlens.pocket.qaa import function_word

LB_KEEPS_N = "aeiouäëéöühndtz"
# "the" and "this"; the other languages inflect theirs
ARTICLES = {"en": ("the", "this"), "qaa": (function_word("the"), function_word("this"))}
CONJUNCTION = {"en": "and", "it": "e", "lb": "a(n)", "qaa": function_word("and")}
COPULA = {"en": "is", "it": "è", "lb": "ass", "qaa": function_word("is")}
ITALIAN_JOINED = {"su": "su", "di": "de", "in": "ne", "a": "a"}


def italian_article(noun: Noun) -> str:
    """il, lo, la or l' by gender and first sound (lo before z, s + consonant, gn, ps, x, y)."""
    word = noun.words["it"]
    if word[0] in "aeiouàèéìòù":
        return "l'"
    if noun.genders["it"] == "f":
        return "la"
    return "lo" if re.match(r"z|s[^aeiou]|gn|ps|x|y", word) else "il"


def italian_prepositional(preposition: str, noun: Noun) -> str:
    """A preposition with its article and noun: "sul mare", "nell'acqua", "con la nonna"."""
    article, word = italian_article(noun), noun.words["it"]
    *before, last = preposition.split()
    if last in ITALIAN_JOINED:
        ending = {"il": "l", "lo": "llo", "la": "lla", "l'": "ll'"}[article]
        joined = ITALIAN_JOINED[last] + ending
    else:
        joined = f"{last} {article}"
    tail = joined + word if joined.endswith("'") else f"{joined} {word}"
    return " ".join([*before, tail])


def noun_phrase(noun: Noun, language: str, this: bool = False, adjective: Entry | None = None):
    """The noun with its article (or "this") and an adjective agreeing with it, as words.

    Luxembourgish has no attributive adjectives here: its grammar uses them as predicates.
    """
    word = noun.words[language]
    if language in ARTICLES:
        article = ARTICLES[language][this]
        return [article, *([adjective.forms[language][0]] if adjective else []), word]
    if language == "it":
        return _italian_phrase(noun, this) + ([agree(adjective, noun, "it")] if adjective else [])
    if adjective:
        raise ValueError("the Luxembourgish grammar has no attributive adjectives")
    gender = noun.genders["lb"]
    if this:
        return [{"m": "dëse(n)", "f": "dës", "n": "dëst"}[gender], word]
    return ["de(n)", word] if gender == "m" else [f"d'{word}"]


def _italian_phrase(noun: Noun, this: bool) -> list[str]:
    article, word = italian_article(noun), noun.words["it"]
    if article == "l'":
        return [("quest'" if this else "l'") + word]
    if this:
        article = "questa" if noun.genders["it"] == "f" else "questo"
    return [article, word]


def agree(adjective: Entry, noun: Noun, language: str) -> str:
    """The adjective's form beside or after a noun."""
    forms = adjective.forms[language]
    return forms[1] if language == "it" and noun.genders["it"] == "f" else forms[0]


def prepositional(preposition: Entry, noun: Noun, language: str) -> list[str]:
    """A prepositional phrase with the definite article, as words."""
    form = preposition.forms[language][0]
    if language in ARTICLES:
        return [form, ARTICLES[language][0], noun.words[language]]
    if language == "it":
        return italian_prepositional(form, noun).split()
    if noun.genders["lb"] == "f":
        return [form, "der", noun.words["lb"]]
    joined = {"an": ["am"], "bei": ["beim"]}.get(form, [form, "dem"])
    return [*joined, noun.words["lb"]]


def clause(language: str, opener: list[str], subject: list[str], verb: str, rest: list[str]):
    """Put a main clause in order; Luxembourgish has its verb second."""
    if language == "lb" and opener:
        return [*opener, verb, *subject, *rest]
    return [*opener, *subject, verb, *rest]


def sentence(words: list[str], language: str, end: str = ".") -> str:
    """Join the words: Eifel rule, capital letter (not in qaa), full stop."""
    words = list(words)
    for i, word in enumerate(words):
        if word.endswith("(n)"):
            following = words[i + 1][0].lower() if i + 1 < len(words) else "a"
            words[i] = word[:-3] + ("n" if following in LB_KEEPS_N else "")
    text = " ".join(words) + end
    return text if language == "qaa" else text[0].upper() + text[1:]


def topic_forms(noun: Noun, language: str) -> dict[str, str]:
    """The forms instructions use: `name`, `about` and `of`."""
    if language == "it":
        return {
            "name": " ".join(_italian_phrase(noun, this=False)),
            "about": italian_prepositional("su", noun),
            "of": italian_prepositional("di", noun),
        }
    if language == "lb":
        name = sentence(noun_phrase(noun, "lb"), "lb", end="")
        name = name[0].lower() + name[1:]
        article = "der" if noun.genders["lb"] == "f" else "dem"
        return {
            "name": name,
            "about": f"iwwer {name}",
            "of": f"vun {article} {noun.words['lb']}",
        }
    name = " ".join(noun_phrase(noun, language))
    forms = {"name": name}
    for preposition in ("about", "of"):
        form = preposition if language == "en" else function_word(preposition)
        forms[preposition] = f"{form} {name}"
    return forms
