# resources/languages/{language}.yaml -> prompts/{language}.jsonl


rule build_prompts:
    input:
        code=code("build_prompts"),
        language=LANGUAGE,
    output:
        prompts=PROMPTS,
        provenance=provenance_of(PROMPTS),
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
