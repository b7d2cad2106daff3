# What jobs ask of a scheduler. On one machine only `gpu` counts, unless limits are given
# (`--resources mem_mb=64000`); a cluster plans with all of them. Sizes come from the manifest of a
# model's files, so they are known when that was written.
import json
import math

from lengthlens.ablation.hypotheses import hypotheses_from
from lengthlens.workflow.footprint import attribution_need, decoding_need, joining_need
from lengthlens.workflow.gpus import has_gpu, visible_gpus

GENERATION_SECTION = study.slice("generation")["generation"]
DEVICE = GENERATION_SECTION["device"]
if DEVICE == "auto":
    DEVICE = "cuda" if has_gpu() else "cpu"
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
    """Layers and heads in each; those of a small model where config.json does not tell."""
    shape = manifest.get("shape") or {"layers": 12, "heads": 12}
    return shape["layers"], shape["heads"]


def decoding(answers, recorded=False, captured=True, tokens=None, gpu=GPUS, exact=False):
    """Resources of a rule that generates; `answers` maps wildcards and the model's manifest to
    their number, of at most `tokens` tokens. Activations may be recorded in a file, or captured to
    be attributed at once, which takes memory from batches. `exact` models run in float32."""
    section = GENERATION_SECTION | ({"max_new_tokens": tokens} if tokens else {})
    section |= {"dtype": "float32"} if exact else {}

    def need(manifest, samples):
        return decoding_need(manifest, section, DEVICE, samples, recorded, captured)

    return resources_of(answers, need, gpu)


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


def job_prompts(wildcards, manifest):
    return sum(shard["stop"] - shard["start"] for shard in shards_of_job(wildcards))


def all_prompts(wildcards, manifest):
    return len(study.n_words) * study.prompts.per_n


def forced_answers(wildcards, manifest):
    """Two swaps read twice and the other's text; without one component after the other, an answer
    costs as much as one decoded one for each 24 components, and ten at least, for its steps are
    read in one pass."""
    layers, heads = components(manifest)
    measured = len(study.n_words) * min(study.forced.per_n, study.prompts.per_n)
    if layers * (heads + 1) > study.forced.exhaustive:
        return 5 * all_prompts(wildcards, manifest)
    each = max(10, layers * (heads + 1) // 24)
    return 5 * all_prompts(wildcards, manifest) + each * len(study.forced.modes) * measured


def patched_answers(wildcards, manifest):
    """Reading a text takes about a tenth of decoding an answer, a patched component half of that;
    AtP reads four times and is differentiated."""
    layers, heads = components(manifest)
    plan, size = study.patching, layers * (heads + 1)
    if size > plan.exhaustive:
        size = min(size, layers + plan.best + plan.random)
    combined = len(plan.swaps) * len(plan.positions) * len(plan.directions)
    per_n = study.prompts.per_n
    patches = min(plan.per_n, per_n) + combined * min(plan.further_per_n, per_n)
    passes = len(plan.swaps) * (2 + 3 * plan.integrated_steps) * min(plan.atp_per_n, per_n)
    return len(study.n_words) * (math.ceil(patches * size / 24) + math.ceil(passes / 5))


def circuit_answers(wildcards, manifest):
    """Reading a text takes about a tenth of decoding an answer, a set of components half of that."""
    layers, heads = components(manifest)
    plan = study.circuits
    ranked = 2 * (len(plan.methods) + len(study.languages))
    sets = len(plan.sizes) * (ranked + 2 * plan.orders) + layers * (heads + 1) // 2
    measured = len(study.n_words) * min(plan.per_n, study.prompts.per_n)
    return measured * math.ceil(sets / 24) + 2 * len(study.n_words)


def traced_answers(wildcards, manifest):
    """The stream exchanged and attention read; then paths, and contrasting prompts."""
    streams = 2 * stream_answers(wildcards, manifest)
    return streams + path_answers(wildcards, manifest) + contrast_answers(wildcards, manifest)


def stream_answers(wildcards, manifest):
    """Reading a text takes about a tenth of decoding an answer, an exchanged stream half of that;
    a knockout reads one token."""
    layers, _ = components(manifest)
    plan = study.tracing
    rows = 2 * 7 * math.ceil(layers / plan.every)
    measured = len(plan.swaps) * len(study.n_words) * min(plan.per_n, study.prompts.per_n)
    return measured * math.ceil(rows / 24) + 2 * len(study.n_words)


def of_two_models(resources):
    """The resources of a rule that holds two models of one shape."""
    one = resources["mem_mb"]

    def both(wildcards, input, attempt):
        return 2 * one(wildcards, input, attempt)

    return resources | {"mem_mb": both}


def transplanted_answers(wildcards, manifest):
    """Every hybrid answers, and costs about as much again on fixed and neutral text; a component's
    output in the other's run costs half of a text read twice."""
    layers, heads = components(manifest)
    plan = study.transplant
    single = layers + 2 * plan.controls if plan.answer_layers else 0
    hybrids = 2 * (1 + 2 * layers // plan.every + 8 + single) + len(plan.scales)
    across = min(plan.across_per_n, study.prompts.per_n) * math.ceil(2 * layers * (heads + 1) / 24)
    return len(study.n_words) * (2 * hybrids * min(plan.per_n, study.prompts.per_n) + across)


def path_answers(wildcards, manifest):
    """Reading a text takes about a tenth of decoding an answer, a path half of that; each component
    sends to each later one, of which heads receive three times."""
    size = study.paths.most
    rows = 2 * size * size + 7 * size
    measured = len(study.n_words) * min(study.paths.per_n, study.prompts.per_n)
    return measured * math.ceil(rows / 24)


def contrast_answers(wildcards, manifest):
    """Answers to four kinds of prompts, and their streams exchanged in one direction."""
    layers, _ = components(manifest)
    rows = 7 * math.ceil(layers / study.tracing.every)
    measured = 4 * len(study.n_words) * study.contrasts.per_n
    return measured * (1 + math.ceil(rows / 24))


def counted_answers(wildcards, manifest):
    """Reading a text takes about a tenth of decoding an answer, under every N; shifted ones are
    decoded."""
    plan, numbers = study.count, len(study.n_words)
    measured = numbers * min(plan.per_n, study.prompts.per_n)
    shifts = 1 + len(plan.steps) * (1 + plan.draws)
    sets = len(plan.neurons) * (1 + plan.draws)
    return measured * (math.ceil(numbers / 10) + shifts + math.ceil(sets / 24))


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
    sets = 1 + len(plan["methods"]) * chosen + tested
    sets += (layers + 3) * len(plan["modes"])
    prompts = (all_prompts(wildcards, manifest) + 1) // 2
    return sets * min(prompts, ablation_prompts(wildcards) or prompts)
