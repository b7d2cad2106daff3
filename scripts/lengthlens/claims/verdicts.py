"""From claims written beforehand (resources/claims.yaml) to verdicts (claims.csv).

1. `read_claims` reads and checks the claims;
2. `evaluate_claims` measures each claim's statistic (`measures`) with its interval;
3. `judge` turns interval and direction into a verdict.

A claim that this run has no data for is a row with the verdict "no data" and the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lengthlens.ablation.hypotheses import CONFIRMATORY, EXPLORATORY, claims_file, problems_of
from lengthlens.analysis.tables import header
from lengthlens.claims.kinds import Data, Measurement, NoData, sides_of
from lengthlens.claims.measures import measure, unit_of
from lengthlens.claims.themes import theme_of
from lengthlens.errors import LengthlensError
from lengthlens.files.validation import Problem, model_problems
from lengthlens.settings.claims import Claims
from lengthlens.statistics import BESIDE, DEFAULT, Bootstrap

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
UNDECIDED = "undecided"
CENSORED = "undecided (censored)"
NO_DATA = "no data"
COLUMNS = header(
    "id claim origin status theme model tuning language statistic unit sided n n_topics value "
    "low high level direction null margin truncated paper paper_says verdict reason source",
)


def read_claims(path: str | Path) -> list[dict[str, Any]]:
    """Read claims and check them against `settings.claims`.

    Raises:
        LengthlensError: listing everything that is wrong, each with the key, the value and what
            is legal.
    """
    values, problems = claims_file(path)
    problems = problems or _problems(values)
    if problems:
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise LengthlensError(f"{path} has {count}:\n{lines}")
    return values["claims"]


def _problems(values: Any) -> list[Problem]:
    if found := model_problems(values, Claims):
        return found
    found = problems_of(values.get("tests", []))
    first: dict[str, int] = {}
    for index, claim in enumerate(values["claims"]):
        path, kind = ("claims", index), claim["statistic"]["kind"]
        if first.setdefault(claim["id"], index) != index:
            message = (
                f"{claim['id']} is also the id of claims[{first[claim['id']]}]; choose another"
            )
            found.append(Problem((*path, "id"), message))
        if _confirms(claim) and "models" not in claim:
            message = "missing; a confirmatory claim names the models that it was written for"
            found.append(Problem((*path, "models"), message))
        near = claim["direction"] == "near"
        if near != ("margin" in claim):
            message = "missing; near needs one" if near else "only `near` has one; remove the key"
            found.append(Problem((*path, "margin"), message))
        elif near and isinstance(claim["margin"], dict) and kind != "cwa":
            message = f"a share of CWA says nothing about {kind}; give a number"
            found.append(Problem((*path, "margin"), message))
    return found


def concerns(claim: Mapping[str, Any], models: Mapping[str, str]) -> bool:
    """Whether a claim is about a pair of models, given as tuning -> name.

    A claim about transplants is about both models: those that it names may be either of them.
    """
    named, statistic = claim.get("models", ()), claim["statistic"]
    asked = {models.get(statistic["tuning"])}
    if statistic["kind"] == "transplant":
        asked = set(models.values())
    return not named or bool(asked & set(named))


def claims_of_pairs(
    claims: Sequence[Mapping[str, Any]], pairs: Sequence[Mapping[str, str]]
) -> list[list[Mapping[str, Any]]]:
    """The claims about each pair; those about none are with the first pair, which has no data.

    Where a confirmatory claim about a pair says the same as an exploratory one, it takes its place.
    """
    absent = [c for c in claims if not any(concerns(c, pair) for pair in pairs)]
    found = []
    for place, pair in enumerate(pairs):
        own = [c for c in claims if concerns(c, pair) or (place == 0 and c in absent)]
        sure = [_said(c) for c in own if _confirms(c) and c not in absent]
        found.append([c for c in own if _confirms(c) or _said(c) not in sure])
    return found


def _confirms(claim: Mapping[str, Any]) -> bool:
    return claim.get("status") == CONFIRMATORY


def _said(claim: Mapping[str, Any]) -> list[Any]:
    """What a claim says, whatever its name and wording."""
    return [claim.get(name) for name in ("statistic", "direction", "null_value", "margin")]


def evaluate_claims(
    claims: Sequence[Mapping[str, Any]],
    data: Data,
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Verdicts on claims about one pair of models.

    Args:
        claims: as `read_claims` gives them.
        data: the pair's files.
        bootstrap: of the intervals; a `near` claim is judged by the narrower interval of level
            2 level - 1 (0.90 for 0.95), which makes it the usual equivalence test.

    Returns:
        One row a claim, columns `COLUMNS`.
    """
    rows = [_row(claim, data, bootstrap) for claim in claims]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(claim: Mapping, data: Data, bootstrap: Bootstrap) -> dict[str, Any]:
    statistic, direction = claim["statistic"], claim["direction"]
    paper = claim.get("paper", {})
    used = bootstrap
    if direction == "near":
        used = bootstrap.at(round(2 * bootstrap.level - 1, 12))
    both = sides_of(statistic)
    row = {
        "id": claim["id"],
        "claim": claim["claim"],
        "origin": claim["origin"],
        "status": claim.get("status", EXPLORATORY),
        "theme": theme_of(statistic),
        "model": _joined(data.models.get(side["tuning"], "") for side in both),
        "tuning": _joined(side["tuning"] for side in both),
        "language": _joined(side["language"] for side in both),
        "unit": unit_of(statistic),
        "sided": "two" if direction == "near" else "one",
        "level": used.level,
        "direction": direction,
        "null": float(claim["null_value"]),
        "margin": np.nan,
        "paper": paper.get("value", np.nan),
        "paper_says": paper.get("says", ""),
        "n": 0,
        "n_topics": 0,
    }
    if not concerns(claim, data.models):
        missing = f"the run has no model {' or '.join(claim['models'])}"
        return row | {"model": "", "verdict": NO_DATA, "reason": missing}
    try:
        found = measure(statistic, data, used)
    except NoData as missing:
        return row | {"verdict": NO_DATA, "reason": str(missing)}
    margin = claim.get("margin", np.nan)
    if isinstance(margin, Mapping):
        margin = margin["share"] * found.reference
    interval = found.interval
    verdict, reason = judge(direction, float(claim["null_value"]), float(margin), found)
    return row | {
        "statistic": found.text,
        "n": int(interval.n),
        "n_topics": int(interval.n_clusters),
        **interval.columns("value", ends=BESIDE),
        "margin": margin,
        "truncated": found.truncated,
        "verdict": verdict,
        "reason": reason,
        "source": found.source,
    }


def _joined(names) -> str:
    return " - ".join(dict.fromkeys(name for name in names if name))


def judge(direction: str, null: float, margin: float, found: Measurement) -> tuple[str, str]:
    """Verdict and its reason ("" where the interval says it all).

    Supported: the whole interval on the claimed side of `null` (`near`: within `margin` of it); not
    supported: wholly on the other; otherwise undecided. Where answers were cut at the token limit
    the true value may lie higher (`may_rise`) or lower (`may_fall`): a verdict that this could
    overturn becomes "undecided (censored)".
    """
    low, high = float(found.interval.low), float(found.interval.high)
    if np.isnan(found.interval.estimate):
        return NO_DATA, "no sample has a value"
    if np.isnan(low) or np.isnan(high):
        few = int(found.interval.n_clusters) < 2
        return UNDECIDED, "no interval: " + ("one topic only" if few else "no variance")
    cut = f"{found.truncated:.0%} of the answers were cut at the token limit"
    fixed = not (found.may_rise or found.may_fall)
    slack = margin if direction == "near" else 0
    floor, ceiling = null + slack, null - slack
    over, under = low > floor, high < ceiling
    if (over and not found.may_fall) or (under and not found.may_rise):
        claimed = direction == ("above" if over else "below")
        return (SUPPORTED if claimed else NOT_SUPPORTED), "" if fixed else cut
    if not fixed:
        return CENSORED, cut
    within = direction == "near" and ceiling < low and high < floor
    return (SUPPORTED if within else UNDECIDED), ""
