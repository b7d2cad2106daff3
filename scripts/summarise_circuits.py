"""What carries N: single components and circuits of all tuned models, as tables."""

from pathlib import Path

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.circuits import summarise_circuits
    from lengthlens.analysis.patch_scores import compare_with_patches
    from lengthlens.analysis.patches import carriers, summarise_patches
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import (
        check_together,
        open_attribution,
        open_circuits,
        open_forced,
        open_pairs,
        open_patching,
    )
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    bootstrap = Bootstrap(**params.config["statistics"])
    patching = open_pairs(snakemake.input.patching, params.pairs, open_patching)
    circuits = open_pairs(snakemake.input.circuits, params.pairs, open_circuits)
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    forced = open_pairs(snakemake.input.forced, params.pairs, open_forced)
    check_together(attributions, forced, patching, circuits)
    origins = [file.attrs["provenance"] for file in (*patching.values(), *circuits.values())]
    made = derived(formats.TABLE, params.config, origins)
    patches = summarise_patches(patching, bootstrap)
    tables = {
        "patches": patches,
        "carriers": carriers(patches),
        "patch_scores": compare_with_patches(attributions, forced, patching, bootstrap),
    }
    tables |= summarise_circuits(circuits, params.config["circuits"]["faithful"], bootstrap)
    paths = {Path(path).stem: path for path in snakemake.output if path.endswith(".csv")}
    for name, table in tables.items():
        write_table(table, paths[name], made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
