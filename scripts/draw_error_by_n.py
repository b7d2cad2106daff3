"""Draw the word-count error by N."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.figures.error_by_n import TITLE, draw_error_by_n
    from lengthlens.readers import open_answers

    params = snakemake.params
    cast = cast_of(params.variants, snakemake.input.languages)
    answers = open_answers(snakemake.input.answers, params.pairs)
    figure = draw_error_by_n(answers, cast, **params.config["statistics"])
    sources = answers.attrs["provenance"].values()
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
