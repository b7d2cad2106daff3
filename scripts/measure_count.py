"""Probe and steer the count in the stream of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.count.measure import CountPlan, CountTexts, is_steered, measure_count
    from lengthlens.files.formats import COUNT, GENERATIONS
    from lengthlens.files.identity import check_agreement, inherited, this_run
    from lengthlens.files.jsonl import read_rows_made
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.opening import open_exact_model, settings_of
    from lengthlens.language.languages import load_language
    from lengthlens.patching.material import Reading
    from lengthlens.weights.checkpoints import read_manifest

    params = snakemake.params
    config = params.config
    manifest = read_manifest(snakemake.input.manifest)
    origins = this_run(config, manifest)
    answers, origins[snakemake.input.answers] = read_rows_made(snakemake.input.answers, GENERATIONS)
    check_agreement(origins)
    loaded = open_exact_model(params.name, params.model, config)
    reading = Reading(config["n_words"], config["counting"], config["generation"]["date"])
    language = load_language(snakemake.input.language)
    plan = CountPlan(**config["count"], memory_gb=config["generation"]["memory_gb"])
    steered = is_steered(plan, language.code, params.languages)
    texts = CountTexts(language, answers, reading, settings_of(config), steered)
    dataset = measure_count(loaded, texts, plan)
    made = provenance(COUNT, inherited(config, origins.values()), manifest)
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
