"""Compare the ablation of chosen heads with that of random ones: tables/ablation.csv."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from lengthlens import formats
    from lengthlens.effects import summarise_ablation
    from lengthlens.provenance import provenance
    from lengthlens.readers import open_ablation, open_pairs, weights_of
    from lengthlens.tables import write_table

    params = snakemake.params
    ablations = open_pairs(snakemake.input.ablations, params.pairs, open_ablation)
    table = summarise_ablation(ablations, **params.config["statistics"])
    made = provenance(formats.TABLE, params.config)
    made["models"] = weights_of(a.attrs["provenance"] for a in ablations.values())
    write_table(table, snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
