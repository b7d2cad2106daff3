# Recorded answers -> direct logit attribution, summed over each answer -> means with intervals.


rule attribute_answers:
    message:
        "Attributing {wildcards.model}'s answers in {wildcards.language}"
    input:
        code=code("attribute_answers"),
        manifest=manifest,
        answers=paths.below("generations/{model}.{language}.jsonl"),
        provenance=paths.below("generations/{model}.{language}.provenance.json"),
        **(
            {"scores": shard_files("nc")}
            if study.activations.keep is False
            else {"activations": shard_files("h5")}
        ),
    output:
        paths.below("attribution/{model}.{language}.nc"),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice("generation", "counting", "prompts", "n_words"),
    log:
        paths.below("logs/attribute_answers/{model}.{language}.log"),
    threads: study.generation.threads
    conda:
        "../envs/environment.yaml"
    script:
        "../scripts/attribute_answers.py"
