"""Which form of a wording a number takes: the plural categories of Unicode's CLDR.

A language has up to six: `zero`, `one`, `two`, `few`, `many`, `other`. English says "1 word" (one)
and "5 words" (other); Polish "1 słowo" (one), "3 słowa" (few), "5 słów" (many). The rules are
those of the library babel (https://cldr.unicode.org/index/cldr-spec/plural-rules).
"""

from __future__ import annotations

from functools import lru_cache

from babel import Locale, UnknownLocaleError

OTHER = "other"
CATEGORIES = ("zero", "one", "two", "few", "many", OTHER)


def plural_category(code: str, n: int) -> str:
    """The category of a number in a language; `other` where CLDR does not know the language."""
    locale = _locale(code)
    return OTHER if locale is None else locale.plural_form(n)


@lru_cache(maxsize=256)
def _locale(code: str) -> Locale | None:
    """What CLDR knows of a code such as `pt-br`; of its first part, if it knows that alone."""
    for name in dict.fromkeys((code, code.partition("-")[0])):
        try:
            return Locale.parse(name, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
    return None
