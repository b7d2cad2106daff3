"""All outputs of one small study, made twice at different places.

Equal byte by byte; each says what made it; none tells of a machine.
"""

from __future__ import annotations

import base64
import getpass
import html
import json
import re
import shutil
import socket
import zlib
from pathlib import Path

import pytest
from study import LITTLE, copy_project, results_below, snakemake

from lengthlens.files.provenance import sidecar

pytestmark = pytest.mark.slow

# One model lies outside of the project, as users' own do; pdf is drawn too.
CONFIG = (
    """
run: twice
models:
  base: {path: %s, variant: base}
  instruct: {path: resources/pocket/instruct, variant: instruct}
languages: [en]
n_words: [3]
ablation: {k: [1], further_k: [], controls: 3, answered_controls: 2, base_controls: 1}
probes: {languages: [], n_words: [4], per_n: 2}
figures: {dpi: 60, formats: [png, svg, pdf]}
"""
    + LITTLE
)
SEEDS = ("prompts", "generation")  # sections with the seeds that every result depends on


def made_in(folder: Path, forked: bool) -> Path:
    """Run the study in a copy of the project below `folder`; gives its results."""
    project = copy_project(folder / "project")
    away = folder / "private" / "model-7"
    shutil.copytree(project / "resources/pocket/base", away)
    (project / "study.yaml").write_text(CONFIG % away)
    done = snakemake(project, "all", "--configfile", "study.yaml", forked=forked)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return project / "results"


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> tuple[Path, Path]:
    """Results of the same study in two folders whose paths differ in length.

    Jobs of the first are processes of their own, those of the other are forks of one.
    """
    first = made_in(tmp_path_factory.mktemp("a"), forked=False)
    return first, made_in(tmp_path_factory.mktemp("another-place") / "and" / "deeper", forked=True)


def outputs(results: Path) -> dict[str, Path]:
    """What a run leaves, name -> path; weights' names hold a key of their folder.

    Without logs and what is hidden, which is this machine's: second names of shards, stamps.
    """
    return {
        re.sub(r"^weights/base\.[0-9a-f]{8}", "weights/base.KEY", name): results / name
        for name in results_below(results)
    }


def test_two_runs_are_equal_byte_by_byte(both):
    first, second = map(outputs, both)
    assert list(first) == list(second) and len(first) > 80
    differing = [name for name in first if first[name].read_bytes() != second[name].read_bytes()]
    assert not differing


def made_of(path: Path) -> dict:
    """The provenance of an output, wherever it has it."""
    content = path.read_bytes()
    if path.suffix in (".csv", ".jsonl", ".md"):
        return json.loads(sidecar(path).read_text())
    if path.suffix in (".nc", ".h5"):
        import h5py

        with h5py.File(path) as file:
            return json.loads(file.attrs["provenance"])
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as image:
            return json.loads(image.text["Source"])
    if path.suffix == ".svg":
        return json.loads(html.unescape(re.search(r"<dc:source>(.*?)</dc:source>", path.read_text(), re.DOTALL)[1]))  # fmt: skip # noqa: E501
    if path.suffix == ".pdf":
        [found] = re.findall(rb"/Keywords \((.*?[^\\])\)", content, re.DOTALL)
        return json.loads(re.sub(rb"\\([()\\])", rb"\1", found))
    if path.suffix == ".html":
        return json.loads(html.unescape(re.search('<meta name="provenance" content="(.*?)">', path.read_text())[1]))  # fmt: skip # noqa: E501
    values = json.loads(content)
    return values.get("provenance", values)


def test_every_output_leads_to_configuration_weights_code_versions_and_seed(both):
    seen = set()
    for name, path in outputs(both[0]).items():
        if name.endswith(".provenance.json"):
            continue
        seen.add(path.suffix)
        made = made_of(path)
        if name.startswith("weights/"):
            assert len(made["sha256"]) == 64, name
            continue
        assert {"schema", "lengthlens", "commit", "dirty", "versions"} <= set(made), name
        assert "numpy" in made["versions"] and "torch" in made["versions"], name
        seeds = {"twice/prompts": SEEDS[:1], "twice/proofs": ()}.get(name.rpartition("/")[0], SEEDS)
        for section in seeds:
            assert isinstance(made["config"][section]["seed"], int), name
        if not name.startswith("twice/prompts"):
            weights = made.get("models") or {made["model"]["model"]: made["model"]["sha256"]}
            assert weights and all(len(digest) == 64 for digest in weights.values()), name
    assert seen == {".csv", ".jsonl", ".nc", ".h5", ".png", ".svg", ".pdf", ".html", ".json", ".md"}


def texts_of(path: Path) -> bytes:
    """What can be read in a file: its bytes, and the packed parts of a PDF or PNG."""
    content = path.read_bytes()
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as image:
            return json.dumps(image.text).encode()
    packed = b""
    if path.suffix == ".pdf":
        for part in re.findall(rb"stream\r?\n(.*?)endstream", content, re.DOTALL):
            try:
                packed += zlib.decompress(part)
            except zlib.error:
                continue
    if path.suffix == ".html":  # inline pictures, which could look like anything
        content = re.sub(rb"data:image/png;base64,[\w+/=]+", b"", content)
    return content + packed


def test_no_output_tells_of_the_machine(both):
    private = {str(both[0].parents[1]), str(Path.home()), "private/model-7", "/home/", "/tmp/"}
    names = {name for name in (getpass.getuser(), socket.gethostname()) if len(name) > 3}
    for name, path in outputs(both[0]).items():
        text = texts_of(path)
        for word in private | {base64.b64encode(b"private/model-7").decode()}:
            assert word.encode() not in text, f"{name} tells {word}"
        for word in names - {"root"}:
            assert not re.search(rb"\b%s\b" % re.escape(word).encode(), text), f"{name}: {word}"
        assert not re.search(rb"\bhf_[A-Za-z0-9]{20,}", text), f"{name} holds a token"
