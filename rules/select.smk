# Attribution and measured effects on the select prompts -> a ranking of the components.


rule select_components:
    input:
        unpack(own_patching),
        code=code("select_components"),
        attribution=ATTRIBUTION,
        forced=paths.below("forced/{model}.{language}.nc"),
    output:
        table=paths.below("selection/{model}.{language}.csv"),
        provenance=paths.below("selection/{model}.{language}.provenance.json"),
    log:
        paths.below("logs/select_components/{model}.{language}.log"),
    priority: 4  # takes seconds; ablation, circuits and transplants wait for it
    conda:
        "../envs/environment.yaml"
    params:
        config=study.slice("counting", "prompts", "n_words"),
    message:
        "Ranking the components of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/select_components.py"
