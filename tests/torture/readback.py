"""Every file of a run by its kind, opened with the readers that the workflow uses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from study import results_below

import lengthlens
from lengthlens.reporting.embed import embed_figure
from lengthlens.weights.checkpoints import read_manifest

FOLDERS = {
    "prompts": lengthlens.open_prompts,
    "generations": lengthlens.open_generations,
    "probes": lengthlens.open_probes,
    "tokens": lengthlens.open_tokens,
    "selection": lengthlens.open_selection,
    "tables": lengthlens.open_table,
    "attribution": lengthlens.open_attribution,
    "forced": lengthlens.open_forced,
    "ablation": lengthlens.open_ablation,
    "repair": lengthlens.open_repair,
}
SINGLE = {"cwa.nc": lengthlens.open_cwa, "claims.csv": lengthlens.open_claims}


def kind_of(path: Path) -> str | None:
    """The kind of a file; None for those that nothing reads: pages, PDF, PNG beside an SVG."""
    folder = path.parent.name
    if path.name.endswith(".provenance.json"):
        return "provenance"
    if folder == "shards":
        return "shards of activations" if path.suffix == ".h5" else "shards of answers"
    if folder == "activations":
        return "linked activations"
    if folder == "figures":
        return "figures" if path.suffix == ".svg" else None
    if folder == "weights":
        return "manifests of weights"
    return folder if folder in FOLDERS else {"cwa.nc": "cwa", "claims.csv": "claims"}.get(path.name)


def kinds(results: Path) -> dict[str, list[Path]]:
    """Kind -> the files of a run of that kind."""
    found: dict[str, list[Path]] = {}
    for name in results_below(results):
        if kind := kind_of(results / name):
            found.setdefault(kind, []).append(results / name)
    return found


def read_back(path: str | Path) -> str:
    """A hash over all that a reader gives of a file."""
    path = Path(path)
    if path.suffix == ".h5":
        return _digest(*_recorded(path))
    if path.suffix == ".svg":
        return _digest(embed_figure(path, "x", "y"))
    if path.suffix == ".json":
        return _digest(json.dumps(read_manifest(path), sort_keys=True))
    folder = "generations" if path.parent.name == "shards" else path.parent.name
    found = (SINGLE.get(path.name) or FOLDERS[folder])(path)
    made = json.dumps(found.attrs["provenance"], sort_keys=True)
    if path.suffix == ".nc":
        parts = [f"{name} {values.dims} {values.to_numpy().tolist()}"
                 for name, values in sorted(found.variables.items())]  # fmt: skip
        return _digest(made, *parts)
    return _digest(made, found.to_csv())


def _recorded(path: Path):
    with lengthlens.open_activations(path) as opened:
        yield json.dumps([opened.samples.sample_id, opened.provenance], sort_keys=True)
        for column in opened.steps().columns().values():
            yield str(column.tolist())
        for term in vars(opened.residuals()).values():
            yield str(None if term is None else term.float().numpy().tobytes())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
