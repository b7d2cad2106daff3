# Everything that people read, in one page.
from lengthlens.figures.registry import FIGURES

TEMPLATES = sorted(map(project_file, (SCRIPTS / "lengthlens/reporting/templates").iterdir()))
CAPTIONS = [project_file(f"rules/captions/{name}.rst") for name in FIGURES]
REPORTED = {
    "prompts": paths.prompts(),
    **{name: paths.source(name) for name in ("answers", "tokens", "attributions", "ablations")},
    "tables": paths.tables(),
}


rule render_report:
    input:
        **REPORTED,
        code=code("render_report"),
        templates=TEMPLATES,
        captions=CAPTIONS,
        languages=PROBED_LANGUAGE_FILES,
        cwa=paths.below("cwa.nc"),
        claims=paths.below("claims.csv"),
        claims_provenance=paths.below("claims.provenance.json"),
        figures=paths.figures(),
        provenance=sidecars_of(REPORTED),
    output:
        report=paths.below("report.html"),
        findings=paths.below("findings.md"),
        findings_provenance=paths.below("findings.provenance.json"),
    log:
        paths.below("logs/render_report.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.pairs,
        tunings=study.tunings,
        config=study.values,
    message:
        "Writing the report"
    script:
        "../scripts/render_report.py"
