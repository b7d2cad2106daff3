"""Draw one figure in all formats: figures/{figure}.{png,svg,pdf}."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from importlib import import_module

    from lengthlens.figures.draw import cast_of, save_formats
    from lengthlens.readers import open_source, origins
    from lengthlens.statistics import Bootstrap

    params, name = snakemake.params, snakemake.params.figure
    module = import_module(f"lengthlens.figures.{name}")
    cast = cast_of(params.tunings, snakemake.input.languages)
    given, reads = snakemake.input, params.reads
    data = [open_source(each, list(given[each]), keys) for each, keys in reads.items()]
    options = {}
    for key, section in params.config.items():
        options |= {"bootstrap": Bootstrap(**section)} if key == "statistics" else section
    figure = getattr(module, f"draw_{name}")(*data, cast, **options)
    made = [origin for source in data for origin in origins(source)]
    save_formats(figure, snakemake.output, params.config, made, dpi=params.dpi)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
