"""One function to open each kind of file that a run leaves behind; all check before they return.

A file is refused, in words that say what to do, when it is missing, broken, of another format
version, or does not say what made it. Tables come as pandas data frames and arrays as xarray
datasets; of both, `attrs["provenance"]` is a dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from lengthlens.errors import LengthlensError
from lengthlens.files import formats
from lengthlens.files.identity import check_agreement, check_language, check_model
from lengthlens.files.jsonl import read_rows_made
from lengthlens.files.netcdf import read_dataset
from lengthlens.files.provenance import check_schema
from lengthlens.files.tables import read_table
from lengthlens.language.ids import language_of
from lengthlens.language.languages import load_language
from lengthlens.weights.checkpoints import read_manifest

if TYPE_CHECKING:
    from lengthlens.generation.activations import Activations

_THOUGHT = ("thinking_tokens", "cut_thinking")
_WHOLE = {"head": "Int64", "rank": "Int64"}  # integers that may be missing
_MAYBE_EMPTY = (  # text of tables that may be empty
    *("absent", "component", "family", "layers", "minus", "notes", "passed_over", "reference"),
    "template",
)


def open_prompts(path: str | Path) -> pd.DataFrame:
    """Prompts of one language, a row each: id, language, n, topic, template, split, text."""
    needed = ("id", "language", "n", "topic", "template", "split", "text")
    return _lines(path, formats.PROMPTS, needed)


def open_generations(path: str | Path) -> pd.DataFrame:
    """Answers of one model in one language, a row each; `tokens` holds lists of token ids."""
    needed = ("sample_id", "prompt_id", "n", "topic", "split", "text", "tokens", "words", "error")
    return _lines(path, formats.GENERATIONS, (*needed, "stopped", "truncated", *_THOUGHT))


def open_probes(path: str | Path) -> pd.DataFrame:
    """Answers to the probes of one model in one language, a row each; their kind is in `probe`."""
    needed = ("sample_id", "n", "topic", "text", "tokens", "words", "error", "truncated")
    needed += _THOUGHT
    table = _lines(path, formats.PROBES, (*needed, "probe", "tokens_per_word", "one_token"))
    numbers = ("tokens_per_word", "one_token")  # null where an answer has no word
    return table.astype({name: float for name in numbers})


def open_activations(path: str | Path) -> Activations:
    """Recorded activations of one model in one language; close it, or use it in a `with` block."""
    if not Path(path).exists():
        raise LengthlensError(
            f"{path} does not exist; run the stage generate, with activations.keep: true"
        )
    from lengthlens.generation.activations import open_activations as opened

    return opened(path)


def open_attribution(path: str | Path) -> xr.Dataset:
    """Attribution sums of every answer of one model in one language."""
    return _arrays(path, formats.ATTRIBUTION)


def open_tokens(path: str | Path) -> pd.DataFrame:
    """What pushed at each step of every answer, a row an answer; cells hold one entry a step."""
    needed = ("sample_id", "token", "text", "sign", "words", "decision", "margin", "to_end")
    needed += ("to_go_on", "dla_head", "dla_mlp", "dla_embed", "dla_bias")
    return _lines(path, formats.TOKENS, needed)


def open_cwa(path: str | Path) -> xr.Dataset:
    """Means of cumulative weighted attribution with intervals, of all models and languages."""
    return _arrays(path, formats.CWA)


def open_forced(path: str | Path) -> xr.Dataset:
    """What was measured on given answers of one model in one language (teacher forcing)."""
    return _arrays(path, formats.FORCED)


def open_patching(path: str | Path) -> xr.Dataset:
    """What carries N in the answers of one model in one language: patches and AtP."""
    return _arrays(path, formats.PATCHING)


def open_circuits(path: str | Path) -> xr.Dataset:
    """Margins of the circuits of one model in one language."""
    return _arrays(path, formats.CIRCUITS)


def open_tracing(path: str | Path) -> xr.Dataset:
    """Where N is in the answers of one model in one language, by layer and role."""
    return _arrays(path, formats.TRACING)


def open_attention(path: str | Path) -> xr.Dataset:
    """What the heads of one model look at when it decides, by role, and knockouts of it."""
    return _arrays(path, formats.ATTENTION)


def open_paths(path: str | Path) -> xr.Dataset:
    """Which component of one model hands N to which in one language, and where each matters."""
    return _arrays(path, formats.PATHS)


def open_contrasts(path: str | Path) -> xr.Dataset:
    """Where N is under templates with and without a final mark, and an early or a late number."""
    return _arrays(path, formats.CONTRASTS)


def open_count(path: str | Path) -> xr.Dataset:
    """The count in the stream of one model in one language: probes, steering, neurons."""
    return _arrays(path, formats.COUNT)


def open_selection(path: str | Path) -> pd.DataFrame:
    """Ranking of the components of one model in one language."""
    return read_table(path, formats.SELECTION, dtype=_WHOLE)


def open_ablation(path: str | Path) -> xr.Dataset:
    """Answers of one model in one language under every ablation condition."""
    return _arrays(path, formats.ABLATION)


def open_repair(path: str | Path) -> xr.Dataset:
    """How the drop of the end margin under ablation comes about, by component."""
    return _arrays(path, formats.REPAIR)


def open_transplants(path: str | Path) -> xr.Dataset:
    """What a pair's models do with parts of each other's weights, in one language."""
    return _arrays(path, formats.TRANSPLANT)


def open_claims(path: str | Path) -> pd.DataFrame:
    """Claims with their values, intervals and verdicts; empty texts where there is nothing."""
    texts = ("model", "tuning", "language", "statistic", "paper_says", "reason", "source")
    return _with_texts(path, formats.CLAIMS, texts)


def open_table(path: str | Path) -> pd.DataFrame:
    """Any file of the folder `tables`; text that may be missing is empty there, not NaN.

    `n` is text, for it may be "all".
    """
    return _with_texts(path, formats.TABLE, _MAYBE_EMPTY, n="string")


def _with_texts(path: str | Path, schema: str, texts: Sequence[str], **dtypes) -> pd.DataFrame:
    """A table whose columns `texts`, as far as it has them, are text, empty where it is missing."""
    table = read_table(path, schema, dtype=dict.fromkeys(texts, "string") | dtypes)
    return table.fillna({name: "" for name in texts if name in table})


def _lines(path: str | Path, schema: str, needed: tuple[str, ...]) -> pd.DataFrame:
    rows, made = read_rows_made(path, schema)
    for number, row in enumerate(rows, start=1):
        missing = [key for key in needed if key not in row]
        if missing:
            raise LengthlensError(
                f"{path}, row {number}: {', '.join(missing)} missing; delete it and run again"
            )
    table = pd.DataFrame(rows, columns=None if rows else list(needed))
    table.attrs["provenance"] = made
    return table


def _arrays(path: str | Path, schema: str) -> xr.Dataset:
    dataset = read_dataset(path, schema)
    try:
        made = json.loads(dataset.attrs["provenance"])
    except (KeyError, json.JSONDecodeError) as error:
        raise LengthlensError(
            f"{path} does not say what made it (its attribute `provenance` is missing or broken); "
            "delete it and run again"
        ) from error
    return dataset.assign_attrs(provenance=made)


def _proof(path: str | Path) -> dict:
    """What was found when the model was proven."""
    proof = read_manifest(path)
    check_schema(path, proof["provenance"]["schema"], formats.PROOF)
    return proof


def open_pairs(paths, pairs, opened: Callable) -> dict[tuple[str, str], object]:
    """Open one file of every (model, language), in order.

    Args:
        paths: files, in the order of `pairs`.
        pairs: (model, language), as lists or tuples.
        opened: the reader.

    Raises:
        LengthlensError: a file is another model's, or two were made from other weights or with
            another configuration.
    """
    files = {}
    for (model, language), path in zip(pairs, paths, strict=True):
        file = files[model, language] = opened(path)
        check_model(path, file.attrs["provenance"], model)
        check_language(path, _languages(file), language)
    origins = [file.attrs["provenance"] for file in files.values()]
    check_agreement(dict(zip(map(str, paths), origins, strict=True)))
    return files


def _languages(file: pd.DataFrame | xr.Dataset) -> set[str]:
    """The languages of the answers in a file, where it tells them."""
    if "language" in file:
        return set(file["language"].to_numpy().tolist())
    if isinstance(file, xr.Dataset) and "sample_id" in file.coords:
        return {language_of(str(name)) for name in file["sample_id"].to_numpy()}
    return set()


def open_answers(paths, pairs) -> pd.DataFrame:
    """The answers of all models and languages under one another, with the column `model`.

    `attrs["provenance"]` maps "model.language" to the provenance of each file.
    """
    tables = open_pairs(paths, pairs, open_generations)
    parts = [
        table.assign(model=model, language=language) for (model, language), table in tables.items()
    ]
    for part in parts:
        part.attrs = {}  # so that concat need not compare them
    answers = pd.concat(parts, ignore_index=True)
    answers.attrs["provenance"] = {
        f"{model}.{language}": table.attrs["provenance"]
        for (model, language), table in tables.items()
    }
    return answers


_SOURCES = {
    "generations": open_generations,
    "tokens": open_tokens,
    "attributions": open_attribution,
    "forced": open_forced,
    "selections": open_selection,
    "ablations": open_ablation,
    "repairs": open_repair,
    "probes": open_probes,
    "patching_files": open_patching,
    "circuits_files": open_circuits,
    "tracing_files": open_tracing,
    "attention_files": open_attention,
    "paths_files": open_paths,
    "contrasts_files": open_contrasts,
    "count_files": open_count,
    "transplants_files": open_transplants,
    "pair_patching_files": open_patching,
    "proofs": _proof,
    "languages": load_language,
}


def open_source(
    name: str, paths: Sequence[str], keys: Sequence[Sequence[str]] | None = None
) -> pd.DataFrame | xr.Dataset | dict:
    """What figures and tables are made from.

    Args:
        name: `answers`, `cwa`, one of `targets.SOURCES`, or the name of a table.
        paths: its files.
        keys: what each file is of: (model, language), (untuned, tuned, language), or a single name.

    Returns:
        A table or a dataset; where there are keys, one of each (`answers` are in one table).
    """
    if name == "cwa":
        return open_cwa(paths[0])
    if keys is None:
        return open_table(paths[0])
    if name == "answers":
        return open_answers(paths, keys)
    if len(keys) and len(keys[0]) == 2:
        return open_pairs(paths, keys, _SOURCES[name])
    names = [tuple(key) if len(key) > 1 else key[0] for key in keys]
    return dict(zip(names, map(_SOURCES[name], paths), strict=True))


def origins(source: pd.DataFrame | xr.Dataset | dict) -> list[dict]:
    """The provenance of every file of a source that tells it, in their order."""
    if isinstance(source, dict):
        return [file.attrs["provenance"] for file in source.values() if hasattr(file, "attrs")]
    made = source.attrs["provenance"]
    return [made] if "schema" in made else list(made.values())


def open_sources(given: Any, reads: Mapping[str, Sequence | None]) -> dict[str, Any]:
    """Several sources of one study, by name.

    Args:
        given: the files of each by name, and perhaps of others: the input of a rule.
        reads: what is opened -> its keys, as `open_source` takes them.

    Raises:
        LengthlensError: as `identity.check_agreement`.
    """
    paths = {name: list(given[name]) for name in reads}
    data = {name: open_source(name, paths[name], keys) for name, keys in reads.items()}
    check_together(paths, data)
    return data


def check_together(paths: Mapping[str, Sequence[str | Path]], data: Mapping) -> None:
    """Check that several sources, as `open_source` gives them, are of one study.

    Raises:
        LengthlensError: as `identity.check_agreement`.
    """
    told = (zip(paths[name], origins(data[name]), strict=False) for name in data)
    check_agreement({str(path): made for pairs in told for path, made in pairs})
