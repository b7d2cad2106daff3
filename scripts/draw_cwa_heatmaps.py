"""Draw the map of all heads."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.cwa_heatmaps import TITLE, draw_cwa_heatmaps
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.readers import open_cwa, open_pairs, open_selection

    params = snakemake.params
    cast = cast_of(params.variants, snakemake.input.languages)
    cwa = open_cwa(snakemake.input.cwa)
    rankings = open_pairs(snakemake.input.rankings, params.pairs, open_selection)
    figure = draw_cwa_heatmaps(cwa, rankings, cast, params.top)
    sources = [cwa.attrs["provenance"]]
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
