"""Average the attribution of all models and languages over their answers: cwa.nc."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from lengthlens import formats
    from lengthlens.cwa import aggregate_attribution
    from lengthlens.netcdf import write_dataset
    from lengthlens.provenance import provenance
    from lengthlens.readers import open_attribution, open_pairs, weights_of

    params = snakemake.params
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    means = aggregate_attribution(attributions, **params.config["statistics"])
    made = provenance(formats.CWA, params.config)
    made["models"] = weights_of(a.attrs["provenance"] for a in attributions.values())
    write_dataset(means, snakemake.output.cwa, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
