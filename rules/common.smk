# Names and code dependencies that all stages share.
import os

from lengthlens.dependencies import modules_of

# Relative, for Snakemake remembers the names of inputs: a project that is moved stays up to date.
PROJECT = Path(os.path.relpath(workflow.basedir))
SCRIPTS = PROJECT / "scripts"
VARIANTS = {name: model.variant for name, model in study.models.items()}
LANGUAGE_FILES = [str(PROJECT / f"resources/languages/{code}.yaml") for code in study.languages]


def code(script):
    """A script and the package's modules that it imports, as inputs: an edit reruns the rule."""
    return [str(SCRIPTS / f"{script}.py"), *map(str, modules_of(SCRIPTS / f"{script}.py"))]


def language_file(wildcards):
    return str(PROJECT / f"resources/languages/{wildcards.language}.yaml")


def manifest(wildcards):
    return paths.manifest(wildcards.model)


def model_entry(wildcards):
    return study.values["models"][wildcards.model]


def model_files(model):
    """Files of a local model; a hub model has none here, its revision stands for them."""
    if study.models[model].path is None:
        return []
    folder = PROJECT / Path(study.models[model].path).expanduser()
    endings = ("*.safetensors", "*.json", "*.jinja", "*.model")
    return sorted(str(path) for ending in endings for path in folder.glob(ending))


def shard_of(wildcards):
    shard = study.shard(wildcards.language, int(wildcards.n), int(wildcards.i))
    return {"n": shard.n, "start": shard.start, "stop": shard.stop}


def shard_files(ending):
    return lambda wildcards: paths.shards(wildcards.model, wildcards.language, ending)


def ablation_plan(wildcards):
    """The `ablation` section, with the number of controls that a model's variant gets."""
    plan = study.slice("ablation")["ablation"]
    base_controls = plan.pop("base_controls")
    if study.models[wildcards.model].variant == "base":
        plan["controls"] = base_controls
    return plan


def figure_files(name, category, label):
    """A figure in all formats, each an entry of Snakemake's own report."""
    entry = {"caption": f"captions/{name}.rst", "category": category}
    files = {ending: paths.below(f"figures/{name}.{ending}") for ending in study.figures.formats}
    labels = {ending: {"figure": label, "format": ending.upper()} for ending in files}
    return [report(file, labels=labels[ending], **entry) for ending, file in files.items()]
