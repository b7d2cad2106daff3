"""Draw where N is, by layer and role."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.figures.tracing import TITLE, draw_tracing
    from lengthlens.readers import open_table

    params = snakemake.params
    table = open_table(snakemake.input.table)
    figure = draw_tracing(table, cast_of(params.variants, snakemake.input.languages))
    sources = [table.attrs["provenance"]]
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
