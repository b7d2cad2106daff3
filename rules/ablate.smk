# Chosen components removed while answering the evaluate prompts, beside layer-matched controls.


rule ablate_components:
    input:
        **of_model(
            "ablate_components",
            prompts=PROMPTS,
            selections=SELECTIONS,
            attribution=ATTRIBUTION,
        ),
    output:
        ablation=paths.below("ablation/{model}.{language}.nc"),
        repair=paths.below("repair/{model}.{language}.nc"),
    log:
        paths.below("logs/ablate_components/{model}.{language}.log"),
    priority: 1  # the longest jobs: begun early, they do not keep others waiting at the end
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(ablated_answers, tokens=study.ablated_tokens, captured=False),
    params:
        **MODEL,
        config=study.slice("generation", "counting", "n_words"),
        plan=ablation_plan,
        prompts=ablation_prompts,
        max_new_tokens=study.ablated_tokens,
        languages=list(study.languages),
        tests=set_tests,
    message:
        "Ablating {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/ablate_components.py"
