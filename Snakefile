# The study, from prompts to report. What it computes is in scripts/lengthlens, how it is
# configured in config.yaml, and each stage's rules are in rules/. Nothing heavy is imported here:
# a dry run needs neither torch nor transformers nor xarray.
import copy
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.common.configfile import load_configfile
from snakemake.utils import min_version, update_config

min_version("9.0")
ROOT = Path(str(workflow.current_basedir))  # this folder, also where another workflow includes it
sys.path.insert(0, str(ROOT / "scripts"))

from lengthlens.configuration.study import ConfigurationError, Study
from lengthlens.workflow.targets import Paths

given = copy.deepcopy(config)


configfile: "config.yaml"


# NOTE a workflow that uses this one as a module gives the configuration, and Snakemake then skips
# `configfile`: the defaults are put below it here.
values = load_configfile(str(ROOT / "config.yaml"))
update_config(values, config)

try:
    study = Study.from_config(values, given, root=ROOT, files=workflow.configfiles)
except ConfigurationError as error:
    raise WorkflowError(str(error)) from None
paths = Paths(study)


wildcard_constraints:
    model="[A-Za-z0-9-]+",
    language="[A-Za-z0-9-]+",
    key="[0-9a-f]{8}",
    n=r"\d+",
    i=r"\d+",


localrules:
    all,
    fetch_weights,
    prompts,
    generate,
    attribute,
    select,
    patch,
    circuits,
    trace,
    ablate,
    probe,
    figures,
    report,


include: "rules/common.smk"
include: "rules/resources.smk"
include: "rules/prompts.smk"
include: "rules/generate.smk"
include: "rules/attribute.smk"
include: "rules/probes.smk"
include: "rules/force.smk"
include: "rules/patch.smk"
include: "rules/trace.smk"
include: "rules/select.smk"
include: "rules/ablate.smk"
include: "rules/claims.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/pocket.smk"


rule all:
    default_target: True
    input:
        paths.final(),
    message:
        "The study is complete"


rule prompts:
    input:
        paths.prompts(),
    message:
        "All prompts are there"


rule generate:
    input:
        paths.generated(),
    message:
        "All answers are there"


rule attribute:
    input:
        paths.attributed(),
    message:
        "All attributions are there"


rule select:
    input:
        paths.selected(),
    message:
        "All rankings are there"


rule patch:
    input:
        paths.patched(),
    message:
        "All patches are there"


rule circuits:
    input:
        paths.circuits(),
    message:
        "All circuits are there"


rule trace:
    input:
        paths.traced(),
    message:
        "All traces are there"


rule ablate:
    input:
        paths.ablated(),
    message:
        "All ablations are there"


rule probe:
    input:
        paths.probed(),
    message:
        "All probes are there"


rule figures:
    input:
        paths.figures(),
    message:
        "All figures are there"


rule report:
    input:
        paths.report(),
    message:
        "The report is there"


onstart:
    check_before_jobs(workflow)


onsuccess:
    if any(job.rule.name == "render_report" for job in workflow.dag.jobs):
        shell(f"echo; echo 'The report is in {paths.report()[0]}'")
