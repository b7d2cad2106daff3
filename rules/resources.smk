# What jobs ask of a scheduler. On one machine only `gpu` counts, unless limits are given
# (`--resources mem_mb=64000`); a cluster plans with all of them. Sizes come from the manifest of a
# model's files, so they are known when that was written.
import json
import math

from lengthlens.ablation.hypotheses import hypotheses_from
from lengthlens.workflow.footprint import attribution_need, decoding_need, joining_need
from lengthlens.workflow.gpus import visible_gpus

GENERATION_SECTION = study.slice("generation")["generation"]
DEVICE = GENERATION_SECTION["device"]
if DEVICE == "auto":
    DEVICE = "cuda" if visible_gpus() else "cpu"
GPUS = int(DEVICE == "cuda")
if DEVICE == "split":  # over all GPUs that this machine shows, or as many as --set-resources says
    DEVICE, GPUS = "cuda", max(1, len(visible_gpus()))


# NOTE the manifest is always that of `input`: only Snakemake knows the `prefix` that another workflow
# may give. And not checkpoints.read_manifest: of a file that is still to be made, Snakemake must see
# FileNotFoundError, and asks again when it is there.
def read_manifest_of(input):
    with open(str(input.manifest), encoding="utf-8") as file:
        return json.load(file)


def components(manifest):
    """Layers, and all heads and MLPs; those of a small model where config.json does not tell."""
    shape = manifest.get("shape") or {"layers": 12, "heads": 12}
    return shape["layers"], shape["layers"] * (shape["heads"] + 1)


def decoding(answers, recorded=False, captured=True, tokens=None, exact=False):
    """Resources of a rule that generates; `answers` maps wildcards and the model's manifest to
    their number, of at most `tokens` tokens. Activations may be recorded in a file, or captured to
    be attributed at once, which takes memory from batches. `exact` models run in float32."""
    section = GENERATION_SECTION | ({"max_new_tokens": tokens} if tokens else {})
    section |= {"dtype": "float32"} if exact else {}

    def need(manifest, samples):
        return decoding_need(manifest, section, DEVICE, samples, recorded, captured)

    return resources_of(answers, need, GPUS)


def attributing(answers):
    """Resources of a rule that attributes recorded answers, without the model and its GPU, or
    joins the scores of those that were attributed while they were generated."""

    def need(manifest, samples):
        if study.activations.keep is False:
            return joining_need(manifest, samples)
        return attribution_need(manifest, GENERATION_SECTION, DEVICE, samples)

    return resources_of(answers, need, 0)


def resources_of(answers, need, gpu):
    """Resources as Snakemake asks for them, of what a number of answers needs."""

    def part(name):
        def asked(wildcards, input, attempt):
            manifest = read_manifest_of(input)
            samples = answers(wildcards, manifest) * GENERATION_SECTION["samples"]
            return getattr(need(manifest, samples).times(attempt), name)

        return asked

    return {"gpu": gpu, **{name: part(name) for name in ("mem_mb", "disk_mb", "runtime")}}


def of_two_models(resources):
    """The resources of a rule that holds two models of one shape."""
    one = resources["mem_mb"]

    def both(wildcards, input, attempt):
        return 2 * one(wildcards, input, attempt)

    return resources | {"mem_mb": both}


# How many answers the work of a rule is worth. Reading a text takes about a tenth of decoding an
# answer, and reading on with a component, a path or a layer's stream exchanged half of that.
NUMBERS = len(study.n_words)


def exchanged(rows):
    """What so many exchanges in a text are worth; they share what stands before them."""
    return math.ceil(rows / 24)


def texts(per_n):
    """The answers that a stage measures of so many to each N."""
    return NUMBERS * min(per_n, study.prompts.per_n)


def job_prompts(wildcards, manifest):
    return sum(shard["stop"] - shard["start"] for shard in shards_of_job(wildcards))


def all_prompts(wildcards, manifest):
    return NUMBERS * study.prompts.per_n


def forced_answers(wildcards, manifest):
    """Two swaps read twice and the other's text; without one component after the other, an answer
    costs as much as one decoded one for each 24 components, and ten at least, for its steps are
    read in one pass."""
    _, size = components(manifest)
    swapped = 5 * all_prompts(wildcards, manifest)
    if size > study.forced.exhaustive:
        return swapped
    return swapped + max(10, size // 24) * len(study.forced.modes) * texts(study.forced.per_n)


def patched_answers(wildcards, manifest):
    """AtP reads four times and is differentiated."""
    layers, size = components(manifest)
    plan = study.patching
    if size > plan.exhaustive:
        size = min(size, layers + plan.best + plan.random)
    combined = len(plan.swaps) * len(plan.positions) * len(plan.directions)
    per_n = study.prompts.per_n
    patches = min(plan.per_n, per_n) + combined * min(plan.further_per_n, per_n)
    passes = len(plan.swaps) * (2 + 3 * plan.integrated_steps) * min(plan.atp_per_n, per_n)
    return NUMBERS * (exchanged(patches * size) + math.ceil(passes / 5))


def circuit_answers(wildcards, manifest):
    _, size = components(manifest)
    plan = study.circuits
    ranked = 2 * (len(plan.methods) + len(study.languages))
    sets = len(plan.sizes) * (ranked + 2 * plan.orders) + size // 2
    return texts(plan.per_n) * exchanged(sets) + 2 * NUMBERS


def traced_answers(wildcards, manifest):
    """The stream exchanged and attention read, where a knockout reads one token; then paths: each
    component sends to each later one, of which heads receive three times; then answers to four
    kinds of contrasting prompts, and their streams exchanged in one direction."""
    layers, _ = components(manifest)
    plan, most = study.tracing, study.paths.most
    rows = 7 * math.ceil(layers / plan.every)
    streams = len(plan.swaps) * texts(plan.per_n) * exchanged(2 * rows) + 2 * NUMBERS
    handed = texts(study.paths.per_n) * exchanged(2 * most * most + 7 * most)
    contrasts = 4 * NUMBERS * study.contrasts.per_n * (1 + exchanged(rows))
    return 2 * streams + handed + contrasts


def transplanted_answers(wildcards, manifest):
    """Every hybrid answers, and costs about as much again on fixed and neutral text; a component's
    output in the other's run costs half of a text read twice."""
    layers, size = components(manifest)
    plan = study.transplant
    single = layers + 2 * plan.controls if plan.answer_layers else 0
    hybrids = 2 * (1 + 2 * layers // plan.every + 8 + single) + len(plan.scales)
    return 2 * hybrids * texts(plan.per_n) + texts(plan.across_per_n) * exchanged(2 * size)


def counted_answers(wildcards, manifest):
    """Texts are read under every N; shifted ones are decoded."""
    plan = study.count
    shifts = 1 + len(plan.steps) * (1 + plan.draws)
    sets = len(plan.neurons) * (1 + plan.draws)
    return texts(plan.per_n) * (math.ceil(NUMBERS / 10) + shifts + exchanged(sets))


def probe_prompts(wildcards, manifest):
    """The study's prompts again, with other decoding, and those of further N."""
    return all_prompts(wildcards, manifest) + len(study.probes.n_words) * study.probes.per_n


def ablated_answers(wildcards, manifest):
    """Answers to the evaluate prompts, about half of all, of the conditions that are answered:
    chosen sets with some controls, sets by position (every MLP among them), and the sets of
    tests, with all controls where a test is about the answers."""
    plan, (layers, _) = ablation_plan(wildcards), components(manifest)
    answered = plan["answered_controls"]
    further = len(plan["further_k"]) * (len(plan["modes"]) + len(study.languages))
    chosen = len(plan["k"]) * (1 + answered) + further * (1 + (answered + 1) // 2)
    tested = sum(
        1 + one.needs_answers * plan["test_controls"]
        for one in hypotheses_from(set_tests(wildcards))
    )
    sets = len(plan["methods"]) * chosen + (layers + 3) * len(plan["modes"]) + tested
    prompts = (all_prompts(wildcards, manifest) + 1) // 2
    return (1 + sets) * min(prompts, ablation_prompts(wildcards) or prompts)
