"""Render the report: report.html."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.files import formats
    from lengthlens.files.provenance import provenance, write_with_sidecar
    from lengthlens.files.whole import write_text
    from lengthlens.reporting.compose import compose_material
    from lengthlens.reporting.digest import digest
    from lengthlens.reporting.page import page_provenance, render_report
    from lengthlens.reporting.shown import shown_sections

    params = snakemake.params
    made = provenance(formats.REPORT, params.config)
    files = {name: value for name, value in snakemake.input.items()}
    material = compose_material(files, params.pairs, params.tunings, params.config, made)
    sections = shown_sections(material)
    write_text(Path(snakemake.output.report), render_report(material, sections))
    text, told = digest(sections, material.run, made), page_provenance(material)
    write_with_sidecar(snakemake.output.findings, text, told)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
