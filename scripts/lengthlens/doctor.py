"""What this machine has for a study: versions, GPU, disk, access to the hub, and the models.

`python -m lengthlens.doctor [config.yaml …]` in the folder `scripts`, or `make doctor`. Every line
begins with `ok`, `--` (not there, and not needed by every study) or `!!` (to be mended). Nothing
is changed, and of secrets only whether they are there is told.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from lengthlens.checkpoints import ModelSpec
from lengthlens.config import ConfigurationError, Study
from lengthlens.errors import LengthlensError
from lengthlens.gpus import visible_gpus
from lengthlens.hub_cache import cache_folder, endpoint, has_token, is_offline
from lengthlens.presence import check_model
from lengthlens.targets import Paths
from lengthlens.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
OK, ABSENT, WRONG = "ok", "--", "!!"
Finding = tuple[str, str]
SMALL_DISK = 5e9


def check_versions() -> Iterator[Finding]:
    """Python and the pinned packages."""
    yield OK if sys.version_info >= (3, 11) else WRONG, f"Python {platform.python_version()}"
    pinned = (ROOT / "envs/requirements.txt").read_text(encoding="utf-8")
    others = []
    for name, wanted in re.findall(r"^([\w.-]+)==([\d.]+)", pinned, flags=re.MULTILINE):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield WRONG, f"{name} is not installed; run `make .venv/runtime.stamp`"
            continue
        if found.partition("+")[0] != wanted:
            others.append(f"{name} {found} (tested with {wanted})")
    yield (ABSENT, "other versions: " + ", ".join(others)) if others else (OK, "pinned packages")


def check_gpu() -> Iterator[Finding]:
    """What torch sees, and whether the machine has a GPU that it does not see."""
    import torch

    built = torch.version.cuda or "none"
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield OK, f"GPU {index}: {found.name}, {found.total_memory / 1e9:.0f} GB (CUDA {built})"
    if torch.cuda.device_count():
        return
    if gpus := visible_gpus():
        yield (
            WRONG,
            f"the machine has {len(gpus)} GPU(s), but torch {torch.__version__} (CUDA: {built}) "
            "uses none; install a torch built for CUDA and check the driver with nvidia-smi",
        )
    else:
        yield ABSENT, f"no GPU (torch {torch.__version__}); pocket needs none"


def check_machine() -> Iterator[Finding]:
    """Cores, memory and disk."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield OK, f"{os.cpu_count()} cores, {memory / 1e9:.0f} GB of memory"
    for folder in (ROOT / "results", cache_folder()):
        there = folder
        while not there.is_dir():
            there = there.parent
        free = shutil.disk_usage(there).free
        writable = os.access(there, os.W_OK)
        state = OK if free > SMALL_DISK and writable else WRONG
        yield state, f"{folder}: {free / 1e9:.0f} GB free{'' if writable else ', not writable'}"


def check_hub() -> Iterator[Finding]:
    """Token (whether there is one) and network."""
    yield (
        OK if has_token() else ABSENT,
        f"access token for the hub: {'set' if has_token() else 'none'}",
    )
    if is_offline():
        yield ABSENT, "HF_HUB_OFFLINE is set: models are taken from the cache alone"
        return
    from huggingface_hub import HfApi

    try:
        HfApi().whoami() if has_token() else HfApi().model_info("openai-community/gpt2", timeout=10)
    except Exception as error:  # whatever the network library raises
        yield ABSENT, f"{endpoint()} does not answer as it should ({type(error).__name__})"
    else:
        yield OK, f"{endpoint()} answers"


def check_slurm() -> Iterator[Finding]:
    """Whether profiles/slurm could run here."""
    if shutil.which("sbatch") is None:
        yield ABSENT, "no Slurm here"
        return
    try:
        found = metadata.version("snakemake-executor-plugin-slurm")
    except metadata.PackageNotFoundError:
        yield WRONG, "Slurm, but not its plugin: pip install -r envs/requirements-slurm.txt"
    else:
        yield OK, f"Slurm, and Snakemake's plugin {found}"


def check_study(files: Sequence[str]) -> Iterator[Finding]:
    """The configuration and its models."""
    config, _ = read_yaml(ROOT / "config.yaml")
    given: dict = {}
    for file in files:
        content, _ = read_yaml(file)
        if content is not None and not isinstance(content, dict):
            yield WRONG, f"{file} is not a mapping of keys to values; see config.yaml"
            return
        _merge(given, content or {})
    try:
        study = Study.from_config(_merge(config, given), given, ROOT, files)
    except ConfigurationError as error:
        yield WRONG, str(error)
        return
    yield OK, f"the configuration of the run {study.run}"
    paths = Paths(study)
    for name, entry in study.values["models"].items():
        spec = ModelSpec.from_config(name, entry)
        model = check_model(spec, (ROOT / paths.manifest(name)).exists())
        yield ((OK, f"{name}: {model.state}") if model.problem is None else (WRONG, model.problem))


def _merge(below: dict, above: dict) -> dict:
    """Merge nested dictionaries as Snakemake does, in place."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = value
    return below


def main(files: Sequence[str]) -> int:
    """Print all findings; 1 if something is to be mended."""
    wrong = 0
    for check in (check_versions, check_gpu, check_machine, check_hub, check_slurm):
        for state, text in check():
            wrong += state == WRONG
            print(f"{state}  {text}")
    try:
        for state, text in check_study(files):
            wrong += state == WRONG
            print(f"{state}  {text}")
    except (OSError, LengthlensError) as error:
        print(f"{WRONG}  {error}")
        return 1
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
