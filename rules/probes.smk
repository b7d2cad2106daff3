# Behavioural probes: aligned decoding, languages that are only probed, N beyond the study's.
from lengthlens.workflow.targets import PROBE_TABLES, provenance_of

PROBED_LANGUAGE_FILES = [
    project_file(f"resources/languages/{code}.yaml") for code in study.probed_languages
]


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


rule summarise_probes:
    input:
        code=code("summarise_probes"),
        probes=paths.probed(),
        probes_provenance=paths.probed("provenance.json"),
        answers=paths.each_pair("generations/{model}.{language}.jsonl"),
        answers_provenance=paths.each_pair("generations/{model}.{language}.provenance.json"),
        attributions=paths.each_pair("attribution/{model}.{language}.nc"),
    output:
        **dict(zip(PROBE_TABLES, paths.probe_tables())),
        provenance=[provenance_of(path) for path in paths.probe_tables()],
    log:
        paths.below("logs/summarise_probes.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.pairs,
        probed=paths.probed_pairs,
        references=list(study.probes.languages),
        config=study.slice("statistics", "counting"),
    message:
        "Summarising the probes"
    script:
        "../scripts/summarise_probes.py"


rule draw_tokenization:
    input:
        code=code("draw_tokenization"),
        languages=PROBED_LANGUAGE_FILES,
        tokenization=paths.below("tables/tokenization.csv"),
        slopes=paths.below("tables/tokens_per_word.csv"),
        provenance=[
            paths.below(f"tables/{table}.provenance.json")
            for table in ("tokenization", "tokens_per_word")
        ],
    output:
        figure_files("tokenization", "Tokenization", "Words of one token"),
    log:
        paths.below("logs/draw_tokenization.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing words and tokens"
    script:
        "../scripts/draw_tokenization.py"


rule draw_extrapolation:
    input:
        code=code("draw_extrapolation"),
        languages=PROBED_LANGUAGE_FILES,
        table=paths.below("tables/extrapolation.csv"),
        dips=paths.below("tables/dip.csv"),
        provenance=[
            paths.below(f"tables/{table}.provenance.json") for table in ("extrapolation", "dip")
        ],
    output:
        figure_files("extrapolation", "Behaviour", "Beyond the study's N"),
    log:
        paths.below("logs/draw_extrapolation.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing control beyond the N of the study"
    script:
        "../scripts/draw_extrapolation.py"
