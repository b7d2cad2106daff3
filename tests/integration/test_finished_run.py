"""A whole small run: every column described, Snakemake's own report, the example, the page."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import h5py
import pandas as pd
import pytest
from other_libraries import (
    dumped,
    install_old_h5py,
    sums_by_h5py,
    sums_by_netcdf4,
    sums_by_old_h5py,
)
from study import LITTLE, ROOT, finished_study, snakemake

from lengthlens.analysis.registry import TABLES
from lengthlens.figures.registry import FIGURES

pytestmark = pytest.mark.slow

CONFIG = (
    """
run: finished
languages: [en, it]
n_words: [3, 5]
forced: {per_n: 2}
ablation: {k: [1], further_k: [1], controls: 3, answered_controls: 1, further_controls: 1,
  base_controls: 1, base_prompts: 2}
probes: {n_words: [6], per_n: 2}
patching: {per_n: 4, further_per_n: 1}
figures: {dpi: 60, formats: [png, svg, pdf]}
report: {answers: 2}
"""
    + LITTLE
)
ONLY_OF_SOME_MODELS = {"steps/attention_scale"}  # pocket has no norm after attention
_DIMENSION = "This is a netCDF dimension but not a netCDF variable"
NAME = re.compile(r"`([^`]+)`")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the whole study was run once, very small."""
    return finished_study(tmp_path_factory.mktemp("project"), CONFIG)


def described() -> dict[str, list[str]]:
    """Heading -> names in the first columns of the tables below it, in docs/files.md."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in (ROOT / "docs/files.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("##"):
            heading = line.lstrip("# ")
        elif line.startswith("| `"):
            found.setdefault(heading, []).extend(NAME.findall(line.split(" | ")[0]))
    return found


def explained(name: str, names: Iterable[str], used: set[str]) -> bool:
    """Whether a name is described: by itself, or as a described one with a described ending."""
    if name in names:
        used.add(name)
        return True
    for pattern in names:
        if pattern.startswith("…") and name.endswith(pattern[1:]):
            stem = name.removesuffix(pattern[1:])
        elif pattern.endswith("…") and name.startswith(pattern[:-1]):
            stem = name.removeprefix(pattern[:-1])
        else:
            continue
        if explained(stem, names, used):
            used.add(pattern)
            return True
    return False


def names_in(path: Path) -> set[str]:
    """All keys, columns, variables or datasets of a file."""
    if path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").splitlines()
        return {key for line in lines for key in json.loads(line)}
    if path.suffix == ".csv":
        return set(pd.read_csv(path, nrows=0).columns)
    found: set[str] = set()
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.add(name) if hasattr(item, "shape") else None)
        # A dimension without coordinates is a dataset, too, which says that it means nothing.
        found -= {name for name in found if _DIMENSION in str(file[name].attrs.get("NAME", ""))}
    return found


def check(heading: str, paths: Iterable[Path], further: Iterable[str] = ()) -> set[str]:
    """Every name of the files is described under the heading, and the other way round.

    Args:
        further: described elsewhere, and not in all of these files.

    Returns:
        Which of `further` occur.
    """
    own = described()[heading]
    paths = list(paths)
    assert paths, heading
    actual = set().union(*map(names_in, paths))
    used: set[str] = set()
    unknown = {name for name in actual if not explained(name, [*own, *further], used)}
    assert unknown == set(), f"{heading}: not in docs/files.md"
    assert set(own) - used - ONLY_OF_SOME_MODELS == set(), f"{heading}: described, but not there"
    return used & set(further)


KINDS = {
    "prompts/{language}.jsonl": "prompts/*.jsonl",
    "generations/{model}.{language}.jsonl": "generations/*.jsonl",
    "activations/{model}.{language}.h5": "activations/*.h5",
    "attribution/{model}.{language}.nc": "attribution/*.nc",
    "tokens/{model}.{language}.jsonl": "tokens/*.jsonl",
    "cwa.nc": "cwa.nc",
    "patching/{model}.{language}.nc": "patching/*.nc",
    "circuits/{model}.{language}.nc": "circuits/*.nc",
    "tracing/{model}.{language}.nc": "tracing/*.nc",
    "attention/{model}.{language}.nc": "attention/*.nc",
    "paths/{model}.{language}.nc": "paths/*.nc",
    "contrasts/{model}.{language}.nc": "contrasts/*.nc",
    "count/{model}.{language}.nc": "count/*.nc",
    "selection/{model}.{language}.csv": "selection/*.csv",
    "ablation/{model}.{language}.nc": "ablation/*.nc",
    "repair/{model}.{language}.nc": "repair/*.nc",
    "transplant/{untuned}--{tuned}.{language}.nc": "transplant/*.nc",
    "claims.csv": "claims.csv",
}


@pytest.mark.parametrize("heading", KINDS)
def test_every_column_is_described_and_every_description_is_of_a_column(project, heading):
    check(heading, (project / "results/finished").glob(KINDS[heading]))


def test_every_column_of_files_that_build_on_others_is_described(project):
    run, names = project / "results/finished", described()
    check(
        "probes/{model}.{language}.jsonl",
        run.glob("probes/*.jsonl"),
        names["generations/{model}.{language}.jsonl"],
    )
    check(
        "forced/{model}.{language}.nc",
        run.glob("forced/*.nc"),
        names["attribution/{model}.{language}.nc"],
    )


def test_every_column_of_the_tables_is_described(project):
    folder, shared = project / "results/finished/tables", described()["tables/*.csv"]
    assert {path.stem for path in folder.glob("*.csv")} == set(TABLES)
    used: set[str] = set()
    for name in TABLES:
        heading = f"tables/{name}.csv"
        if heading in described():
            used |= check(heading, [folder / f"{name}.csv"], shared)
        else:  # shared columns only, which the page says under a heading of its own
            assert f"### {heading}" in (ROOT / "docs/files.md").read_text(encoding="utf-8")
            actual = names_in(folder / f"{name}.csv")
            assert all(explained(column, shared, used) for column in actual), heading
    assert set(shared) - used == set(), "described as shared, but in no table"


def test_snakemakes_own_report_has_figures_with_captions_and_categories(project):
    done = snakemake(project, "--report", "own.html", "--configfile", "small.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (project / "own.html").read_text(encoding="utf-8")
    results, categories = variable(page, "results"), variable(page, "categories")
    assert {"Behaviour", "Attribution", "Causes"} <= set(categories)
    shown = {path for parts in categories.values() for paths in parts.values() for path in paths}
    for name in FIGURES:
        caption = (ROOT / f"rules/captions/{name}.rst").read_text(encoding="utf-8")
        for ending in ("png", "svg", "pdf"):
            path = f"results/finished/figures/{name}.{ending}"
            entry = results[path]
            assert path in shown
            assert entry["labels"]["format"] == ending.upper() and entry["labels"]["figure"]
            words = html.unescape(re.sub(r"<[^>]+>", "", entry["caption"])).split()
            assert words[:6] == caption.split()[:6]
            data = base64.b64decode(entry["data_uri"].rpartition(",")[2])
            assert data == (project / path).read_bytes()


def test_every_array_of_the_run_is_read_by_older_and_other_libraries(project, tmp_path):
    """h5py of 2024, and for netCDF also netCDF-C."""
    old = install_old_h5py(tmp_path / "old")
    paths = [p for p in (project / "results/finished").rglob("[!.]*") if p.suffix in (".h5", ".nc")]
    assert {path.parent.name for path in paths} >= {
        *("activations", "shards", "attribution", "forced", "ablation", "repair", "finished")
    }
    for path in paths:
        ours, found = sums_by_h5py(path), sums_by_old_h5py(path, old)
        assert {key: found[key] for key in ours} == pytest.approx(ours, rel=1e-6), path
        if path.suffix == ".nc":
            assert sums_by_netcdf4(path) == pytest.approx(ours, rel=1e-6), path


@pytest.mark.parametrize("program", ["ncdump", "h5dump"])
def test_every_array_of_the_run_is_read_by_programs(project, program):
    paths = [p for p in (project / "results/finished").rglob("[!.]*") if p.suffix in (".h5", ".nc")]
    for path in paths:
        if program == "h5dump" or path.suffix == ".nc":
            assert dumped(program, path)


def variable(page: str, name: str) -> dict:
    """A variable of the script of Snakemake's page."""
    start = re.search(rf'var {name} = (?={{")', page)
    assert start, f"Snakemake's report has no {name}: was its form changed?"
    return json.JSONDecoder().raw_decode(page, start.end())[0]


def test_the_example_runs(project):
    done = subprocess.run(
        [sys.executable, ROOT / "examples/analyse_cwa.py", project / "results/finished"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [difference] = re.findall(r"differs from cwa.nc by (\S+) logits", done.stdout)
    assert float(difference) < 1e-4
    assert len(re.findall(r"^L\dH\d ", done.stdout, re.MULTILINE)) == 5
