# Answers forced on the models: the number swapped, the other model's text, components removed one
# by one; then which attribution score finds causes, what is left of CWA on equal text, and whether
# there is any control to explain.

ANSWERS = paths.below("generations/{model}.{language}.jsonl")
ANSWERS_PROVENANCE = paths.below("generations/{model}.{language}.provenance.json")


rule force_answers:
    input:
        unpack(other_answers),
        **(
            {"attribution": paths.below("attribution/{model}.{language}.nc")}
            if "mean" in study.forced.modes
            else {}
        ),
        code=code("force_answers"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        answers=ANSWERS,
        provenance=ANSWERS_PROVENANCE,
    output:
        paths.below("forced/{model}.{language}.nc"),
    log:
        paths.below("logs/force_answers/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(forced_answers, captured=False),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        other=other_model,
        config=study.slice(
            "generation", "counting", "n_words", "forced", "ablation.positions", "ablation.seed"
        ),
    message:
        "Forcing answers on {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/force_answers.py"
