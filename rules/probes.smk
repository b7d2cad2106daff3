# Behavioural probes: aligned decoding, languages that are only probed, N beyond the study's.


rule answer_probes:
    input:
        unpack(study_answers),
        code=code("answer_probes"),
        manifest=manifest,
        proof=proof,
        language=language_file,
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
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice(
            "generation", "counting", "prompts", "n_words", "probes.n_words", "probes.per_n"
        ),
    message:
        "Probing {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/answer_probes.py"
