"""Draw the dose-response of ablation."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures.ablation import TITLE, draw_ablation
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.readers import open_ablation, open_pairs

    params = snakemake.params
    cast = cast_of(params.variants, snakemake.input.languages)
    ablations = open_pairs(snakemake.input.ablations, params.pairs, open_ablation)
    figure = draw_ablation(ablations, cast, **params.config["statistics"])
    sources = [a.attrs["provenance"] for a in ablations.values()]
    save_formats(figure, snakemake.output, TITLE, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
