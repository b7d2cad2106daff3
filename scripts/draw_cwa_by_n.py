"""Draw CWA by N."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.cwa_by_n import TITLE, draw_cwa_by_n
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.readers import open_attribution, open_pairs

    params = snakemake.params
    cast = cast_of(params.variants, snakemake.input.languages)
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    figure = draw_cwa_by_n(attributions, cast, **params.config["statistics"])
    sources = [a.attrs["provenance"] for a in attributions.values()]
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
