# resources/languages/{language}.yaml -> prompts/{language}.jsonl


rule build_prompts:
    input:
        code=code("build_prompts"),
        language=language_file,
    output:
        prompts=paths.below("prompts/{language}.jsonl"),
        provenance=paths.below("prompts/{language}.provenance.json"),
    log:
        paths.below("logs/build_prompts/{language}.log"),
    conda:
        "../envs/environment.yaml"
    params:
        config=study.slice("n_words", "prompts"),
    message:
        "Writing the prompts in {wildcards.language}"
    script:
        "../scripts/build_prompts.py"
