"""Average the attribution of all models and languages over their answers: cwa.nc."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.attribution.cwa import aggregate_attribution
    from lengthlens.files import formats
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import derived
    from lengthlens.readers import open_attribution, open_pairs
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    means = aggregate_attribution(attributions, Bootstrap(**params.config["statistics"]))
    made = derived(
        formats.CWA, params.config, (a.attrs["provenance"] for a in attributions.values())
    )
    write_dataset(means, snakemake.output.cwa, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
