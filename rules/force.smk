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


rule summarise_forced:
    input:
        code=code("summarise_forced"),
        attributions=paths.each_pair("attribution/{model}.{language}.nc"),
        forced=paths.each_pair("forced/{model}.{language}.nc"),
    output:
        scores=report(
            paths.below("tables/scores.csv"),
            caption="captions/scores_table.rst",
            category="Causes",
            labels={"table": "Scores against effects"},
        ),
        scores_provenance=paths.below("tables/scores.provenance.json"),
        same_text=report(
            paths.below("tables/same_text.csv"),
            caption="captions/same_text_table.rst",
            category="Attribution",
            labels={"table": "On the same text"},
        ),
        same_text_provenance=paths.below("tables/same_text.provenance.json"),
        nswap=report(
            paths.below("tables/nswap.csv"),
            caption="captions/nswap_table.rst",
            category="Causes",
            labels={"table": "N swapped"},
        ),
        nswap_provenance=paths.below("tables/nswap.provenance.json"),
    log:
        paths.below("logs/summarise_forced.log"),
    conda:
        "../envs/environment.yaml"
    params:
        tunings=study.tunings,
        models=study.model_pairs,
        pairs=paths.pairs,
        config=study.slice("statistics"),
    message:
        "Comparing scores with effects, and texts with models"
    script:
        "../scripts/summarise_forced.py"


rule summarise_control:
    input:
        code=code("summarise_control"),
        answers=paths.each_pair("generations/{model}.{language}.jsonl"),
        answers_provenance=paths.each_pair("generations/{model}.{language}.provenance.json"),
        forced=paths.each_pair("forced/{model}.{language}.nc"),
    output:
        table=report(
            paths.below("tables/control.csv"),
            caption="captions/control.rst",
            category="Behaviour",
            labels={"table": "Is there control?"},
        ),
        provenance=paths.below("tables/control.provenance.json"),
    log:
        paths.below("logs/summarise_control.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.pairs,
        config=study.slice("statistics"),
    message:
        "Asking whether there is control to explain"
    script:
        "../scripts/summarise_control.py"
