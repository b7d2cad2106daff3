# What jobs ask of a scheduler. On one machine only `gpu` counts, unless limits are given
# (`--resources mem_mb=64000`); a cluster plans with all of them. Sizes come from the manifest of a
# model's files, so they are known when that was written.
import json

from lengthlens.footprint import attribution_need, decoding_need
from lengthlens.gpus import has_gpu, visible_gpus

GENERATION_SECTION = study.slice("generation")["generation"]
DEVICE = GENERATION_SECTION["device"]
if DEVICE == "auto":
    DEVICE = "cuda" if has_gpu() else "cpu"
GPUS = int(DEVICE == "cuda")
if DEVICE == "split":  # over all GPUs that this machine shows, or as many as --set-resources says
    DEVICE, GPUS = "cuda", max(1, len(visible_gpus()))


def read_manifest_of(input):
    with open(str(input.manifest), encoding="utf-8") as file:
        return json.load(file)


def decoding(answers, recorded=False, gpu=GPUS):
    """Resources of a rule that generates; `answers` maps wildcards to their number."""

    def need(wildcards, input, attempt):
        manifest = read_manifest_of(input)
        samples = answers(wildcards) * GENERATION_SECTION["samples"]
        return decoding_need(manifest, GENERATION_SECTION, DEVICE, samples, recorded).times(attempt)

    return resources_of(need, gpu)


def attributing(answers):
    """Resources of a rule that attributes recorded answers, without the model and its GPU."""

    def need(wildcards, input, attempt):
        manifest = read_manifest_of(input)
        samples = answers(wildcards) * GENERATION_SECTION["samples"]
        return attribution_need(manifest, GENERATION_SECTION, DEVICE, samples).times(attempt)

    return resources_of(need, 0)


def resources_of(need, gpu):
    return {
        "gpu": gpu,
        "mem_mb": lambda wildcards, input, attempt: need(wildcards, input, attempt).mem_mb,
        "disk_mb": lambda wildcards, input, attempt: need(wildcards, input, attempt).disk_mb,
        "runtime": lambda wildcards, input, attempt: need(wildcards, input, attempt).runtime,
    }


def job_prompts(wildcards):
    return sum(shard["stop"] - shard["start"] for shard in shards_of_job(wildcards))


def all_prompts(wildcards):
    return len(study.n_words) * study.prompts.per_n


def forced_answers(wildcards):
    """Two swaps read twice and the other's text; without one component after the other, an answer
    costs as much as about ten decoded ones, for its steps are read in one pass."""
    measured = len(study.n_words) * min(study.forced.per_n, study.prompts.per_n)
    return 5 * all_prompts(wildcards) + 10 * len(study.forced.modes) * measured


def probe_prompts(wildcards):
    """The study's prompts again, with other decoding, and those of further N."""
    return all_prompts(wildcards) + len(study.probes.n_words) * study.probes.per_n


def ablated_answers(wildcards):
    """Answers of all conditions to the evaluate prompts, about half of all."""
    plan = ablation_plan(wildcards)
    sets = len(plan["k"]) * len(plan["methods"]) * len(plan["modes"])
    return (1 + sets * (1 + plan["controls"])) * all_prompts(wildcards) // 2
