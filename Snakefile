# The study, from prompts to report. What it computes is in scripts/lengthlens, how it is
# configured in config.yaml, and each stage's rules are in rules/. Nothing heavy is imported here:
# a dry run needs neither torch nor transformers nor xarray.
import copy
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.common.configfile import load_configfile
from snakemake.utils import min_version

min_version("9.0")
ROOT = Path(str(workflow.current_basedir))  # this folder, also where another workflow includes it
if not (ROOT / "scripts/lengthlens").is_dir():
    # By github(…) or the like Snakemake fetches one file at a time, and never the package.
    raise WorkflowError(
        f"No job was started: {ROOT} is not a folder with lengthlens in it. Used as a module, "
        "lengthlens must be a clone, for its scripts need the package beside them: run\n"
        "    git submodule add <address of the repository> lengthlens\n"
        'in your workflow\'s folder (or git clone), and write snakefile: "lengthlens/Snakefile"'
    )
sys.path.insert(0, str(ROOT / "scripts"))

from lengthlens.configuration.sources import Sources, merge
from lengthlens.configuration.study import ConfigurationError, Study, config_schema
from lengthlens.weights.made import MADE_BELOW
from lengthlens.workflow.surroundings import path_problems
from lengthlens.workflow.targets import Paths

if wrong := list(path_problems(ROOT, Path.cwd())):
    raise WorkflowError("No job was started: " + "\n".join(wrong) + ".")
STANDALONE = Path(workflow.main_snakefile).resolve() == (ROOT / "Snakefile").resolve()
# The defaults are this folder's, from whatever folder Snakemake is started; another config.yaml is
# read where it is named.
DEFAULTS = ROOT / "config.yaml"
here = Path("config.yaml")
if STANDALONE and here.exists() and not here.samefile(DEFAULTS) and not workflow.configfiles:
    raise WorkflowError(
        f"No job was started: the working folder has a {here}, which is not read. Run with "
        f"--configfile {here} if it is meant, or with --configfile {DEFAULTS} if it is not."
    )

written = {os.path.relpath(file): load_configfile(file) for file in workflow.configfiles}
if STANDALONE:
    sources = Sources(written, workflow.config_settings.config_args or ())
    given = sources.given(config_schema())
else:  # the other workflow gives the configuration; it may be part of its own
    sources = Sources({name: own for name, own in written.items() if set(own) <= set(config)})
    given = copy.deepcopy(config)

try:
    values = merge(load_configfile(DEFAULTS), given)
    made_below = workflow.modifier.path_modifier.replace_prefix(MADE_BELOW)
    study = Study.from_config(values, given, ROOT, sources, made_below)
except ConfigurationError as error:
    raise WorkflowError(str(error)) from None
paths = Paths(study)


wildcard_constraints:
    model="[A-Za-z0-9-]+",
    language="[A-Za-z0-9-]+",
    key="[0-9a-f]{8}",
    untuned="|".join(pair["untuned"] for pair in study.whole_pairs) or "-",
    tuned="|".join(pair["tuned"] for pair in study.whole_pairs) or "-",
    n=r"\d+",
    i=r"\d+",


# Stage targets -> what they make, in words.
STAGES = {
    "prompts": "prompts",
    "generate": "answers",
    "attribute": "attributions",
    "select": "rankings",
    "patch": "patches",
    "circuits": "circuits",
    "trace": "traces",
    "count": "measurements of the count in the stream",
    "transplant": "transplants",
    "ablate": "ablations",
    "probe": "probes",
    "figures": "figures",
    "report": "pages of the report",
}


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/prompts.smk"
include: "rules/generate.smk"
include: "rules/attribute.smk"
include: "rules/probes.smk"
include: "rules/force.smk"
include: "rules/patch.smk"
include: "rules/trace.smk"
include: "rules/count.smk"
include: "rules/transplant.smk"
include: "rules/select.smk"
include: "rules/ablate.smk"
include: "rules/claims.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/pocket.smk"
include: "rules/adapter.smk"


rule all:
    default_target: True
    input:
        paths.final(),
    localrule: True
    message:
        "The study is complete"


# Each stage's name is a target.
for stage, files in paths.stages().items():

    rule:
        name:
            stage
        input:
            files,
        localrule: True
        message:
            f"All {STAGES[stage]} are there"


onstart:
    check_before_jobs(workflow)
    look_for_jobs_when_one_ends(workflow)
    tell_progress(workflow, logger)


onsuccess:
    if any(job.rule.name == "render_report" for job in workflow.dag.jobs):
        shell(f"echo; echo 'The report is in {paths.below('report.html')}'")
