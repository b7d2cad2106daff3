# Components exchanged between runs that differ in the number alone: single ones (patching), then
# whole circuits. Tuned models only, for there must be control to explain.


rule patch_components:
    input:
        **of_model("patch_components", answers=ANSWERS),
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
        **MODEL,
        config=study.slice("generation", "counting", "n_words", "patching"),
    message:
        "Patching {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/patch_components.py"


rule measure_circuits:
    input:
        **of_model("measure_circuits", answers=ANSWERS, selections=SELECTIONS),
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
        **MODEL,
        languages=list(study.languages),
        config=study.slice("generation", "counting", "n_words", "circuits", "statistics"),
    message:
        "Measuring the circuits of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/measure_circuits.py"
