"""The confirmatory tests of a study: few, and named before any result is seen.

`resources/claims.yaml` lists them under `confirmatory`. A run makes those of its models' variants
and languages; everything else that it measures is exploratory. Nothing heavy is imported: the
Snakefile reads the tests, so that an ablation reruns only when a test of its own changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from lengthlens.errors import LengthlensError

MOST = 4  # tests in the family of a pair of models


@dataclass(frozen=True)
class Hypothesis:
    """One confirmatory test: a chosen set of heads against layer-matched random sets.

    Attributes:
        id, claim: its name, and the claim as a sentence.
        variant, language: of the model, and of ranking and answers alike.
        method: the score that chooses the heads.
        measure: one of `effects.MEASURES`.
        direction: `less` or `greater`: on which side of its controls the chosen set should lie.
    """

    id: str
    claim: str
    variant: str
    language: str
    method: str
    measure: str
    direction: str


def read_hypotheses(path: str | Path) -> list[Hypothesis]:
    """The confirmatory tests of a claims file, in its order.

    Raises:
        LengthlensError: the file is missing, or a test has the wrong keys, or there are too many.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LengthlensError(f"{path} does not exist; it should hold the claims") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LengthlensError(f"{path} is not YAML: {error}") from error
    rows = (values.get("confirmatory") or []) if isinstance(values, dict) else []
    keys = list(Hypothesis.__dataclass_fields__)
    for row in rows:
        if not isinstance(row, dict) or sorted(row) != sorted(keys):
            raise LengthlensError(
                f"{path}: the confirmatory test {row!r} must have the keys {', '.join(keys)}"
            )
    if len(rows) > MOST:
        raise LengthlensError(
            f"{path} names {len(rows)} confirmatory tests, but a family has at most {MOST}; "
            "make the others ordinary claims"
        )
    return [Hypothesis(**row) for row in rows]


def as_values(hypotheses: Sequence[Hypothesis]) -> list[dict[str, Any]]:
    """Hypotheses as plain values, for a rule's `params`."""
    return [asdict(hypothesis) for hypothesis in hypotheses]


def hypotheses_from(values: Sequence[Mapping[str, Any]]) -> list[Hypothesis]:
    """The inverse of `as_values`."""
    return [Hypothesis(**row) for row in values]
