# Prompts -> answers with their activations, in shards; then one file a model and language.
# A shard makes its own prompts from the language file and the seed. It never depends on a merged
# file, so that more prompts, another N or another language leave existing shards alone.

GENERATION = study.slice("generation", "counting", "prompts.seed")
PRECISION = {"precision": study.activations.precision}
SHARD = paths.below("shards/{model}.{language}.n{n}.{i}")


def shard_of(wildcards):
    shard = study.shard(wildcards.language, int(wildcards.n), int(wildcards.i))
    return {"n": shard.n, "start": shard.start, "stop": shard.stop}


def shard_files(ending):
    return lambda wildcards: paths.shards(wildcards.model, wildcards.language, ending)


rule hash_weights:
    message:
        "Hashing the files of {params.name}"
    input:
        code=code("hash_weights"),
        files=lambda wildcards: model_files(wildcards.model),
    output:
        "results/weights/{model}.{key}.json",
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
    log:
        "results/weights/logs/{model}.{key}.log",
    conda:
        "../envs/environment.yaml"
    script:
        "../scripts/hash_weights.py"


if study.activations.keep is not False:

    rule generate_answers:
        message:
            "Generating {wildcards.model} in {wildcards.language}, N = {wildcards.n} (shard {wildcards.i})"
        input:
            code=code("generate_answers"),
            language=language_file,
            manifest=manifest,
        output:
            answers=f"{SHARD}.jsonl",
            provenance=f"{SHARD}.provenance.json",
            activations=(
                temp(f"{SHARD}.h5") if study.activations.keep == "temp" else f"{SHARD}.h5"
            ),
        params:
            name=lambda wildcards: wildcards.model,
            model=model_entry,
            shard=shard_of,
            config=GENERATION | PRECISION,
        log:
            paths.below("logs/generate_answers/{model}.{language}.n{n}.{i}.log"),
        threads: study.generation.threads
        conda:
            "../envs/environment.yaml"
        script:
            "../scripts/generate_answers.py"

else:

    rule attribute_while_generating:
        message:
            "Generating and attributing {wildcards.model} in {wildcards.language}, N = {wildcards.n} (shard {wildcards.i})"
        input:
            code=code("attribute_while_generating"),
            language=language_file,
            manifest=manifest,
        output:
            answers=f"{SHARD}.jsonl",
            provenance=f"{SHARD}.provenance.json",
            scores=f"{SHARD}.nc",
        params:
            name=lambda wildcards: wildcards.model,
            model=model_entry,
            shard=shard_of,
            config=GENERATION,
        log:
            paths.below("logs/attribute_while_generating/{model}.{language}.n{n}.{i}.log"),
        threads: study.generation.threads
        conda:
            "../envs/environment.yaml"
        script:
            "../scripts/attribute_while_generating.py"


rule collect_answers:
    message:
        "Collecting the answers of {wildcards.model} in {wildcards.language}"
    input:
        code=code("collect_answers"),
        manifest=manifest,
        answers=shard_files("jsonl"),
        provenance=shard_files("provenance.json"),
        **({"activations": shard_files("h5")} if study.activations.keep is True else {}),
    output:
        answers=paths.below("generations/{model}.{language}.jsonl"),
        provenance=paths.below("generations/{model}.{language}.provenance.json"),
        **(
            {"activations": paths.below("activations/{model}.{language}.h5")}
            if study.activations.keep is True
            else {}
        ),
    params:
        config=study.slice("generation", "counting", "prompts", "n_words"),
        counts=lambda wildcards: [paths.prompts_used(s) for s in study.shards(wildcards.language)],
    log:
        paths.below("logs/collect_answers/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    script:
        "../scripts/collect_answers.py"
