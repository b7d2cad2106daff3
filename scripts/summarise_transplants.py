"""What parts of the weights suffice and are necessary, and where the weights moved, as tables."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.transplants import summarise_changes, summarise_transplants
    from lengthlens.files import formats
    from lengthlens.files.identity import check_agreement
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import open_patching, open_transplants
    from lengthlens.statistics import Bootstrap

    params, given, output = snakemake.params, snakemake.input, snakemake.output
    bootstrap = Bootstrap(**params.config["statistics"])
    keys = [tuple(key) for key in params.files]
    files = dict(zip(keys, map(open_transplants, given.transplants), strict=True))
    patching = dict(zip(keys, map(open_patching, given.patching), strict=True))
    paths = [*given.transplants, *given.patching]
    origins = [file.attrs["provenance"] for file in (*files.values(), *patching.values())]
    check_agreement(dict(zip(paths, origins, strict=True)))
    made = derived(formats.TABLE, params.config, origins)
    write_table(summarise_transplants(files, bootstrap), output.transplants, made)
    write_table(summarise_changes(files, patching, bootstrap), output.weight_change, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
