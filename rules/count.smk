# The count in the stream: probed, steered, and compared in the final MLP's neurons. Tuned models
# only, for there must be control to explain; the margin by depth beside that of untuned ones.

from lengthlens.workflow.targets import COUNT_TABLES


rule measure_count:
    input:
        code=code("measure_count"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        answers=ANSWERS,
        provenance=ANSWERS_PROVENANCE,
    output:
        paths.below("count/{model}.{language}.nc"),
    log:
        paths.below("logs/measure_count/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(counted_answers, captured=False, exact=True),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        languages=list(study.languages),
        config=study.slice("generation", "counting", "n_words", "count"),
    message:
        "Measuring the count in the stream of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/measure_count.py"


rule summarise_count:
    input:
        code=code("summarise_count"),
        measured=paths.each_tuned("count/{model}.{language}.nc"),
        attributions=paths.each_pair("attribution/{model}.{language}.nc"),
        forced=paths.each_pair("forced/{model}.{language}.nc"),
    output:
        **{
            name: report(
                paths.below(f"tables/{name}.csv"),
                caption=f"captions/{name}.rst",
                category="Mechanism",
                labels={"table": label},
            )
            for name, label in COUNT_TABLES.items()
        },
        provenance=[paths.below(f"tables/{name}.provenance.json") for name in COUNT_TABLES],
    log:
        paths.below("logs/summarise_count.log"),
    conda:
        "../envs/environment.yaml"
    params:
        tunings=study.tunings,
        pairs=paths.pairs,
        tuned_pairs=paths.tuned_pairs,
        model_pairs=study.model_pairs,
        config=study.slice("statistics"),
    message:
        "Summarising the count in the stream"
    script:
        "../scripts/summarise_count.py"
