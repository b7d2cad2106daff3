"""Rank the components of one model in one language on the select prompts."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.ablation.selection import select_components, with_forced
    from lengthlens.files.formats import SELECTION
    from lengthlens.files.identity import check_agreement, this_run
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import open_attribution, open_forced, open_patching

    params = snakemake.params
    readers = {"attribution": open_attribution, "forced": open_forced, "patching": open_patching}
    given = {name: path for name in readers if (path := snakemake.input.get(name))}
    files = {name: readers[name](path) for name, path in given.items()}
    origins = {given[name]: file.attrs["provenance"] for name, file in files.items()}
    check_agreement(this_run(params.config) | origins)
    table = select_components(with_forced(**files))
    made = derived(SELECTION, params.config, origins.values())
    write_table(table, snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
