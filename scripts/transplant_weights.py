"""Exchange parts of the weights between the models of a pair, in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.circuits.measure import smallest_circuit
    from lengthlens.files.formats import TRANSPLANT
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.opening import limited_settings
    from lengthlens.language.prompts import spread_over_n
    from lengthlens.readers import open_attribution, open_circuits
    from lengthlens.settings.sections import Transplant
    from lengthlens.transplant.measure import Material, measure_transplants
    from lengthlens.transplant.pair import open_pair
    from lengthlens.weights.checkpoints import read_manifest

    job, params, given = AnswersJob(snakemake), snakemake.params, snakemake.input
    config, plan = job.config, Transplant(**job.config["transplant"])
    manifests = [read_manifest(given.untuned_manifest), job.manifest]
    prompts = job.evaluate_prompts
    circuits = job.open(open_circuits, given.circuits)
    attribution = job.open(open_attribution, given.attribution)
    job.check()
    material = Material(
        spread_over_n(prompts, plan.per_n * len(config["n_words"]), plan.seed),
        job.language,
        config["n_words"],
        config["counting"],
        limited_settings(config, params.max_new_tokens, attribution),
    )
    pair = open_pair(params.names, params.models, config)
    circuit = smallest_circuit(circuits, job.language.code)
    dataset = measure_transplants(pair, material, circuit, plan)
    made = provenance(TRANSPLANT, job.whole_config)
    made["models"] = {manifest["model"]: manifest["sha256"] for manifest in manifests}
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
