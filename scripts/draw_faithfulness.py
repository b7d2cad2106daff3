"""Draw how much of the effect of N circuits carry."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.figures.faithfulness import TITLE, draw_faithfulness
    from lengthlens.readers import open_table

    params = snakemake.params
    table = open_table(snakemake.input.table)
    figure = draw_faithfulness(table, cast_of(params.variants, snakemake.input.languages))
    sources = [table.attrs["provenance"]]
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
