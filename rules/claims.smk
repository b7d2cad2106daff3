# Everything measured -> claims with verdicts.

from lengthlens.settings.claims import CLAIMED_TABLES

CLAIM_SOURCES = (
    *("attributions", "generations", "probes", "forced", "ablations", "repairs"),
    "transplants_files",
)
CLAIM_FILES = {source: paths.source(source) for source in (*CLAIM_SOURCES, *CLAIMED_TABLES)}


rule evaluate_claims:
    input:
        **with_sidecars(CLAIM_FILES),
        code=code("evaluate_claims"),
        claims=CLAIMS,
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
        reads={source: paths.keys(source) for source in CLAIM_FILES},
        config=study.slice("statistics"),
    message:
        "Judging the claims"
    script:
        "../scripts/evaluate_claims.py"
