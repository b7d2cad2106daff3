"""The count in the stream of all tuned models, and the end margin by depth, as tables."""

from pathlib import Path

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.count import summarise_count
    from lengthlens.analysis.margin_by_depth import summarise_depth
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import (
        check_together,
        open_attribution,
        open_count,
        open_forced,
        open_pairs,
    )
    from lengthlens.statistics import Bootstrap

    params, given = snakemake.params, snakemake.input
    bootstrap = Bootstrap(**params.config["statistics"])
    attributions = open_pairs(given.attributions, params.pairs, open_attribution)
    forced = open_pairs(given.forced, params.pairs, open_forced)
    count = open_pairs(given.measured, params.tuned_pairs, open_count)
    check_together(attributions, forced, count)
    origins = [file.attrs["provenance"] for file in (*forced.values(), *count.values())]
    made = derived(formats.TABLE, params.config, origins)
    tables = summarise_count(count, bootstrap)
    tables["depth"] = summarise_depth(
        params.tunings, params.model_pairs, attributions, forced, bootstrap
    )
    for path in snakemake.output:
        if path.endswith(".csv"):
            write_table(tables[Path(path).stem], path, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
