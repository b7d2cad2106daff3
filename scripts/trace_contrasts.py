"""Answer contrasting prompts and trace N in them, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    import sys

    from lengthlens.ablation.selection import read_selection
    from lengthlens.files.formats import CONTRASTS
    from lengthlens.files.identity import check_agreement, inherited, this_run
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.opening import open_exact_model, settings_of
    from lengthlens.language.languages import load_language
    from lengthlens.patching.material import Reading
    from lengthlens.readers import open_circuits
    from lengthlens.tracing.contrasts import ContrastPlan, measure_contrasts
    from lengthlens.tracing.paths import circuit_members
    from lengthlens.weights.checkpoints import read_manifest

    params, given = snakemake.params, snakemake.input
    config = params.config
    manifest = read_manifest(given.manifest)
    origins = this_run(config, manifest)
    circuits, selection = open_circuits(given.circuits), read_selection(given.selection)
    origins[given.circuits] = circuits.attrs["provenance"]
    origins[given.selection] = selection.attrs["provenance"]
    check_agreement(origins)
    loaded = open_exact_model(params.name, params.model, config)
    language = load_language(given.language)
    members = circuit_members(circuits, selection, language.code, sys.maxsize)
    reading = Reading(config["n_words"], config["counting"], config["generation"]["date"])
    plan = ContrastPlan(
        config["contrasts"]["per_n"], config["tracing"]["every"], config["prompts"]["seed"]
    )
    dataset = measure_contrasts(loaded, language, members, reading, (plan, settings_of(config)))
    made = provenance(CONTRASTS, inherited(config, origins.values()), manifest)
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
