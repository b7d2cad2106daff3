# Recorded answers -> direct logit attribution, summed over each answer -> means with intervals.


rule attribute_answers:
    input:
        **{name: shard_files(ending) for name, ending in ENDINGS.items()},
        **with_sidecars({"answers": ANSWERS}),
        code=code("attribute_answers"),
        manifest=manifest,
    output:
        attribution=ATTRIBUTION,
        tokens=paths.below("tokens/{model}.{language}.jsonl"),
        tokens_provenance=paths.below("tokens/{model}.{language}.provenance.json"),
    log:
        paths.below("logs/attribute_answers/{model}.{language}.log"),
    priority: 4  # so that the first figures come soon
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **attributing(all_prompts),
    params:
        **MODEL,
        config=study.slice("generation", "counting", "prompts", "n_words"),
    message:
        "Attributing {wildcards.model}'s answers in {wildcards.language}"
    script:
        "../scripts/attribute_answers.py"


rule aggregate_cwa:
    input:
        code=code("aggregate_cwa"),
        attributions=paths.source("attributions"),
    output:
        cwa=paths.below("cwa.nc"),
    log:
        paths.below("logs/aggregate_cwa.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.keys("attributions"),
        config=study.slice("statistics"),
    message:
        "Averaging the attribution of all models and languages"
    script:
        "../scripts/aggregate_cwa.py"
