# Prompts -> answers with their activations, in shards; then one file a model and language.
# A shard makes its own prompts from the language file and the seed. It never depends on a merged
# file, so that more prompts, another N or another language leave existing shards alone.

GENERATION = study.slice("generation", "counting", "prompts.seed")
PRECISION = {"precision": study.activations.precision}
SHARD = paths.below("shards/{model}.{language}.n{n}.{i}")


# On the machine that runs Snakemake, which has the network; all other jobs work offline.
rule fetch_weights:
    output:
        "results/weights/{model}.{key}.fetched.json",
    log:
        "results/weights/logs/{model}.{key}.fetched.log",
    conda:
        "../envs/environment.yaml"
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
    message:
        "Fetching {params.name} from the hub"
    script:
        "../scripts/fetch_weights.py"


rule hash_weights:
    input:
        unpack(fetched),
        code=code("hash_weights"),
        files=lambda wildcards: model_files(wildcards.model),
    output:
        "results/weights/{model}.{key}.json",
    log:
        "results/weights/logs/{model}.{key}.log",
    conda:
        "../envs/environment.yaml"
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
    message:
        "Hashing the files of {params.name}"
    script:
        "../scripts/hash_weights.py"


if study.activations.keep is not False:

    rule generate_answers:
        input:
            code=code("generate_answers"),
            language=language_file,
            manifest=manifest,
        output:
            answers=f"{SHARD}.jsonl",
            provenance=f"{SHARD}.provenance.json",
            activations=(temp(f"{SHARD}.h5") if study.activations.keep == "temp" else f"{SHARD}.h5"),
        log:
            paths.below("logs/generate_answers/{model}.{language}.n{n}.{i}.log"),
        conda:
            "../envs/environment.yaml"
        threads: study.generation.threads
        resources:
            **decoding(shard_prompts, recorded=True),
        params:
            name=lambda wildcards: wildcards.model,
            model=model_entry,
            shard=shard_of,
            config=GENERATION | PRECISION,
        message:
            "Generating {wildcards.model} in {wildcards.language}, N = {wildcards.n} (shard {wildcards.i})"
        script:
            "../scripts/generate_answers.py"

else:

    rule attribute_while_generating:
        input:
            code=code("attribute_while_generating"),
            language=language_file,
            manifest=manifest,
        output:
            answers=f"{SHARD}.jsonl",
            provenance=f"{SHARD}.provenance.json",
            scores=f"{SHARD}.nc",
            tokens=f"{SHARD}.tokens.jsonl",
            tokens_provenance=f"{SHARD}.tokens.provenance.json",
        log:
            paths.below("logs/attribute_while_generating/{model}.{language}.n{n}.{i}.log"),
        conda:
            "../envs/environment.yaml"
        threads: study.generation.threads
        resources:
            **decoding(shard_prompts),
        params:
            name=lambda wildcards: wildcards.model,
            model=model_entry,
            shard=shard_of,
            config=GENERATION,
        message:
            "Generating and attributing {wildcards.model} in {wildcards.language}, N = {wildcards.n} (shard {wildcards.i})"
        script:
            "../scripts/attribute_while_generating.py"


rule collect_answers:
    input:
        **({"activations": shard_files("h5")} if study.activations.keep is True else {}),
        code=code("collect_answers"),
        manifest=manifest,
        answers=shard_files("jsonl"),
        provenance=shard_files("provenance.json"),
    output:
        **(
            {"activations": paths.below("activations/{model}.{language}.h5")}
            if study.activations.keep is True
            else {}
        ),
        answers=paths.below("generations/{model}.{language}.jsonl"),
        provenance=paths.below("generations/{model}.{language}.provenance.json"),
    log:
        paths.below("logs/collect_answers/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    params:
        config=study.slice("generation", "counting", "prompts", "n_words"),
        counts=lambda wildcards: [paths.prompts_used(s) for s in study.shards(wildcards.language)],
    message:
        "Collecting the answers of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/collect_answers.py"
