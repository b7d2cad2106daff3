# Names and code dependencies that all stages share.
import os

from snakemake.logging import logger

from lengthlens.language.prompts import load_language, one_of_each
from lengthlens.weights.arrival import arrival_problem
from lengthlens.settings.sections import AblationPlan
from lengthlens.weights.checkpoints import ModelSpec, local_folder
from lengthlens.weights.made import MADE_BELOW, fetched_file, file_key, made_folder
from lengthlens.workflow.dependencies import modules_of
from lengthlens.workflow.gpus import gpu_problem
from lengthlens.workflow.progress import tell_progress
from lengthlens.workflow.targets import provenance_of
from lengthlens.workflow.surroundings import date_problems, disk_problem, space_warning
from lengthlens.ablation.hypotheses import as_values, read_hypotheses
from lengthlens.weights.presence import check_models, told, what_is_wrong

# Relative, for Snakemake remembers the names of inputs: a project that is moved stays up to date.
PROJECT = Path(os.path.relpath(ROOT))
SCRIPTS = PROJECT / "scripts"


def project_file(path):
    """A file of this folder as an input: where another workflow gives a `prefix` for results, it
    does not stand before this one."""
    return local(str(path if Path(path).is_relative_to(PROJECT) else PROJECT / path))


CLAIMS = project_file("resources/claims.yaml")
LANGUAGE_FILES, PROBED_LANGUAGE_FILES = (
    [project_file(f"resources/languages/{code}.yaml") for code in codes]
    for codes in (study.languages, study.probed_languages)
)


def code(script, *named):
    """A script and the package's modules that it imports, as inputs: an edit reruns the rule."""
    file = SCRIPTS / f"{script}.py"
    return [project_file(path) for path in (file, *modules_of(file, *named))]


def with_sidecars(files):
    """Files by name, each one or a list, as inputs: beside the text files of them stands what made
    them."""
    lists = ([given] if isinstance(given, str) else given for given in files.values())
    texts = [file for each in lists for file in each if file.endswith((".csv", ".jsonl"))]
    return files | {"provenance": [provenance_of(file) for file in texts]}


def manifest(wildcards):
    return paths.manifest(wildcards.model)


LANGUAGE = project_file("resources/languages/{language}.yaml")
PROMPTS = paths.below("prompts/{language}.jsonl")
ANSWERS = paths.below("generations/{model}.{language}.jsonl")
ATTRIBUTION = paths.below("attribution/{model}.{language}.nc")
# The rankings of a model in all languages, for transfer needs the others'.
SELECTIONS = [paths.below(f"selection/{{model}}.{code}.csv") for code in study.languages]
# NOTE not ancient(): with it Snakemake overlooks other inputs that changed when the proof is made
# anew.
PROOF = paths.below("proofs/{model}.json")
MODEL = {  # params of its script
    "name": lambda wildcards: wildcards.model,
    "model": lambda wildcards: study.model_entry(wildcards.model),
}


def of_model(script, **files):
    """Inputs of a rule that runs a model in a language on some files."""
    given = {"code": code(script), "manifest": manifest, "proof": PROOF, "language": LANGUAGE}
    return given | with_sidecars(files)


def files_in(folder):
    """The files of a folder that a model or an adapter is read from."""
    endings = ("*.safetensors", "*.json", "*.jinja", "*.model")
    found = (path for ending in endings for path in local_folder(folder, PROJECT).glob(ending))
    return sorted(local(str(path)) for path in found)


def model_files(entry):
    """Files of a local model, or the folder that it is made into; those of a hub model are in the
    hub's cache."""
    if entry.is_made:
        return [f"{MADE_BELOW}/{made_folder(entry)}"]
    return [] if entry.path is None else files_in(entry.path)


def fetched(wildcards):
    """The record of a hub model's fetch; others need none."""
    entry = study.models[wildcards.model]
    if entry.hub is None or entry.adapter is not None:
        return {}
    return {"fetched": paths.fetched(wildcards.model)}


def gguf_files(entries):
    """The GGUF files of some models, by the key in names of files."""
    return {file_key(entry.gguf): entry.gguf for entry in entries if entry.gguf}


# What is made, by the key in its file names: GGUF files, and a model of each adapter and base.
GGUF_FILES = gguf_files(study.models.values())
MERGED = {
    made_folder(entry).partition(".")[2]: name
    for name, entry in study.models.items()
    if entry.adapter is not None
}


def gguf_file(wildcards):
    """A GGUF file of this machine, or the one that comes in a package."""
    file = GGUF_FILES[wildcards.key]
    if file.pip is not None:
        return f"{MADE_BELOW}/{fetched_file(file)}"
    return local(str(local_folder(file.file, PROJECT)))


def base_files(wildcards):
    """What the model of an adapter is read from."""
    name = MERGED[wildcards.key]
    base = study.models[name].model_copy(update={"adapter": None})
    return {"fetched": paths.fetched(name)} if base.hub is not None else {"base": model_files(base)}


def all_instructions():
    """Every template of every language with every number, those of the probes included."""
    numbers = dict.fromkeys((*study.n_words, *study.probes.n_words))
    return one_of_each([load_language(path) for path in PROBED_LANGUAGE_FILES], numbers)


def check_before_jobs(workflow):
    """Stop before any job where the coming ones would fail: no disk to write to, files dated in the
    future, no GPU to run on, or no model."""
    jobs = list(workflow.dag.needrun_jobs())
    wrong = [
        disk_problem(Path(study.results)),
        *date_problems(f for job in jobs for f in job.input),
    ]
    if jobs and any(wrong):
        raise WorkflowError("No job was started: " + "\n".join(filter(None, wrong)) + ".")
    asked = [job.resources.get("disk_mb") for job in jobs]
    if scarce := space_warning(Path(study.results), sum(n for n in asked if isinstance(n, int))):
        logger.warning(scarce)
    if workflow.local_exec and any(job.resources.get("gpu") for job in jobs):
        if problem := gpu_problem(study.generation.device):
            raise WorkflowError(f"No job was started: {problem}.")
    needed = {job.wildcards.get("model") for job in jobs}
    specs = [
        ModelSpec.from_config(name, study.model_entry(name))
        for name in study.models
        if name in needed
    ]
    coming = {str(file) for job in jobs for file in job.output}

    def was_there(spec):
        manifest = paths.manifest(spec.name)
        return Path(manifest).exists() and not (spec.is_made and manifest in coming)

    found = check_models(specs, {spec.name: was_there(spec) for spec in specs})
    if found:
        logger.info(told(found))
    if any(model.problem for model in found):
        raise WorkflowError(f"No job was started: {what_is_wrong(found)}, see above.")
    texts = all_instructions()
    problems = [arrival_problem(spec, texts, study.generation.date) for spec in specs]
    if told_problems := "\n".join(problem for problem in problems if problem):
        raise WorkflowError(f"No job was started: {told_problems}")


def look_for_jobs_when_one_ends(workflow):
    """Lift Snakemake's limit of 100 job starts a second, its default, on the local machine.

    For its sake Snakemake looks for jobs once a second, and once more for every job that has ended,
    and asks for the size of every input each time: late in a run that takes a processor core.
    """
    limit = getattr(workflow.scheduler, "job_rate_limiter", None)
    if workflow.local_exec and limit is not None and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


# A generation job's name, and the shards that it makes.
JOB, SHARDS = "{model}.{language}", paths.shards()
if study.jobs.shards == "one":
    JOB = "{model}.{language}.n{n}.{i}"
    SHARDS = [paths.below(f"shards/{JOB}")]


def shard_files(ending, shards=paths.shards()):
    """One file of each shard, as patterns."""
    return [f"{shard}.{ending}" for shard in shards]


def shards_of_job(wildcards):
    """The shards that a generation job answers."""
    if study.jobs.shards == "one":
        shards = [study.shard(wildcards.language, int(wildcards.n), int(wildcards.i))]
    else:
        shards = study.shards(wildcards.language)
    return [
        {
            "name": f"{wildcards.model}.{shard.name}",
            "n": shard.n,
            "start": shard.start,
            "stop": shard.stop,
        }
        for shard in shards
    ]


def is_untuned(wildcards):
    return study.tunings[wildcards.model] == "untuned"


def ablation_plan(wildcards):
    """What plans the conditions, with the number of controls that an untuned or a tuned model gets."""
    plan = study.slice(*(f"ablation.{key}" for key in AblationPlan.model_fields))["ablation"]
    plan["modes"] = study.ablation_modes
    if is_untuned(wildcards):
        for key in ("controls", "test_controls", "answered_controls", "further_controls"):
            plan[key] = min(plan[key], study.ablation.base_controls)
    return plan


def ablation_prompts(wildcards):
    """How many evaluate prompts are answered at most; None for all."""
    return study.ablation.base_prompts if is_untuned(wildcards) else None


def set_tests(wildcards):
    """The tests of sets of heads that one model's ablation in one language must provide for."""
    mine = (study.tunings[wildcards.model], wildcards.language)
    return as_values(
        one
        for one in read_hypotheses(CLAIMS)
        if one.test == "set"
        and (one.tuning, one.language) == mine
        and (not one.models or wildcards.model in one.models)
    )


def other_answers(wildcards):
    """The answers of the other model of a pair, with their provenance."""
    other = paths.partner(wildcards.model)
    if other is None:
        return {}
    answers = ANSWERS.format(model=other, language=wildcards.language)
    return {"other_answers": answers, "other_provenance": provenance_of(answers)}


def own_patching(wildcards):
    """The patches of a tuned model; others have none."""
    patched = paths.below("patching/{model}.{language}.nc").format(**wildcards)
    return {"patching": patched} if patched in paths.source("patching_files") else {}


def other_model(wildcards):
    other = paths.partner(wildcards.model)
    return {} if other is None else {other: study.model_entry(other)}


def study_answers(wildcards):
    """The study's own answers in a language, where it has any."""
    return with_sidecars({"answers": ANSWERS}) if wildcards.language in study.languages else {}


def figure_files(name, category, label):
    """A figure in all formats, each an entry of Snakemake's own report."""
    entry = {"caption": f"captions/{name}.rst", "category": category}
    files = {ending: paths.below(f"figures/{name}.{ending}") for ending in study.figures.formats}
    labels = {ending: {"figure": label, "format": ending.upper()} for ending in files}
    return [report(file, labels=labels[ending], **entry) for ending, file in files.items()]
