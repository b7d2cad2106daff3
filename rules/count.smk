# The count in the stream: probed, steered, and compared in the final MLP's neurons. Tuned models
# only, for there must be control to explain; the margin by depth beside that of untuned ones.


rule measure_count:
    input:
        **of_model("measure_count", answers=ANSWERS),
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
        **MODEL,
        languages=list(study.languages),
        config=study.slice("generation", "counting", "n_words", "count"),
    message:
        "Measuring the count in the stream of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/measure_count.py"
