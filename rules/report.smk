# Everything that people read, in one page.
from lengthlens.figures.registry import FIGURES

TEMPLATES = sorted(map(project_file, (SCRIPTS / "lengthlens/reporting/templates").iterdir()))
CAPTIONS = [project_file(f"rules/captions/{name}.rst") for name in FIGURES]
REPORTED = {
    **{
        name: paths.source(name)
        for name in ("prompts", "answers", "tokens", "attributions", "ablations")
    },
    "tables": paths.tables(),
    "claims": paths.below("claims.csv"),
}


rule render_report:
    input:
        **with_sidecars(REPORTED),
        code=code("render_report"),
        templates=TEMPLATES,
        captions=CAPTIONS,
        languages=PROBED_LANGUAGE_FILES,
        cwa=paths.below("cwa.nc"),
        figures=paths.figures(),
    output:
        report=paths.below("report.html"),
        findings=paths.below("findings.md"),
        findings_provenance=paths.below("findings.provenance.json"),
    log:
        paths.below("logs/render_report.log"),
    conda:
        "../envs/environment.yaml"
    params:
        pairs=paths.keys("answers"),
        tunings=study.tunings,
        config=study.values,
    message:
        "Writing the report"
    script:
        "../scripts/render_report.py"
