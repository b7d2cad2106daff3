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
    attribution = open_attribution(snakemake.input.attribution)
    forced = open_forced(snakemake.input.forced)
    origins = {
        snakemake.input.attribution: attribution.attrs["provenance"],
        snakemake.input.forced: forced.attrs["provenance"],
    }
    patching = None
    if snakemake.input.get("patching"):  # of tuned models only
        patching = open_patching(snakemake.input.patching)
        origins[snakemake.input.patching] = patching.attrs["provenance"]
    check_agreement(this_run(params.config) | origins)
    table = select_components(with_forced(attribution, forced, patching))
    made = derived(SELECTION, params.config, origins.values())
    write_table(table, snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
