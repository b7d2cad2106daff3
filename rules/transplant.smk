# Parts of the weights exchanged between the models of a pair: what does tuning's part of the weights
# suffice for, and what is necessary?


rule transplant_weights:
    input:
        **with_sidecars({"prompts": PROMPTS}),
        code=code("transplant_weights"),
        manifest=lambda wildcards: paths.manifest(wildcards.tuned),
        untuned_manifest=lambda wildcards: paths.manifest(wildcards.untuned),
        proofs=[paths.below(f"proofs/{{{tuning}}}.json") for tuning in ("untuned", "tuned")],
        language=LANGUAGE,
        circuits=paths.below("circuits/{tuned}.{language}.nc"),
        attribution=paths.below("attribution/{tuned}.{language}.nc"),
    output:
        paths.below("transplant/{untuned}--{tuned}.{language}.nc"),
    log:
        paths.below("logs/transplant_weights/{untuned}--{tuned}.{language}.log"),
    priority: 3  # the end of the longest chain of jobs
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **of_two_models(
            decoding(transplanted_answers, tokens=study.ablated_tokens, captured=False, exact=True)
        ),
    params:
        names=lambda wildcards: {"untuned": wildcards.untuned, "tuned": wildcards.tuned},
        models=lambda wildcards: {
            tuning: study.model_entry(getattr(wildcards, tuning))
            for tuning in ("untuned", "tuned")
        },
        config=study.slice("generation", "counting", "n_words", "transplant"),
        max_new_tokens=study.ablated_tokens,
    message:
        "Transplanting between {wildcards.untuned} and {wildcards.tuned} in {wildcards.language}"
    script:
        "../scripts/transplant_weights.py"
