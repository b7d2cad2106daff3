# Behavioural probes: aligned decoding, languages that are only probed, N beyond the study's.


rule answer_probes:
    input:
        unpack(study_answers),
        **of_model("answer_probes"),
    output:
        answers=paths.below("probes/{model}.{language}.jsonl"),
        provenance=paths.below("probes/{model}.{language}.provenance.json"),
    log:
        paths.below("logs/answer_probes/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(probe_prompts, captured=False),
    params:
        **MODEL,
        config=study.slice(
            "generation", "counting", "prompts", "n_words", "probes.n_words", "probes.per_n"
        ),
    message:
        "Probing {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/answer_probes.py"
