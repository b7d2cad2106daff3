# Answers forced on the models: the number swapped, the other model's text, components removed one
# by one; then which attribution score finds causes, what is left of CWA on equal text, and whether
# there is any control to explain.


rule force_answers:
    input:
        unpack(other_answers),
        **({"attribution": ATTRIBUTION} if "mean" in study.forced.modes else {}),
        **of_model("force_answers", answers=ANSWERS),
    output:
        paths.below("forced/{model}.{language}.nc"),
    log:
        paths.below("logs/force_answers/{model}.{language}.log"),
    priority: 2  # circuits and transplants wait for it
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(forced_answers, captured=False),
    params:
        **MODEL,
        other=other_model,
        config=study.slice(
            "generation", "counting", "n_words", "forced", "ablation.positions", "ablation.seed"
        ),
    message:
        "Forcing answers on {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/force_answers.py"
