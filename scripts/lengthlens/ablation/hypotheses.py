"""The tests of a study that have p-values: few, and each written down with its status.

`resources/claims.yaml` lists them under `tests`. A run makes those that concern its models;
everything else that it measures has intervals only. Two kinds:

- `permutation`, the primary one: does a score rank the heads of a layer as their effects do?
- `set`: do the k heads that a score ranks highest do more than random heads of the same layers?

A test is `confirmatory` where it was committed before any model that it names was run, else
`exploratory`. Nothing heavy is imported: the Snakefile reads the tests, so that an ablation reruns
only when a test of its own changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from lengthlens.errors import LengthlensError
from lengthlens.files.validation import Problem, model_problems, plain_copy
from lengthlens.settings.claims import Tests

MOST = 4  # confirmatory tests of one kind about one model: they are corrected together
EXPLORATORY, CONFIRMATORY = "exploratory", "confirmatory"
ON_FIXED_TEXT = "end_margin"  # the one measure that needs no answers


@dataclass(frozen=True)
class Hypothesis:
    """One test.

    Attributes:
        id, claim: its name, and the claim as a sentence.
        test: `permutation` or `set`.
        status: `exploratory` or `confirmatory`.
        tuning, language: of the model, and of scores and effects alike.
        method: the score that ranks the heads.
        effect: what is set against it: `zero_effect` (`permutation`), or the
            measure of `effects.MEASURES` that removing the set changes (`set`).
        models: names of the models that it is about; empty: any such model.
        k, direction: of a set: its size, and on which side of the random ones it should lie, `less`
            or `greater`.
    """

    id: str
    claim: str
    test: str
    status: str
    tuning: str
    language: str
    method: str
    effect: str
    models: tuple[str, ...] = ()
    k: int | None = None
    direction: str = "greater"

    @property
    def needs_answers(self) -> bool:
        """Whether its controls must answer the prompts."""
        return self.test == "set" and self.effect != ON_FIXED_TEXT

    def concerns(self, models: Mapping[str, str]) -> bool:
        """Whether it is about a pair of models, given as tuning -> name."""
        return not self.models or models.get(self.tuning) in self.models


def claims_file(path: str | Path) -> tuple[Any, list[Problem]]:
    """What a claims file holds, as plain values, and what YAML reads otherwise than it is written.

    Raises:
        LengthlensError: it is missing or no YAML.
    """
    try:
        return plain_copy(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise LengthlensError(f"{path} does not exist; it should hold the claims") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LengthlensError(f"{path} is not YAML: {error}") from error


def read_hypotheses(path: str | Path) -> list[Hypothesis]:
    """The tests of a claims file, in its order.

    Raises:
        LengthlensError: the file is missing or no YAML, or a test is not what `settings.claims`
            and `problems_of` allow; lists everything that is wrong.
    """
    values, problems = claims_file(path)
    rows = (values.get("tests") or []) if isinstance(values, dict) else []
    problems += model_problems({"tests": rows}, Tests)
    problems = problems or problems_of(rows)
    if problems:
        lines = "\n".join(f"  - {problem}" for problem in problems)
        raise LengthlensError(f"the tests of {path} cannot be made:\n{lines}")
    return hypotheses_from(rows)


def problems_of(rows: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """What is wrong with tests together, where each key has a legal value."""
    found: list[Problem] = []
    first: dict[str, int] = {}
    about: dict[tuple[str, str], list[str]] = {}
    for index, row in enumerate(rows):
        path = ("tests", index)
        if first.setdefault(row["id"], index) != index:
            message = f"{row['id']} is also the id of tests[{first[row['id']]}]; choose another"
            found.append(Problem((*path, "id"), message))
        if row["status"] != CONFIRMATORY:
            continue
        if not row.get("models"):
            message = (
                "missing; a confirmatory test names the models that it was written for, before "
                "they were run (else make it exploratory)"
            )
            found.append(Problem((*path, "models"), message))
        for model in row.get("models", ()):
            about.setdefault((row["test"], model), []).append(row["id"])
    for (kind, model), ids in about.items():
        if len(ids) > MOST:
            message = f"{len(ids)} confirmatory {kind} tests are about {model} ({', '.join(ids)}); "
            message += f"a family has at most {MOST}: make the others exploratory"
            found.append(Problem(("tests",), message))
    return found


def as_values(hypotheses: Iterable[Hypothesis]) -> list[dict[str, Any]]:
    """Hypotheses as plain values, for a rule's `params`."""
    return [asdict(one) | {"models": list(one.models)} for one in hypotheses]


def hypotheses_from(values: Sequence[Mapping[str, Any]]) -> list[Hypothesis]:
    """The inverse of `as_values`; also from the rows of a claims file."""
    return [Hypothesis(**row | {"models": tuple(row.get("models", ()))}) for row in values]
