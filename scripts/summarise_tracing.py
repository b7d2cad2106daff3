"""Where N is and what looks at it, of all tuned models, as tables."""

from pathlib import Path

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.attention import summarise_attention
    from lengthlens.analysis.contrasts import summarise_contrasts
    from lengthlens.analysis.paths import summarise_paths
    from lengthlens.analysis.tracing import summarise_tracing
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import (
        check_together,
        open_attention,
        open_contrasts,
        open_pairs,
        open_paths,
        open_tracing,
    )
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    bootstrap = Bootstrap(**params.config["statistics"])
    readers = (open_tracing, open_attention, open_paths, open_contrasts)
    names = ("tracing", "attention", "paths", "contrasts")
    tracing, attention, paths, contrasts = files = [
        open_pairs(snakemake.input[name], params.pairs, reader)
        for name, reader in zip(names, readers, strict=True)
    ]
    check_together(*files)
    origins = [file.attrs["provenance"] for kind in files for file in kind.values()]
    made = derived(formats.TABLE, params.config, origins)
    tables = {"tracing": summarise_tracing(tracing, bootstrap)}
    tables |= summarise_attention(attention, bootstrap)
    tables |= summarise_paths(paths, bootstrap)
    tables |= summarise_contrasts(contrasts, bootstrap)
    outputs = {Path(path).stem: path for path in snakemake.output if path.endswith(".csv")}
    for name, table in tables.items():
        write_table(table, outputs[name], made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
