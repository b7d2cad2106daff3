"""Where N is and what looks at it, of all tuned models, as tables."""

from pathlib import Path

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.attention import summarise_attention
    from lengthlens.analysis.tracing import summarise_tracing
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import check_together, open_attention, open_pairs, open_tracing
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    bootstrap = Bootstrap(**params.config["statistics"])
    tracing = open_pairs(snakemake.input.tracing, params.pairs, open_tracing)
    attention = open_pairs(snakemake.input.attention, params.pairs, open_attention)
    check_together(tracing, attention)
    origins = [file.attrs["provenance"] for file in (*tracing.values(), *attention.values())]
    made = derived(formats.TABLE, params.config, origins)
    tables = {"tracing": summarise_tracing(tracing, bootstrap)}
    tables |= summarise_attention(attention, bootstrap)
    paths = {Path(path).stem: path for path in snakemake.output if path.endswith(".csv")}
    for name, table in tables.items():
        write_table(table, paths[name], made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
