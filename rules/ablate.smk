# Chosen components removed while answering the evaluate prompts, beside layer-matched controls.


rule ablate_components:
    input:
        code=code("ablate_components"),
        manifest=manifest,
        language=language_file,
        prompts=paths.below("prompts/{language}.jsonl"),
        selection=paths.below("selection/{model}.{language}.csv"),
        provenance=paths.below("selection/{model}.{language}.provenance.json"),
        attribution=paths.below("attribution/{model}.{language}.nc"),
    output:
        paths.below("ablation/{model}.{language}.nc"),
    log:
        paths.below("logs/ablate_components/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(ablated_answers),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice("generation", "counting"),
        plan=ablation_plan,
    message:
        "Ablating {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/ablate_components.py"


rule summarise_ablation:
    input:
        code=code("summarise_ablation"),
        ablations=paths.each_pair("ablation/{model}.{language}.nc"),
    output:
        table=report(
            paths.below("tables/ablation.csv"),
            caption="captions/ablation_table.rst",
            category="Causes",
            labels={"table": "Effects against controls"},
        ),
        provenance=paths.below("tables/ablation.provenance.json"),
    log:
        paths.below("logs/summarise_ablation.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.pairs,
        config=study.slice("statistics"),
    message:
        "Comparing the ablation with its controls"
    script:
        "../scripts/summarise_ablation.py"
