"""Rank the components of one model in one language on the select prompts."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from lengthlens.formats import ATTRIBUTION, FORCED, SELECTION
    from lengthlens.netcdf import read_dataset
    from lengthlens.provenance import provenance
    from lengthlens.selection import select_components, with_forced
    from lengthlens.tables import write_table

    params = snakemake.params
    attribution = read_dataset(snakemake.input.attribution, ATTRIBUTION)
    forced = read_dataset(snakemake.input.forced, FORCED)
    table = select_components(with_forced(attribution, forced))
    write_table(table, snakemake.output.table, provenance(SELECTION, params.config))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
