# Everything that people read, in one page.
from lengthlens.figures.registry import FIGURES
from lengthlens.workflow.targets import provenance_of

TEMPLATES = sorted(map(project_file, (SCRIPTS / "lengthlens/reporting/templates").iterdir()))
CAPTIONS = [project_file(f"rules/captions/{name}.rst") for name in FIGURES]


rule render_report:
    input:
        code=code("render_report"),
        templates=TEMPLATES,
        captions=CAPTIONS,
        languages=LANGUAGE_FILES,
        prompts=paths.prompts(),
        prompts_provenance=[provenance_of(path) for path in paths.prompts()],
        answers=paths.each_pair("generations/{model}.{language}.jsonl"),
        answers_provenance=paths.each_pair("generations/{model}.{language}.provenance.json"),
        tokens=paths.each_pair("tokens/{model}.{language}.jsonl"),
        tokens_provenance=paths.each_pair("tokens/{model}.{language}.provenance.json"),
        attributions=paths.each_pair("attribution/{model}.{language}.nc"),
        ablations=paths.each_pair("ablation/{model}.{language}.nc"),
        cwa=paths.below("cwa.nc"),
        figures=paths.figures(),
        claims=paths.below("claims.csv"),
        claims_provenance=paths.below("claims.provenance.json"),
        tables=paths.tables(),
        tables_provenance=[provenance_of(path) for path in paths.tables()],
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
