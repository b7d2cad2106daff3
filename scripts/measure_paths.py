"""Patch paths between components in runs that differ in N alone, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.ablation.selection import read_selection
    from lengthlens.files.formats import GENERATIONS, PATHS
    from lengthlens.files.identity import check_agreement, inherited, this_run
    from lengthlens.files.jsonl import read_rows_made
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.opening import open_exact_model
    from lengthlens.language.languages import load_language
    from lengthlens.patching.material import Reading, swap_material
    from lengthlens.readers import open_circuits
    from lengthlens.tracing.paths import SWAP, PathPlan, circuit_members, measure_paths
    from lengthlens.tracing.roles import answer_roles
    from lengthlens.weights.checkpoints import read_manifest

    params, given = snakemake.params, snakemake.input
    config = params.config
    manifest = read_manifest(given.manifest)
    origins = this_run(config, manifest)
    answers, origins[given.answers] = read_rows_made(given.answers, GENERATIONS)
    circuits, selection = open_circuits(given.circuits), read_selection(given.selection)
    origins[given.circuits] = circuits.attrs["provenance"]
    origins[given.selection] = selection.attrs["provenance"]
    check_agreement(origins)
    loaded = open_exact_model(params.name, params.model, config)
    reading = Reading(config["n_words"], config["counting"], config["generation"]["date"])
    language = load_language(given.language)
    plan = PathPlan(
        **config["paths"],
        memory_gb=config["generation"]["memory_gb"],
        seed=config["patching"]["seed"],
    )
    swaps = swap_material(loaded, language, answers, reading, (SWAP,))
    roles = answer_roles(loaded, language, answers, reading.date)
    members = circuit_members(circuits, selection, language.code, plan.most)
    dataset = measure_paths(loaded, answers, (swaps, roles), members, plan)
    made = provenance(PATHS, inherited(config, origins.values()), manifest)
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
