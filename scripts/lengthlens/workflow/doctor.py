"""What this machine has for a study: versions, GPU, disk, access to the hub, and the models.

`make doctor CONFIG=…` prints it. Every line begins with `ok`, `--` (not there, and not needed by
every study) or `!!` (to be mended). Nothing is changed, and of secrets only whether they are there
is told.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from lengthlens.configuration.sources import Sources, merge
from lengthlens.configuration.study import ConfigurationError, Study, config_schema
from lengthlens.errors import LengthlensError
from lengthlens.files.provenance import commit
from lengthlens.files.yaml_files import read_yaml
from lengthlens.weights.checkpoints import ModelSpec
from lengthlens.weights.fetching import ANSWER_SECONDS, is_unreachable
from lengthlens.weights.hub_cache import cache_folder, endpoint, has_token, is_offline
from lengthlens.weights.made import free_bytes
from lengthlens.weights.presence import check_models
from lengthlens.workflow.gpus import gpu_problem, visible_gpus
from lengthlens.workflow.surroundings import date_problems, disk_problem, path_problems
from lengthlens.workflow.targets import Paths

ROOT = Path(__file__).resolve().parents[3]
OK, ABSENT, WRONG = "ok", "--", "!!"
Finding = tuple[str, str]
SMALL_DISK = 5e9
A_MODEL = "openai-community/gpt2"  # that every hub has, to see whether there is one


def check_versions() -> Iterator[Finding]:
    """Python and the pinned packages."""
    yield OK if sys.version_info >= (3, 11) else WRONG, f"Python {platform.python_version()}"
    pinned = (ROOT / "envs/requirements.txt").read_text(encoding="utf-8")
    others = []
    for name, wanted in re.findall(r"^([\w.-]+)==([\d.]+)", pinned, flags=re.MULTILINE):
        if (found := _version_of(name)) is None:
            yield WRONG, f"{name} is not installed; run `make .venv/runtime.stamp`"
        elif found.partition("+")[0] != wanted:
            others.append(f"{name} {found} (tested with {wanted})")
    yield (ABSENT, "other versions: " + ", ".join(others)) if others else (OK, "pinned packages")


def _version_of(package: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return None


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
    cures = {
        Path("results").absolute(): "move the project, or link results, to another disk",
        cache_folder(): "set HF_HOME to another folder",
    }
    for folder, cure in cures.items():
        if problem := disk_problem(folder):
            yield WRONG, f"{problem}; or {cure}"
            continue
        free = free_bytes(folder)
        told = f"{folder}: {free / 1e9:.0f} GB free"
        if free < SMALL_DISK:
            yield WRONG, f"{told}, less than {SMALL_DISK / 1e9:.0f} GB; make room, or {cure}"
        else:
            yield OK, told


def check_surroundings() -> Iterator[Finding]:
    """Names of folders, dates of files, and whether the commit of the code is known."""
    wrong = [*path_problems(ROOT, Path.cwd()), *date_problems(_project_files())]
    for problem in wrong:
        yield WRONG, problem
    if not wrong:
        yield OK, "names of folders and dates of files"
    known = commit()
    if known["commit"] is None:
        yield ABSENT, f"results will not name the commit of the code: {known['no_commit']}"
    else:
        yield OK, f"commit {known['commit'][:12]}" + " with changes" * bool(known["dirty"])


def _project_files() -> Iterator[Path]:
    """What rules have as inputs: code, resources, settings."""
    yield ROOT / "config.yaml"
    for folder in ("scripts", "rules", "resources"):
        yield from (ROOT / folder).rglob("*")


def check_hub() -> Iterator[Finding]:
    """Token (whether there is one, and whether it is accepted) and network."""
    if not has_token():
        yield (
            ABSENT,
            "no access token for the hub; gated models, such as Llama, need one (`hf auth login`)",
        )
    if is_offline():
        yield ABSENT, "HF_HUB_OFFLINE is set: models are taken from the cache alone"
        return
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(A_MODEL, timeout=ANSWER_SECONDS)
    except Exception as error:  # whatever the network library raises
        kind = type(error).__name__
        if is_unreachable(error):
            yield (
                ABSENT,
                f"{endpoint()} cannot be reached ({kind}): no model can be fetched from here, and "
                "those that are here need no network; behind a proxy, set HTTPS_PROXY",
            )
            return
        yield ABSENT, f"{endpoint()} answers, but does not know {A_MODEL} ({kind})"
    else:
        yield OK, f"{endpoint()} answers"
    if has_token():
        yield _token_is_accepted()


def _token_is_accepted() -> Finding:
    from huggingface_hub import HfApi

    try:
        HfApi().whoami()
    except Exception as error:  # see above
        return (
            WRONG,
            f"{endpoint()} does not accept the access token ({type(error).__name__}); make a new "
            "one there that may read, and log in with it (`hf auth login`) or set HF_TOKEN",
        )
    return OK, "access token for the hub: accepted"


def check_slurm() -> Iterator[Finding]:
    """Whether profiles/slurm could run here."""
    if shutil.which("sbatch") is None:
        yield ABSENT, "no Slurm here"
    elif (found := _version_of("snakemake-executor-plugin-slurm")) is None:
        yield WRONG, "Slurm, but not its plugin: pip install -r envs/requirements-slurm.txt"
    else:
        yield OK, f"Slurm, and Snakemake's plugin {found}"


def check_study(files: Sequence[str]) -> Iterator[Finding]:
    """The configuration and its models."""
    config = read_yaml(ROOT / "config.yaml").content
    contents: dict = {}
    for file in files:
        content = read_yaml(file).content
        if content is not None and not isinstance(content, dict):
            yield WRONG, f"{file} is not a mapping of keys to values; see config.yaml"
            return
        contents[str(file)] = content or {}
    sources = Sources(contents)
    given = sources.given(config_schema())
    try:
        study = Study.from_config(merge(config, given), given, ROOT, sources)
    except ConfigurationError as error:
        yield WRONG, str(error)
        return
    yield OK, f"the configuration of the run {study.run}"
    yield from check_device(study.generation.device)
    paths = Paths(study)
    specs = [ModelSpec.from_config(name, study.model_entry(name)) for name in study.models]
    fetched = {spec.name: Path(paths.manifest(spec.name)).exists() for spec in specs}
    for model in check_models(specs, fetched):
        well = model.problem is None
        yield (OK, f"{model.name}: {model.state}") if well else (WRONG, model.problem)


def check_device(device: str) -> Iterator[Finding]:
    """Whether the model can run where the configuration says."""
    if (problem := gpu_problem(device)) is None:
        return
    if shutil.which("sbatch"):
        yield ABSENT, f"generation.device is {device}: there must be GPUs where Slurm runs the jobs"
    else:
        yield WRONG, problem


def line_of(state: str, text: str) -> str:
    """A finding as wide as the terminal at most, but for words that are longer than that."""
    width = max(shutil.get_terminal_size().columns - 5, 20)
    lines = [
        part
        for line in text.splitlines()
        for part in textwrap.wrap(
            line, width, break_long_words=False, break_on_hyphens=False,
            subsequent_indent=" " * (len(line) - len(line.lstrip())),
        ) or [""]
    ]  # fmt: skip
    return "\n    ".join([f"{state}  {lines[0] if lines else ''}", *lines[1:]])


def main(files: Sequence[str]) -> int:
    """Print all findings; 1 if something is to be mended."""
    wrong = 0
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the terminal can show, it is told
        sys.stdout.reconfigure(errors="backslashreplace")
    checks = check_versions, check_gpu, check_machine, check_surroundings, check_hub, check_slurm
    for check in (*checks, functools.partial(check_study, files)):
        try:
            for state, text in check():
                wrong += state == WRONG
                print(line_of(state, text), flush=True)
        except (OSError, LengthlensError) as error:
            print(line_of(WRONG, str(error)))
            wrong += 1
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
