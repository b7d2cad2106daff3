"""What is wrong with a configuration beyond the form of each key: keys against each other,
against the language resources and against the models' folders."""

import datetime
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lengthlens.configuration.pairs import check_pairs, check_shapes
from lengthlens.errors import LengthlensError
from lengthlens.files.validation import KeyPath, Problem, show, suggest
from lengthlens.language.languages import Language, check_parallel, load_language, missing_forms
from lengthlens.language.prompts import SPLITS, build_prompts
from lengthlens.language.unspaced import counting_problem
from lengthlens.settings.sections import Model
from lengthlens.weights.adapters import adapter_problem
from lengthlens.weights.checkpoints import PROMPTED, local_folder
from lengthlens.weights.checks import (
    number_of_heads,
    quick_problems,
    template_problem,
)
from lengthlens.weights.gguf_header import file_problem
from lengthlens.weights.hub_cache import snapshot_folder
from lengthlens.weights.made import MADE_BELOW, dequantized_folder
from lengthlens.weights.places import odd_place

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

    def usable(*keys: str | KeyPath) -> bool:
        paths = [tuple(key.split(".")) if isinstance(key, str) else key for key in keys]
        return not any(_on_one_line(path, bad) for path in paths for bad in malformed)

    problems: list[Problem] = []
    for needs, check in CHECKS:
        if usable(*needs):
            problems += check(values)

    languages: dict[str, Language] = {}
    for path in (("languages",), ("probes", "languages")):
        for index, code in enumerate(_at(values, path, list)):
            if usable((*path, index)) and code not in languages:
                try:
                    languages[code] = _load(code, root)
                except LengthlensError as error:
                    problems.append(Problem((*path, index), str(error)))
    numbers = usable("n_words", "probes.n_words")
    forms = list(check_plurals(values, languages.values())) if numbers else []
    asked = usable("prompts.per_n", "prompts.seed", "n_words", "probes.per_n")
    if languages and not forms and asked:
        problems += check_prompts(values, languages)
    problems += forms
    if usable("counting"):
        problems += check_counting(values["counting"], languages.values())
    if usable("ablation.untuned"):
        problems += check_untuned(values["ablation"]["untuned"], languages, root)

    given = _at(values, ("models",), dict)
    models = {name: model for name, model in given.items() if usable(("models", name))}
    folders = {name: _folder(model, root) for name, model in models.items()}
    for name, model in models.items():
        problems += check_model(name, model, folders[name], root)
    here = {name: folder for name, folder in folders.items() if folder is not None}
    if models and len(models) == len(given) and usable("pairs"):
        problems += _pair_problems(values["pairs"], models, here)
    problems += check_twins(models, root)
    problems += check_series(models)
    for key in ("k", "further_k"):
        if usable(f"ablation.{key}"):
            problems += check_heads(key, values["ablation"][key], here)
    return problems, {code: _capacity(language) for code, language in languages.items()}


def _pair_problems(
    pairs: Sequence[Mapping[str, str]],
    models: Mapping[str, dict[str, Any]],
    folders: Mapping[str, Path],
) -> list[Problem]:
    variants = {name: model["variant"] for name, model in models.items()}
    return [*check_pairs(pairs, variants)] or [*check_shapes(pairs, variants, folders)]


def _on_one_line(one: KeyPath, other: KeyPath) -> bool:
    """Whether two paths are the same, or one stands above the other."""
    return all(a == b for a, b in zip(one, other, strict=False))


def _at(values: Any, path: KeyPath, kind: type) -> Any:
    """A list or mapping of the configuration; empty where there is none."""
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values if isinstance(values, kind) else kind()


def _load(code: str, root: Path) -> Language:
    path = root / LANGUAGES / f"{code}.yaml"
    if not path.is_file():
        raise LengthlensError(_no_file(code, root))
    return load_language(path)


def _no_file(code: str, root: Path) -> str:
    known = sorted(path.stem for path in (root / LANGUAGES).glob("*.yaml"))
    return (
        f"{show(code)} has no resource file {LANGUAGES}/{code}.yaml; "
        f"legal: {', '.join(known) or 'none'}, or add that file{suggest(code, known)}"
    )


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


def check_plurals(values: dict[str, Any], languages: Iterable[Language]) -> Iterator[Problem]:
    """Every language has its wordings in the plural forms that the study's numbers take."""
    asked = {("n_words",): values["n_words"], ("probes", "n_words"): values["probes"]["n_words"]}
    for path, numbers in asked.items():
        for language in languages:
            if problem := missing_forms(language, numbers):
                yield Problem(path, problem)


def check_counting(counting: str, languages: Iterable[Language]) -> Iterator[Problem]:
    """The words of every language can be counted."""
    for language in languages:
        texts = [*language.neutral, *(template.text for template in language.templates)]
        if problem := counting_problem(texts, counting):
            yield Problem(
                ("counting",), f"{counting} cannot count {show(language.code)}: {problem}"
            )


def check_untuned(codes: Sequence[str], used: Iterable[str], root: Path) -> Iterator[Problem]:
    """No code is misspelt: those of other runs are ignored, but they have a resource file."""
    for index, code in enumerate(codes):
        if code not in used and not (root / LANGUAGES / f"{code}.yaml").is_file():
            yield Problem(("ablation", "untuned", index), _no_file(code, root))


def check_tokens(values: dict[str, Any]) -> Iterator[Problem]:
    """Answers of the largest N fit into max_new_tokens, their stop token included."""
    n_words, probed = values["n_words"], values["probes"]["n_words"]
    for section, key, numbers, safe in (
        ("generation", "n_words", n_words, 64),
        ("generation", "probes.n_words", probed, 64),
        ("ablation", "n_words", n_words, 40),
    ):
        limit, largest = values[section]["max_new_tokens"], max(numbers, default=0)
        if limit != "auto" and limit <= largest:
            yield Problem(
                (section, "max_new_tokens"),
                f"{limit} cuts every answer of {largest} words ({key}) before its end; "
                f"legal: more than {largest}, about {max(safe, 8 * largest)} to be safe",
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
    languages = [*values["languages"], *values["probes"]["languages"]]
    for key, names in (("models", values["models"]), ("languages", languages)):
        first: dict[str, str] = {}
        for name in names:
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


def check_named_languages(values: dict[str, Any]) -> Iterator[Problem]:
    """Languages that a section names for itself are languages of the run."""
    for section, key in (("count", "steered"), ("transplant", "languages")):
        named = values[section][key]
        for index, code in enumerate([] if named == "auto" else named):
            if code not in values["languages"]:
                yield Problem(
                    (section, key, index),
                    f"{show(code)} is no language of this run; legal: auto, or some of "
                    + ", ".join(values["languages"]),
                )


_TOKENS = ("n_words", "probes.n_words", "generation.max_new_tokens", "ablation.max_new_tokens")
CHECKS: list[tuple[tuple[str, ...], Callable[[dict[str, Any]], Iterator[Problem]]]] = [
    (_TOKENS, check_tokens),
    (("generation.samples", "generation.temperature"), check_samples),
    (("generation.date",), check_date),
    (("ablation.modes", "ablation.positions", "n_words"), check_resample),
    (("models", "languages", "probes.languages"), check_letter_case),
    (("figures.formats",), check_formats),
    (("count.steered", "transplant.languages", "languages"), check_named_languages),
]


def check_model(
    name: str, model: dict[str, Any], folder: Path | None, root: Path
) -> Iterator[Problem]:
    """A model is given in one way; if local, it is whole."""
    path = ("models", name)
    given = [key for key in ("path", "hub", "gguf") if key in model]
    if len(given) != 1:
        which = " and ".join(f"`{key}`" for key in given) or "none of `path`, `hub` and `gguf`"
        yield Problem(
            path,
            f"{show(model)} has {which}; legal: exactly one (models given by the user "
            "replace the default set, so each must be complete)",
        )
        return
    yield from _made_problems(path, model, folder, root)
    if "hub" in model and "revision" not in model:
        yield Problem(
            (*path, "revision"),
            "missing, so the weights could change from one run to the next; legal: a commit "
            "hash (or a tag or branch), see the model's page under Files, History",
        )
    if "revision" in model and "hub" not in model:
        yield Problem((*path, "revision"), "only a `hub` model has a revision; remove the key")
    if "path" in model:
        try:
            yield from _folder_problems(path, model, folder)
        except OSError as error:
            yield _unreadable(path, model, "path", error)


def _brace(name: str) -> str | None:
    """A brace in the name of a file or folder that is an input of rules."""
    if not set("{}") & set(name):
        return None
    return (
        f"{show(name)} holds a brace, which Snakemake takes for a wildcard; rename it, or link it "
        "under another name"
    )


def _unreadable(path: KeyPath, model: dict[str, Any], key: str, error: OSError) -> Problem:
    """No permission, a name that is too long, …"""
    return Problem((*path, key), f"{show(model[key])} cannot be read ({error.strerror})")


def _made_problems(
    path: KeyPath, model: dict[str, Any], folder: Path | None, root: Path
) -> Iterator[Problem]:
    """What is wrong with a GGUF file or an adapter, told by small reads."""
    checks: dict[str, tuple[str, Callable[[], str | None]]] = {}
    if file := Model(**model).gguf:
        if file.pip is None:
            checks["gguf"] = file.file, lambda: file_problem(local_folder(file.file, root))
        elif file.sha256 is None:
            yield Problem(
                (*path, "gguf", "sha256"),
                "missing, so nothing would say whether the package holds the file that is meant; "
                "legal: its SHA-256, as sha256sum prints it",
            )
    if adapter := model.get("adapter"):
        checks["adapter"] = adapter, lambda: adapter_problem(local_folder(adapter, root), folder)
    for key, (name, check) in checks.items():
        try:
            if wrong := _brace(name) or check():
                yield Problem((*path, key), wrong)
        except OSError as error:
            yield _unreadable(path, model, key, error)


def _folder_problems(path: KeyPath, model: dict[str, Any], folder: Path) -> Iterator[Problem]:
    if odd := _brace(model["path"]) or odd_place(folder):
        yield Problem((*path, "path"), odd)
        return
    if not folder.is_dir():
        yield Problem(
            (*path, "path"),
            f"{show(model['path'])} is not a folder (looked for {show(str(folder))}); "
            "legal: a folder with a model in transformers' format",
        )
        return
    for problem in quick_problems(folder):
        yield Problem((*path, "path"), problem)
    if "adapter" in model:  # which may bring a chat template
        return
    if wrong := template_problem(folder, model["variant"], model.get("template", {})):
        yield Problem((*path, wrong[0]), wrong[1])


def check_twins(models: Mapping[str, dict[str, Any]], root: Path) -> Iterator[Problem]:
    """No two names stand for the same model, prompted and stopped alike."""
    first: dict[tuple, str] = {}
    for name, model in models.items():
        gguf = json.dumps(model.get("gguf"), sort_keys=True)
        source = model.get("hub"), model.get("revision"), gguf, model.get("adapter")
        if "path" in model:
            source = _real(local_folder(model["path"], root)), model.get("adapter")
        prompted = {key: model.get(key, default) for key, default in PROMPTED.items()}
        prompted["stop_tokens"] = sorted(map(repr, prompted["stop_tokens"]))
        told = json.dumps(prompted, sort_keys=True)
        other = first.setdefault((source, model["variant"], told), name)
        if other != name:
            yield Problem(
                ("models", name),
                f"the same model as {show(other)}, and prompted in the same way; legal: another "
                "`path`, `hub`, `gguf` or `adapter`, another `variant`, or remove one of them",
            )


def check_series(models: Mapping[str, dict[str, Any]]) -> Iterator[Problem]:
    """A checkpoint of a series has a step, and no other one has the same."""
    first: dict[tuple, str] = {}
    for name, model in models.items():
        if ("series" in model) != ("step" in model):
            missing = "step" if "series" in model else "series"
            message = "missing; a checkpoint of a series has both, series and step"
            yield Problem(("models", name, missing), message)
        elif "series" in model:
            other = first.setdefault((model["series"], model["step"]), name)
            if other != name:
                message = f"{show(model['step'])} is the step of {show(other)}, too; correct one"
                yield Problem(("models", name, "step"), message)


def check_heads(key: str, sizes: Sequence[int], folders: Mapping[str, Path]) -> Iterator[Problem]:
    """Some of the sizes are within the heads of every model that is here; others are left out."""
    for name, folder in folders.items():
        if (found := number_of_heads(folder)) is None:
            continue
        layers, heads = found
        if sizes and min(sizes) > layers * heads:
            yield Problem(
                ("ablation", key),
                f"{show(list(sizes))} is more than the {layers * heads} heads of {show(name)} "
                f"({layers} layers × {heads}), so nothing would be ablated there; "
                f"legal: at least one size from 1 to {layers * heads}",
            )


def _real(folder: Path) -> str:
    """The folder without links, as far as it can be looked at."""
    try:
        return os.path.realpath(folder)
    except (OSError, ValueError):
        return os.path.abspath(folder)


def _folder(model: Mapping[str, Any], root: Path) -> Path | None:
    """Where a model lies on this machine, if it does; of one with an adapter the one without."""
    if "gguf" in model:
        folder = Path(MADE_BELOW) / dequantized_folder(Model(**model).gguf)
        return folder if folder.is_dir() else None
    if "path" in model:
        return local_folder(model["path"], root)
    if "hub" in model and "revision" in model:
        return snapshot_folder(model["hub"], model["revision"])
    return None
