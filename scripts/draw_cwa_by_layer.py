"""Draw CWA by layer."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.cwa_by_layer import TITLE, draw_cwa_by_layer
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.readers import open_cwa

    params = snakemake.params
    cast = cast_of(params.variants, snakemake.input.languages)
    cwa = open_cwa(snakemake.input.cwa)
    figure = draw_cwa_by_layer(cwa, cast)
    sources = [cwa.attrs["provenance"]]
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
