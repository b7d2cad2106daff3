# Chosen components removed while answering the evaluate prompts, beside layer-matched controls.

from lengthlens.workflow.targets import CAUSAL_TABLES


rule ablate_components:
    input:
        code=code("ablate_components"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        prompts=paths.below("prompts/{language}.jsonl"),
        prompts_provenance=paths.below("prompts/{language}.provenance.json"),
        selections=lambda wildcards: selections_of(wildcards.model, "csv"),
        provenance=lambda wildcards: selections_of(wildcards.model, "provenance.json"),
        attribution=paths.below("attribution/{model}.{language}.nc"),
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
        name=lambda wildcards: wildcards.model,
        model=model_entry,
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


rule summarise_ablation:
    input:
        code=code("summarise_ablation"),
        ablations=paths.each_pair("ablation/{model}.{language}.nc"),
        repairs=paths.each_pair("repair/{model}.{language}.nc"),
        selections=paths.each_pair("selection/{model}.{language}.csv"),
        provenance=paths.each_pair("selection/{model}.{language}.provenance.json"),
        attributions=paths.each_pair("attribution/{model}.{language}.nc"),
        forced=paths.each_pair("forced/{model}.{language}.nc"),
    output:
        table=report(
            paths.below("tables/ablation.csv"),
            caption="captions/ablation_table.rst",
            category="Causes",
            labels={"table": "Effects against controls"},
        ),
        confirmatory=report(
            paths.below("tables/confirmatory.csv"),
            caption="captions/confirmatory.rst",
            category="Causes",
            labels={"table": "Tests"},
        ),
        transfer=paths.below("tables/transfer.csv"),
        profiles=paths.below("tables/profiles.csv"),
        repair=paths.below("tables/repair.csv"),
        provenance=[paths.below(f"tables/{name}.provenance.json") for name in CAUSAL_TABLES],
    log:
        paths.below("logs/summarise_ablation.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.pairs,
        models=study.model_pairs,
        tests=as_values(read_hypotheses(CLAIMS)),
        untuned=list(study.ablation.untuned),
        config=study.slice("statistics"),
    message:
        "Comparing the ablation with its controls"
    script:
        "../scripts/summarise_ablation.py"
