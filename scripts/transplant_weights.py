"""Exchange parts of the weights between the models of a pair, in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.circuits.measure import smallest_circuit
    from lengthlens.files.formats import PROMPTS, TRANSPLANT
    from lengthlens.files.identity import check_agreement, inherited, this_run
    from lengthlens.files.jsonl import read_rows_made
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.opening import limited_settings
    from lengthlens.language.prompts import Prompt, load_language, spread_over_n
    from lengthlens.readers import open_attribution, open_circuits
    from lengthlens.settings.sections import Transplant
    from lengthlens.transplant.measure import Material, measure_transplants
    from lengthlens.transplant.pair import open_pair
    from lengthlens.weights.checkpoints import read_manifest

    params, given = snakemake.params, snakemake.input
    config, plan = params.config, Transplant(**params.config["transplant"])
    manifests = [read_manifest(path) for path in (given.untuned_manifest, given.manifest)]
    rows, origin = read_rows_made(given.prompts, PROMPTS)
    circuits, attribution = open_circuits(given.circuits), open_attribution(given.attribution)
    origins = this_run(config, manifests[1]) | {
        given.prompts: origin,
        given.circuits: circuits.attrs["provenance"],
        given.attribution: attribution.attrs["provenance"],
    }
    check_agreement(origins)
    language = load_language(given.language)
    prompts = [Prompt(**row) for row in rows if row["split"] == "evaluate"]
    material = Material(
        spread_over_n(prompts, plan.per_n * len(config["n_words"]), plan.seed),
        language,
        config["n_words"],
        config["counting"],
        limited_settings(config, params.max_new_tokens, attribution),
    )
    pair = open_pair(params.names, params.models, config)
    circuit = smallest_circuit(circuits, language.code)
    dataset = measure_transplants(pair, material, circuit, plan)
    made = provenance(TRANSPLANT, inherited(config, origins.values()))
    made["models"] = {manifest["model"]: manifest["sha256"] for manifest in manifests}
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
