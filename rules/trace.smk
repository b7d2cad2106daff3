# Where N is in the stream, by layer and role of tokens, and what heads look at. Tuned models only,
# for there must be control to explain.
from lengthlens.workflow.targets import TRACES


rule trace_model:
    input:
        **of_model(
            "trace_model",
            answers=ANSWERS,
            circuits=paths.below("circuits/{model}.{language}.nc"),
            selection=paths.below("selection/{model}.{language}.csv"),
        ),
    output:
        **{name: paths.below(f"{name}/{{model}}.{{language}}.nc") for name in TRACES},
    log:
        paths.below("logs/trace_model/{model}.{language}.log"),
    conda:
        "../envs/environment.yaml"
    threads: study.generation.threads
    resources:
        **decoding(traced_answers, captured=False, exact=True),
    params:
        **MODEL,
        config=study.slice(
            *("generation", "counting", "n_words", "tracing", "paths", "contrasts"),
            *("patching.seed", "prompts.seed"),
        ),
    message:
        "Following N through {wildcards.model} in {wildcards.language}"
    script:
        "../scripts/trace_model.py"
