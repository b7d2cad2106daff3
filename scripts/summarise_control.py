"""Ask of every model and language whether there is any control to explain: tables/control.csv."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.control import measure_control
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import check_together, open_forced, open_generations, open_pairs
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    answers = open_pairs(snakemake.input.answers, params.pairs, open_generations)
    forced = open_pairs(snakemake.input.forced, params.pairs, open_forced)
    check_together(answers, forced)
    table = measure_control(answers, forced, Bootstrap(**params.config["statistics"]))
    made = derived(formats.TABLE, params.config, (f.attrs["provenance"] for f in forced.values()))
    write_table(table, snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
