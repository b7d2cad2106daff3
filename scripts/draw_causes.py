"""Draw transfer between languages, and direct effect and repair."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.figures import repair, transfer
    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.readers import open_table

    params = snakemake.params
    cast = cast_of(params.variants, snakemake.input.languages)
    tables = {name: open_table(snakemake.input[name]) for name in ("transfer", "repair")}
    figures = {
        "transfer": (transfer.draw_transfer(tables["transfer"], cast), transfer.TITLE),
        "repair": (repair.draw_repair(tables["repair"], cast), repair.TITLE),
    }
    for name, (figure, title) in figures.items():
        sources = [tables[name].attrs["provenance"]]
        save_formats(figure, snakemake.output[name], title, params.config, sources, params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
