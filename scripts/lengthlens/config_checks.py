"""What is wrong with a configuration beyond the form of each key: keys against each other,
against the language resources and against the models' folders."""

import datetime
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.languages import Language, check_parallel, load_language
from lengthlens.prompts import SPLITS, build_prompts
from lengthlens.validation import KeyPath, Problem, show

LANGUAGES = "resources/languages"


def cross_problems(
    values: dict[str, Any], malformed: list[KeyPath], root: Path
) -> tuple[list[Problem], dict[str, int]]:
    """Run every check whose keys are well-formed.

    Args:
        values: a plain copy of the configuration, perhaps malformed.
        malformed: paths of the keys that the schema objected to.
        root: the project's folder.

    Returns:
        The problems, and for each language that can be read its number of different prompts for
        each N (topics × templates).
    """

    def usable(*path: str | int) -> bool:
        return not any(path[: len(bad)] == bad or bad[: len(path)] == path for bad in malformed)

    problems: list[Problem] = []
    for needs, check in CHECKS:
        if all(usable(*key.split(".")) for key in needs):
            problems += check(values)

    languages: dict[str, Language] = {}
    for path, codes in _language_lists(values):
        for index, code in enumerate(codes):
            if usable(*path, index) and code not in languages:
                try:
                    languages[code] = _load(code, root)
                except LengthlensError as error:
                    problems.append(Problem((*path, index), str(error)))
    prompts = ("prompts", "per_n"), ("prompts", "seed"), ("n_words",), ("probes", "per_n")
    if languages and all(usable(*key) for key in prompts):
        problems += check_prompts(values, languages)

    models = values.get("models")
    for name, model in models.items() if isinstance(models, dict) else []:
        if usable("models", name):
            problems += check_model(name, model, root)
    return problems, {code: _capacity(language) for code, language in languages.items()}


def _language_lists(values: dict[str, Any]) -> Iterator[tuple[KeyPath, list]]:
    """The lists of language codes of a configuration, as far as they are lists."""
    probes = values.get("probes")
    found = {
        ("languages",): values.get("languages"),
        ("probes", "languages"): probes.get("languages") if isinstance(probes, dict) else None,
    }
    return ((path, codes) for path, codes in found.items() if isinstance(codes, list))


def _load(code: str, root: Path) -> Language:
    path = root / LANGUAGES / f"{code}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in path.parent.glob("*.yaml"))) or "none"
        raise LengthlensError(
            f"{show(code)} has no resource file {LANGUAGES}/{code}.yaml; legal: {known}, "
            "or add that file"
        )
    return load_language(path)


def _capacity(language: Language) -> int:
    return len(language.topics) * len(language.templates)


def check_prompts(values: dict[str, Any], languages: dict[str, Language]) -> Iterator[Problem]:
    """Languages are parallel, none is asked for more prompts than it has, and both splits occur."""
    per_n, seed = values["prompts"]["per_n"], values["prompts"]["seed"]
    try:
        check_parallel(languages.values())
    except LengthlensError as error:
        yield Problem(("languages",), str(error))
        return
    first = next(iter(languages.values()))
    for section in ("probes", "prompts"):
        count = values[section]["per_n"]
        if count > _capacity(first):
            yield Problem(
                (section, "per_n"),
                f"{count} is more than the languages have; legal: at most {_capacity(first)} "
                f"({len(first.topics)} topics × {len(first.templates)} templates), or add some",
            )
    if per_n > _capacity(first):
        return
    try:
        splits = {
            prompt.split
            for n in values["n_words"]
            for prompt in build_prompts(first, n, 0, per_n, seed)
        }
    except LengthlensError as error:
        yield Problem(("prompts", "seed"), str(error))
        return
    for split in sorted(set(SPLITS) - splits):
        yield Problem(
            ("prompts", "per_n"),
            f"{per_n} prompts for each N leave the split `{split}` empty with seed {seed}; "
            "legal: more prompts, or another seed",
        )


def check_tokens(values: dict[str, Any]) -> Iterator[Problem]:
    """An answer of the largest N fits into max_new_tokens, its stop token included."""
    limit, largest = values["generation"]["max_new_tokens"], max(values["n_words"])
    if limit <= largest:
        yield Problem(
            ("generation", "max_new_tokens"),
            f"{limit} cuts every answer of {largest} words (n_words) before its end; "
            f"legal: more than {largest}, about {max(64, 8 * largest)} to be safe",
        )


def check_formats(values: dict[str, Any]) -> Iterator[Problem]:
    """The report can show one of the formats."""
    formats = values["figures"]["formats"]
    if not {"png", "svg"}.intersection(formats):
        yield Problem(
            ("figures", "formats"),
            f"{show(formats)} has nothing that the report can show; add png or svg",
        )


def check_samples(values: dict[str, Any]) -> Iterator[Problem]:
    """Greedy decoding gives one answer only."""
    generation = values["generation"]
    if generation["samples"] > 1 and generation["temperature"] == 0:
        yield Problem(
            ("generation", "samples"),
            f"{generation['samples']} greedy answers to a prompt would all be the same; "
            "legal: 1, or set generation.temperature above 0",
        )


def check_date(values: dict[str, Any]) -> Iterator[Problem]:
    """The date exists in the calendar."""
    date = values["generation"]["date"]
    try:
        datetime.date.fromisoformat(date)
    except ValueError:
        yield Problem(("generation", "date"), f"{show(date)} is no day of the calendar")


def check_letter_case(values: dict[str, Any]) -> Iterator[Problem]:
    """Names that differ in case only would share files on some file systems."""
    for key in ("models", "languages"):
        first: dict[str, str] = {}
        for name in values[key]:
            other = first.setdefault(name.lower(), name)
            if other != name:
                yield Problem(
                    (key,),
                    f"{show(other)} and {show(name)} differ in upper and lower case only "
                    "and would share files on some systems; rename one",
                )


def resample_possible(n_words: Sequence[int], positions: str) -> bool:
    """Whether resample has donors: they ask for another N, and give generated tokens only."""
    return len(n_words) > 1 and positions == "generated"


def check_resample(values: dict[str, Any]) -> Iterator[Problem]:
    """Where resample cannot be done it is left out (`resample_possible`), so it cannot be first."""
    ablation = values["ablation"]
    possible = resample_possible(values["n_words"], ablation["positions"])
    if ablation["modes"][0] == "resample" and not possible:
        yield Problem(
            ("ablation", "modes"),
            "resample, the first mode, needs two values in n_words (its donors ask for another N) "
            "and ablation.positions: generated; legal: another first mode, or both of these",
        )


CHECKS: list[tuple[tuple[str, ...], Callable[[dict[str, Any]], Iterator[Problem]]]] = [
    (("n_words", "generation.max_new_tokens"), check_tokens),
    (("generation.samples", "generation.temperature"), check_samples),
    (("generation.date",), check_date),
    (("ablation.modes", "ablation.positions", "n_words"), check_resample),
    (("models", "languages"), check_letter_case),
    (("figures.formats",), check_formats),
]


def check_model(name: str, model: dict[str, Any], root: Path) -> Iterator[Problem]:
    """A model is given in one way; if local, it is whole."""
    path = ("models", name)
    if ("path" in model) == ("hub" in model):
        which = "both `path` and `hub`" if "path" in model else "neither `path` nor `hub`"
        yield Problem(
            path,
            f"{show(model)} has {which}; legal: exactly one (models given by the user "
            "replace the default set, so each must be complete)",
        )
        return
    if "hub" in model:
        if "revision" not in model:
            yield Problem(
                (*path, "revision"),
                "missing, so the weights could change from one run to the next; legal: a commit "
                "hash (or a tag or branch), see the model's page under Files, History",
            )
        return
    if "revision" in model:
        yield Problem((*path, "revision"), "only a `hub` model has a revision; remove the key")
    folder = root / Path(model["path"]).expanduser()
    if not folder.is_dir():
        yield Problem(
            (*path, "path"),
            f"{show(model['path'])} is not a folder (looked for {folder}); "
            "legal: a folder with a model in transformers' format",
        )
        return
    if not isinstance(_read_json(folder / "config.json"), dict):
        yield Problem(
            (*path, "path"),
            f"{show(model['path'])} has no readable config.json; "
            "legal: a folder with a model in transformers' format",
        )
        return
    if model["variant"] == "instruct" and not _has_chat_template(folder):
        yield Problem(
            (*path, "variant"),
            f"instruct, but the tokenizer in {show(model['path'])} has no chat template; "
            "legal: base, or add a chat_template.jinja",
        )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _has_chat_template(folder: Path) -> bool:
    if any((folder / f"chat_template.{ending}").is_file() for ending in ("jinja", "json")):
        return True
    tokenizer = _read_json(folder / "tokenizer_config.json")
    return isinstance(tokenizer, dict) and bool(tokenizer.get("chat_template"))
