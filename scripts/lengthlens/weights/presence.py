"""Whether each model is there, how large it is, and what to do where it is not.

Asked once before any job starts, and by `make doctor`. Only a model that still has to be fetched
makes this use the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.weights.adapters import adapter_problem, numbers_in
from lengthlens.weights.checkpoints import (
    ModelSpec,
    check_files,
    gguf_path,
    local_folder,
    model_folder,
    spec_folder,
)
from lengthlens.weights.fetching import bytes_on_hub
from lengthlens.weights.gguf_header import gguf_problem, read_header
from lengthlens.weights.hub_cache import (
    cache_folder,
    how_to_do_without,
    is_offline,
    repository_folder,
)
from lengthlens.weights.made import free_bytes, room_problem


@dataclass(frozen=True)
class Presence:
    """One model: a line that says where it is, what is wrong, if anything, and bytes to fetch.

    `there`: whether it is on this machine, usable or not.
    """

    name: str
    state: str
    problem: str | None = None
    to_fetch: int = 0
    there: bool = False


def check_models(specs: Iterable[ModelSpec], fetched: dict[str, bool]) -> list[Presence]:
    """Look for every model.

    Args:
        specs: the models.
        fetched: for a hub model whether it was fetched before, by its name. What was fetched must
            still be in the cache; what was not is going to be fetched, so the hub is asked for it.
            Of a GGUF file or with an adapter: whether the model was made before.
    """
    found = [check_model(spec, fetched.get(spec.name, False)) for spec in specs]
    together, free = sum(model.to_fetch for model in found), free_bytes(cache_folder())
    if together > free and not any(model.problem for model in found):
        last = next(place for place in reversed(range(len(found))) if found[place].to_fetch)
        found[last] = replace(
            found[last], problem=_no_room("All models together need", together, free)
        )
    return found


def check_model(spec: ModelSpec, was_fetched: bool) -> Presence:
    """Look for one model; see `check_models`."""
    if spec.is_made and not was_fetched:
        return _to_make(spec)
    if spec.hub is not None and not spec.is_made and not was_fetched:
        try:
            model_folder(spec)
        except LengthlensError:
            return _to_fetch(spec)
    try:
        folder = check_files(spec)
    except LengthlensError as error:
        there = _is_there(spec)
        state = "not usable" if there else "not there"
        return Presence(spec.name, f"{spec.source}, {state}", str(error), there=there)
    size = _size(path for path in folder.iterdir() if path.is_file())
    return Presence(spec.name, f"{spec.source}, {_gigabytes(size)}", there=True)


def what_is_wrong(found: Iterable[Presence]) -> str:
    """Which models are missing and which are there but cannot be used, in a few words."""
    wrong = [model for model in found if model.problem is not None]
    kinds = {
        "cannot be used": [model.name for model in wrong if model.there],
        "cannot be found or fetched": [model.name for model in wrong if not model.there],
    }
    return " and ".join(f"{', '.join(names)} {kind}" for kind, names in kinds.items() if names)


def _is_there(spec: ModelSpec) -> bool:
    """Whether there is anything where the model should be."""
    try:
        return spec_folder(spec).exists()
    except (LengthlensError, OSError):
        return False


def told(found: Iterable[Presence]) -> str:
    """The models as lines of text, what is wrong with them last."""
    found = list(found)
    width = max((len(model.name) for model in found), default=0)
    lines = [f"  {model.name:{width}}  {model.state}" for model in found]
    problems = [model.problem for model in found if model.problem is not None]
    return "\n".join(["Models:", *lines, *(f"\n{problem}" for problem in problems)])


def _to_make(spec: ModelSpec) -> Presence:
    """A model that is made of a GGUF file or with an adapter, and whether these are right."""
    to_fetch, base = 0, None
    if spec.adapter is not None:
        there = check_model(spec.base, False)
        if there.problem is not None:
            return replace(there, state=f"{spec.source}, {there.state.rpartition(', ')[2]}")
        to_fetch, base = there.to_fetch, _base_of(spec)
    if told := what_makes(spec, base):
        state = f"{spec.source}, not usable"
        return Presence(spec.name, state, f"Model {spec.name}: {told}", there=True)
    state = f"{spec.source}, to be made below {spec.made_below}"
    return Presence(spec.name, state, None, to_fetch, there=True)


def what_makes(spec: ModelSpec, base: Path | None) -> str | None:
    """What is wrong with the GGUF file or the adapter of a model, as far as they are here.

    Args:
        spec: which model.
        base: of a model with an adapter, the folder of the one without, or the GGUF file that it
            will be made of; None if neither is here.
    """
    if spec.adapter is not None:
        adapter = local_folder(spec.adapter, spec.root)
        numbers = 0 if base is None else numbers_in(base)
        problem = adapter_problem(adapter, base)
    else:
        path = gguf_path(spec)
        problem = gguf_problem(path) if path.exists() or spec.gguf.pip is None else None
        numbers = read_header(path).numbers if problem is None and path.exists() else 0
    return problem or room_problem(Path(spec.made_below), numbers)


def _base_of(spec: ModelSpec) -> Path | None:
    """The folder of a model without its adapter, or its GGUF file: whichever is here."""
    try:
        places = [spec_folder(spec.base), *([gguf_path(spec)] if spec.gguf is not None else [])]
    except LengthlensError:  # a hub model that is going to be fetched
        return None
    return next((place for place in places if place.exists()), None)


def _to_fetch(spec: ModelSpec) -> Presence:
    """A hub model that is not in the cache, or not whole: what is to be fetched, and if it fits."""
    not_there = f"{spec.source}, not there"
    if is_offline():
        problem = (
            f"Model {spec.name}: {spec.source} is not in the hub's cache, and HF_HUB_OFFLINE "
            f"forbids to fetch it; unset it, or {how_to_do_without(spec.hub, spec.revision)}"
        )
        return Presence(spec.name, not_there, problem)
    try:
        total = bytes_on_hub(spec)
    except LengthlensError as error:
        return Presence(spec.name, not_there, str(error))
    # Files that are not finished will start anew.
    blobs = repository_folder(spec.hub).glob("blobs/*")
    there = _size(path for path in blobs if path.suffix != ".incomplete")
    missing, free = max(0, total - there), free_bytes(cache_folder())
    state = (
        f"{spec.source}, {_gigabytes(missing)} to fetch into {cache_folder()} "
        f"({_gigabytes(free)} free)"
    )
    problem = None
    if missing > free:
        problem = _no_room(f"Model {spec.name}: {spec.source} needs", missing, free)
    return Presence(spec.name, state, problem, missing)


def _no_room(what: str, missing: int, free: int) -> str:
    return (
        f"{what} {_gigabytes(missing)}, but {cache_folder()} has {_gigabytes(free)} free; "
        "make room, or set HF_HOME to a folder on a larger disk"
    )


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
