"""Draw free answers beside answers of one whole word a token."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.figures.tokenization import TITLE, draw_tokenization
    from lengthlens.readers import open_table

    params = snakemake.params
    cast = cast_of(params.variants, snakemake.input.languages)
    tables = [open_table(snakemake.input[name]) for name in ("tokenization", "slopes")]
    figure = draw_tokenization(*tables, cast)
    sources = [table.attrs["provenance"] for table in tables]
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
