# Everything measured -> claims with verdicts; answers -> the table of how well models keep to N.

from lengthlens.settings.claims import CLAIMED_TABLES


rule evaluate_claims:
    input:
        **{name: paths.below(f"tables/{name}.csv") for name in CLAIMED_TABLES},
        code=code("evaluate_claims"),
        claims=CLAIMS,
        attributions=paths.each_pair("attribution/{model}.{language}.nc"),
        forced=paths.each_pair("forced/{model}.{language}.nc"),
        ablations=paths.each_pair("ablation/{model}.{language}.nc"),
        repairs=paths.each_pair("repair/{model}.{language}.nc"),
        transplants=paths.each_transplant("transplant/{untuned}--{tuned}.{language}.nc"),
        answers=paths.each_pair("generations/{model}.{language}.jsonl"),
        provenance=paths.each_pair("generations/{model}.{language}.provenance.json"),
        probes=paths.probed(),
        probes_provenance=paths.probed("provenance.json"),
        tables_provenance=[paths.below(f"tables/{name}.provenance.json") for name in CLAIMED_TABLES],
    output:
        table=report(
            paths.below("claims.csv"),
            caption="captions/claims.rst",
            category="Claims",
            labels={"table": "Claims and verdicts"},
        ),
        provenance=paths.below("claims.provenance.json"),
    log:
        paths.below("logs/evaluate_claims.log"),
    conda:
        "../envs/environment.yaml"
    params:
        models=study.model_pairs,
        pairs=paths.pairs,
        probed=paths.probed_pairs,
        transplanted=paths.transplant_keys,
        config=study.slice("statistics"),
    message:
        "Judging the claims"
    script:
        "../scripts/evaluate_claims.py"


rule summarise_answers:
    input:
        code=code("summarise_answers"),
        languages=LANGUAGE_FILES,
        answers=paths.each_pair("generations/{model}.{language}.jsonl"),
        provenance=paths.each_pair("generations/{model}.{language}.provenance.json"),
    output:
        table=report(
            paths.below("tables/behaviour.csv"),
            caption="captions/behaviour.rst",
            category="Behaviour",
            labels={"table": "Word-count errors"},
        ),
        provenance=paths.below("tables/behaviour.provenance.json"),
    log:
        paths.below("logs/summarise_answers.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.pairs,
        config=study.slice("statistics", "counting", "counted"),
    message:
        "Summarising the answers"
    script:
        "../scripts/summarise_answers.py"


rule summarise_models:
    input:
        code=code("summarise_models"),
        proofs=[proof_of(model) for model in study.models],
        answers=paths.each_pair("generations/{model}.{language}.jsonl"),
        provenance=paths.each_pair("generations/{model}.{language}.provenance.json"),
    output:
        table=report(
            paths.below("tables/models.csv"),
            caption="captions/models.rst",
            category="Behaviour",
            labels={"table": "Models and their settings"},
        ),
        provenance=paths.below("tables/models.provenance.json"),
    log:
        paths.below("logs/summarise_models.log"),
    conda:
        "../envs/environment.yaml"
    params:
        models=list(study.models),
        pairs=paths.pairs,
    message:
        "Summarising how the models were used"
    script:
        "../scripts/summarise_models.py"
