"""Tuning as a series of checkpoints, as a table."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.series import summarise_series
    from lengthlens.files import formats
    from lengthlens.files.identity import check_agreement
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import open_table

    given, params = snakemake.input, snakemake.params
    names = ("behaviour", "patches", "circuit_members", "attention")
    tables = {name: open_table(given[name]) for name in names}
    origins = {given[name]: table.attrs["provenance"] for name, table in tables.items()}
    check_agreement(origins)
    found = summarise_series({model: tuple(step) for model, step in params.steps.items()}, tables)
    made = derived(formats.TABLE, {"statistics": params.config["statistics"]}, origins.values())
    write_table(found, snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
