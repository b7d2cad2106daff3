"""Types of configuration values: their bounds, and in words what is legal beyond them.

Words are derived from bounds and choices wherever possible (`validation.legal_values`); `Says` is
for the rest. Numbers are strict: 3.0 is not a whole number, and neither is true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration: no unknown keys, and no change once it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Says:
    """What the JSON schema says of a type beyond its bounds: `legal` values in words, and more."""

    legal: str = ""
    unique: bool = False

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        schema = handler(core)
        if self.legal:
            schema["legal"] = self.legal
        return schema | ({"uniqueItems": True} if self.unique else {})


def about(description: str, legal: str = "", **options: Any) -> Any:
    """A key: what it does, and what is legal where its type does not say it."""
    extra = {"legal": legal} if legal else None
    return Field(description=description, json_schema_extra=extra, **options)


def refused(wrong: Callable[[Any], bool], why: str, validator: Any = AfterValidator) -> Any:
    """A validator that refuses the values of which `wrong` is true."""

    def check(value: Any) -> Any:
        if wrong(value):
            raise ValueError(why)
        return value

    return validator(check)


def whole(least: int, most: int | None = None, legal: str = "") -> Any:
    """A whole number from `least` to `most`."""
    return Annotated[int, Field(strict=True, ge=least, le=most), Says(legal)]


def number(legal: str = "", **bounds: float) -> Any:
    """A number within bounds, named as in `pydantic.Field`."""
    return Annotated[float, Field(strict=True, **bounds), Says(legal)]


def several(item: Any, least: int = 0, legal: str = "") -> Any:
    """A list of at least `least` items, without duplicates."""
    unique = refused(
        lambda values: any(value in values[:place] for place, value in enumerate(values)),
        "an item stands twice",
    )
    return Annotated[tuple[item, ...], Field(min_length=least), unique, Says(legal, unique=True)]


def text(pattern: str, legal: str, most: int | None = None) -> Any:
    """Text of a form."""
    return Annotated[str, Field(strict=True, pattern=pattern, max_length=most), Says(legal)]


# NOTE Python takes true and false for 1 and 0.
NotBool = refused(
    lambda value: isinstance(value, bool), "true and false are no numbers", BeforeValidator
)

NAME = r"^[A-Za-z0-9][A-Za-z0-9-]*$"
_PRINTED = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
_VISIBLE = r"[^\s\x00-\x1f\x7f-\x9f\u2028\u2029]"

Name = text(NAME, "1 to 64 letters, digits and hyphens, the first not a hyphen", most=64)
Language = text(
    NAME,
    "a language code of letters, digits and hyphens, in quotes where YAML would read something "
    'else ("no")',
    most=64,
)
Line = text(f"^{_PRINTED}*{_VISIBLE}{_PRINTED}*$", "1 to 200 characters on one line", most=200)
Day = text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", 'a date as "YYYY-MM-DD"')
Filled = Annotated[str, Field(strict=True, min_length=1)]
Seed = whole(0, 4_294_967_295)
Count = whole(1, 1_000_000, "a whole number ≥ 1")
Sets = whole(1, 100_000)
Words = whole(1, 10_000, "a whole number of words from 1 to 10000")
Share = number(gt=0, lt=1)
