"""Make the tables of one stage of the analysis: tables/{table}.csv (`analysis.registry`)."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from importlib import import_module

    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import open_sources, origins
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    data, config = open_sources(snakemake.input, params.reads), dict(params.config)
    sources = [made for name in params.origins for made in origins(data[name])]
    made = derived(formats.TABLE, config, sources)
    if "statistics" in config:
        config["bootstrap"] = Bootstrap(**config.pop("statistics"))
    stage = import_module(f"lengthlens.analysis.stages.{params.stage}")
    for name, table in stage.tables(**data, **config, **params.about).items():
        write_table(table, snakemake.output[name], made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
