# Where N is in the stream, by layer and role of tokens, and what heads look at. Tuned models only,
# for there must be control to explain.

from lengthlens.workflow.targets import TRACE_TABLES


rule trace_stream:
    input:
        code=code("trace_stream"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        answers=ANSWERS,
        provenance=ANSWERS_PROVENANCE,
    output:
        paths.below("tracing/{model}.{language}.nc"),
    log:
        paths.below("logs/trace_stream/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(traced_answers, captured=False, exact=True),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice("generation", "counting", "n_words", "tracing", "patching.seed"),
    message:
        "Tracing the stream of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/trace_stream.py"


rule read_attention:
    input:
        code=code("read_attention"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        answers=ANSWERS,
        provenance=ANSWERS_PROVENANCE,
        circuits=paths.below("circuits/{model}.{language}.nc"),
    output:
        paths.below("attention/{model}.{language}.nc"),
    log:
        paths.below("logs/read_attention/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(traced_answers, captured=False, exact=True),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice("generation", "counting", "n_words", "tracing", "patching.seed"),
    message:
        "Reading the attention of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/read_attention.py"


rule measure_paths:
    input:
        code=code("measure_paths"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        answers=ANSWERS,
        provenance=ANSWERS_PROVENANCE,
        circuits=paths.below("circuits/{model}.{language}.nc"),
        selection=paths.below("selection/{model}.{language}.csv"),
        selection_provenance=paths.below("selection/{model}.{language}.provenance.json"),
    output:
        paths.below("paths/{model}.{language}.nc"),
    log:
        paths.below("logs/measure_paths/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(path_answers, captured=False, exact=True),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice("generation", "counting", "n_words", "paths", "patching.seed"),
    message:
        "Patching the paths of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/measure_paths.py"


rule trace_contrasts:
    input:
        code=code("trace_contrasts"),
        manifest=manifest,
        proof=proof,
        language=language_file,
        circuits=paths.below("circuits/{model}.{language}.nc"),
        selection=paths.below("selection/{model}.{language}.csv"),
        selection_provenance=paths.below("selection/{model}.{language}.provenance.json"),
    output:
        paths.below("contrasts/{model}.{language}.nc"),
    log:
        paths.below("logs/trace_contrasts/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(contrast_answers, captured=False, exact=True),
    params:
        name=lambda wildcards: wildcards.model,
        model=model_entry,
        config=study.slice(
            "generation", "counting", "n_words", "contrasts", "tracing.every", "prompts.seed"
        ),
    message:
        "Tracing contrasting prompts of {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/trace_contrasts.py"


rule summarise_tracing:
    input:
        code=code("summarise_tracing"),
        tracing=paths.each_tuned("tracing/{model}.{language}.nc"),
        attention=paths.each_tuned("attention/{model}.{language}.nc"),
        paths=paths.each_tuned("paths/{model}.{language}.nc"),
        contrasts=paths.each_tuned("contrasts/{model}.{language}.nc"),
    output:
        **{
            name: report(
                paths.below(f"tables/{name}.csv"),
                caption=f"captions/{name}.rst",
                category="Mechanism",
                labels={"table": label},
            )
            for name, label in TRACE_TABLES.items()
        },
        provenance=[paths.below(f"tables/{name}.provenance.json") for name in TRACE_TABLES],
    log:
        paths.below("logs/summarise_tracing.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.tuned_pairs,
        config=study.slice("statistics"),
    message:
        "Summarising where N is and what looks at it"
    script:
        "../scripts/summarise_tracing.py"
