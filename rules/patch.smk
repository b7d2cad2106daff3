# Components exchanged between runs that differ in the number alone: single ones (patching), then
# whole circuits. Tuned models only, for there must be control to explain.


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
