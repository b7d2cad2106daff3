"""Compare the ablation of chosen components with random ones: the tables of the causal stage."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.ablation.hypotheses import hypotheses_from
    from lengthlens.analysis.confirmatory import confirm
    from lengthlens.analysis.effects import summarise_ablation
    from lengthlens.analysis.repair import summarise_repair
    from lengthlens.analysis.transfer import correlate_profiles, summarise_transfer
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import (
        check_together,
        open_ablation,
        open_attribution,
        open_forced,
        open_pairs,
        open_repair,
        open_selection,
    )
    from lengthlens.statistics import Bootstrap

    params, output = snakemake.params, snakemake.output
    bootstrap = Bootstrap(**params.config["statistics"])
    ablations = open_pairs(snakemake.input.ablations, params.pairs, open_ablation)
    repairs = open_pairs(snakemake.input.repairs, params.pairs, open_repair)
    selections = open_pairs(snakemake.input.selections, params.pairs, open_selection)
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    forced = open_pairs(snakemake.input.forced, params.pairs, open_forced)
    check_together(ablations, repairs, selections, attributions, forced)
    effects = summarise_ablation(ablations, bootstrap)
    files = {"ablation": ablations, "attribution": attributions, "forced": forced}
    tests = confirm(hypotheses_from(params.tests), params.models, files, bootstrap)
    made = derived(
        formats.TABLE, params.config, (a.attrs["provenance"] for a in ablations.values())
    )
    tables = {
        output.table: effects,
        output.confirmatory: tests,
        output.transfer: summarise_transfer(effects, params.untuned),
        output.repair: summarise_repair(repairs, bootstrap),
        output.profiles: correlate_profiles(selections, params.untuned, bootstrap),
    }
    for path, table in tables.items():
        write_table(table, path, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
