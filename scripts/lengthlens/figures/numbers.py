"""How numbers are formatted for readers: true minus signs, units, and intervals in brackets."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

Row = Mapping | pd.Series

MINUS = "\u2212"
NONE = "\u2013"
UNITS = {"words": 2, "percent": 1, "logits": 3, "correlation": 2, "count": 0}  # decimals below 1


def number(value: float, unit: str, sign: bool = False) -> str:
    """A number with as many digits as its unit deserves; a dash where there is none.

    Args:
        value: in words or logits, a correlation, or a share (0.5 is 50 percent).
        unit: one of UNITS.
        sign: whether positive numbers get a plus.
    """
    if value is None or math.isnan(value):
        return NONE
    scaled = 100 * value if unit == "percent" else value
    digits = UNITS[unit]
    if unit == "logits" and abs(scaled) >= 1:  # three digits that count
        digits = 2 if abs(scaled) < 10 else 1
    text = f"{scaled:+.{digits}f}" if sign else f"{scaled:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(low: float, high: float, unit: str, sign: bool = False) -> str:
    """[low, high], or a dash where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return NONE
    return f"[{number(low, unit, sign)}, {number(high, unit, sign)}]"


def in_brackets(low: float, high: float, unit: str, sign: bool = False) -> str:
    """[low, high] within a sentence, which says so where there is no interval."""
    limits = interval(low, high, unit, sign)
    return "(no interval)" if limits == NONE else limits


def estimated(row: Row, name: str, unit: str, sign: bool = False, after: str = "") -> str:
    """A number of a row, what follows it, and its interval, such as "12.3 % [1.0, 20.5]"."""
    limits = in_brackets(row[f"{name}_low"], row[f"{name}_high"], unit, sign)
    return f"{number(row[name], unit, sign)}{after} {limits}"


def suffix(unit: str, difference: bool = False) -> str:
    """What follows the number: "words", "%" ("points" for differences), "logits" or nothing."""
    if unit == "percent":
        return " points" if difference else "\u202f%"
    return "" if unit in ("correlation", "count") else f" {unit}"
