# Components exchanged between runs that differ in the number alone: single ones (patching), then
# whole circuits. Tuned models only, for there must be control to explain.

from lengthlens.workflow.targets import CIRCUIT_TABLES


rule patch_components:
    input:
        code=code("patch_components"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        answers=ANSWERS,
        provenance=ANSWERS_PROVENANCE,
    output:
        paths.below("patching/{model}.{language}.nc"),
    log:
        paths.below("logs/patch_components/{model}.{language}.log"),
    priority: 2  # transplants wait for it
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(patched_answers, captured=False, exact=True),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice("generation", "counting", "n_words", "patching"),
    message:
        "Patching {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/patch_components.py"


rule measure_circuits:
    input:
        code=code("measure_circuits"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        answers=ANSWERS,
        answers_provenance=ANSWERS_PROVENANCE,
        selections=lambda wildcards: selections_of(wildcards.model, "csv"),
        provenance=lambda wildcards: selections_of(wildcards.model, "provenance.json"),
    output:
        paths.below("circuits/{model}.{language}.nc"),
    log:
        paths.below("logs/measure_circuits/{model}.{language}.log"),
    priority: 2  # transplants wait for it
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(circuit_answers, captured=False, exact=True),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        languages=list(study.languages),
        config=study.slice("generation", "counting", "n_words", "circuits", "statistics"),
    message:
        "Measuring the circuits of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/measure_circuits.py"


rule summarise_circuits:
    input:
        code=code("summarise_circuits"),
        attributions=paths.each_tuned("attribution/{model}.{language}.nc"),
        forced=paths.each_tuned("forced/{model}.{language}.nc"),
        patching=paths.each_tuned("patching/{model}.{language}.nc"),
        circuits=paths.each_tuned("circuits/{model}.{language}.nc"),
    output:
        **{
            name: report(
                paths.below(f"tables/{name}.csv"),
                caption=f"captions/{name}.rst",
                category="Mechanism",
                labels={"table": label},
            )
            for name, label in CIRCUIT_TABLES.items()
        },
        provenance=[paths.below(f"tables/{name}.provenance.json") for name in CIRCUIT_TABLES],
    log:
        paths.below("logs/summarise_circuits.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.tuned_pairs,
        config=study.slice("statistics", "circuits.faithful"),
    message:
        "Summarising what carries N"
    script:
        "../scripts/summarise_circuits.py"
