"""Kept, temporary or never written: the attribution of the same answers is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from study import copy_project, snakemake

import lengthlens

pytestmark = pytest.mark.slow

MODES = ("true", "temp", "false")
JOBS = {"true": "all", "temp": "all", "false": "one"}
CONFIG = """
run: {mode}
languages: [it]
n_words: [4]
prompts: {{per_n: 3, shard: 4, seed: 3}}  # with this seed the fourth prompt is a select one
generation: {{max_new_tokens: 24}}
activations: {{keep: {mode}}}
jobs: {{shards: {jobs}}}
statistics: {{resamples: 200}}
"""


def whole(mode: str) -> list[str]:
    """The file of activations that a run keeps, if it does."""
    return ["results/keep-true/activations/pocket-instruct.it.h5"] if mode == "true" else []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("modes"))
    for mode in MODES:
        name = f"{mode}.yaml"
        (folder / name).write_text(
            CONFIG.format(mode=mode, jobs=JOBS[mode]).replace("run: ", "run: keep-")
        )
        attributed = [
            f"results/keep-{mode}/attribution/{model}.it.nc"
            for model in ("pocket-base", "pocket-instruct")
        ]
        done = snakemake(folder, *attributed, *whole(mode), "--configfile", name, forked=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_what_is_left_on_disk(project):
    left = {
        mode: {p.suffix for p in (project / f"results/keep-{mode}/shards").iterdir()}
        for mode in MODES
    }
    assert ".h5" in left["true"]
    assert ".h5" not in left["temp"] | left["false"]
    assert not list((project / "results/keep-temp/shards/.kept").rglob("*.h5"))
    with lengthlens.open_activations(project / whole("true")[0]) as recorded:
        assert len(recorded.samples) == 3  # of the four that the shard holds
        assert len(recorded.residuals().embed) == recorded.n_steps


@pytest.mark.parametrize("model", ["pocket-base", "pocket-instruct"])
@pytest.mark.parametrize("mode", ["temp", "false"])
def test_attribution_does_not_depend_on_the_way(project, model, mode):
    reference, other = (
        lengthlens.open_attribution(project / f"results/keep-{way}/attribution/{model}.it.nc")
        for way in ("true", mode)
    )
    assert list(reference.sample_id.values) == list(other.sample_id.values)
    for name in ("cwa_head", "cwa_mlp", "end_contrast_head", "n_steps", "completeness_error"):
        # Measured: equal to the last bit, except that activation sums add up in another order.
        np.testing.assert_array_equal(reference[name].values, other[name].values, err_msg=name)
    # All four prompts of the shard were generated, three are used. Sums of activations, which only
    # mean ablation reads, hold the fourth too where the shard was attributed while generating.
    assert (other["count"] >= reference["count"]).all()
