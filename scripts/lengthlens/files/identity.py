"""Do files belong together? Compares what made them, and names both sides where they differ.

Two files fit if every model that both name has the same weights, and every key of the configuration
that both hold has the same value, those aside that differ between the models or languages of one
study. Commits may differ: a drawing that was edited does not make answers stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lengthlens.errors import LengthlensError

THIS_RUN = "this run"
COMPUTATION = "computation"  # key of what computed a shard, in its provenance
# Base models get fewer controls, tests are of one language, a model's precision is its own.
OWN = ("ablation", "dtype", "models", "tests")


def weights_in(made: Mapping) -> dict[str, str]:
    """Model -> hash of its files, of a provenance that names one model, several or none."""
    model = made.get("model")
    own = {model["model"]: model["sha256"]} if model else {}
    return own | dict(made.get("models", {}))


def described(made: Mapping) -> str:
    """What made a file, in a few words."""
    weights = weights_in(made)
    models = ", ".join(f"{name} of weights {hash_[:12]}" for name, hash_ in weights.items())
    return models or "no model"


def this_run(config: Mapping, manifest: Mapping | None = None) -> dict[str, dict]:
    """The side of the comparison that stands for the running job."""
    made: dict[str, Any] = {"config": dict(config)}
    if manifest is not None:
        made["model"] = manifest
    return {THIS_RUN: made}


def check_agreement(origins: Mapping[str, Mapping]) -> None:
    """Check that files were made from the same weights with the same configuration.

    Args:
        origins: what is compared -> its provenance: paths, and perhaps `this_run`.

    Raises:
        LengthlensError: two of them differ; names both, and the value of each.
    """
    weights: dict[str, tuple[str, str]] = {}
    config: dict[str, tuple[Any, str]] = {}
    for label, made in origins.items():
        for model, found in weights_in(made).items():
            wanted, first = weights.setdefault(model, (found, label))
            if found != wanted:
                raise LengthlensError(
                    f"{label} was made from other weights of {model} ({found[:12]}) than {first} "
                    f"({wanted[:12]}); {_cure(label, first)}"
                )
        shared = {k: v for k, v in made.get("config", {}).items() if k not in OWN}
        for key, value in _leaves(shared):
            wanted, first = config.setdefault(key, (value, label))
            if value != wanted:
                raise LengthlensError(
                    f"{label} was made with {key} = {value!r}, but {first} with {key} = "
                    f"{wanted!r}: they are of different runs; {_cure(label, first)}"
                )


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What differs between two descriptions of a computation, in words; empty where nothing does.

    `differences({"torch": "2.9"}, {"torch": "2.10"})` is "torch 2.9 instead of 2.10".
    """
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    values = [(key, before.get(key, "unknown"), now.get(key, "unknown")) for key in keys]
    return ", ".join(f"{key} {old} instead of {new}" for key, old, new in values)


def check_computation(origins: Mapping[str, Mapping]) -> dict[str, str]:
    """Check that shards were computed alike: device, precision, versions of packages.

    Returns:
        What computed them all; empty where none of them tells.

    Raises:
        LengthlensError: two of them differ; names both, and in what.
    """
    (first, made), *others = origins.items()
    wanted = made.get(COMPUTATION, {})
    for label, other in others:
        if changes := differences(other.get(COMPUTATION, {}), wanted):
            raise LengthlensError(
                f"{label} was made with {changes} as {first}: such numbers must not be joined; "
                "delete those shards that you do not want to keep and run again, they are then "
                "made with what this machine has now"
            )
    return dict(wanted)


def check_model(path: Any, made: Mapping, model: str) -> None:
    """Check that a file was made by the model that it is taken for.

    Raises:
        LengthlensError: naming both models.
    """
    found = made.get("model", {}).get("model", model)
    if found != model:
        raise LengthlensError(
            f"{path} is taken for {model}'s, but was made by {found}; delete it and run again"
        )


def check_language(path: Any, languages: Iterable[str], language: str) -> None:
    """Check that answers are in the language that a file is taken for.

    Raises:
        LengthlensError: naming both languages.
    """
    others = sorted(set(languages) - {language})
    if others:
        raise LengthlensError(
            f"{path} is taken for answers in {language}, but holds some in {', '.join(others)}; "
            "delete it and run again"
        )


def inherited(config: Mapping, sources: Iterable[Mapping]) -> dict[str, Any]:
    """A configuration with that of the files it was applied to; without what differs among them."""
    found: dict[str, Any] = {}
    differing = set()
    for source in sources:
        for key, value in _leaves(source.get("config", {})):
            if found.setdefault(key, value) != value:
                differing.add(key)
    found = {key: value for key, value in found.items() if key not in differing}
    result: dict[str, Any] = {}
    for key, value in (found | dict(_leaves(config))).items():
        *above, last = key.split(".")
        target = result
        for part in above:
            target = target.setdefault(part, {})
        target[last] = value
    return result


def _cure(label: str, first: str) -> str:
    if THIS_RUN in (label, first):
        return f"delete {first if label == THIS_RUN else label} and run again"
    return "delete the older of both and run again"


def _leaves(values: Mapping, above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of all that is no mapping; lists and tuples count as equal."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", list(value) if isinstance(value, tuple) else value
