"""Keep or exchange whole circuits in runs that differ in N alone, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.ablation.selection import read_selection
    from lengthlens.circuits.measure import CircuitPlan, Texts, measure_circuits
    from lengthlens.files.formats import CIRCUITS, GENERATIONS
    from lengthlens.files.identity import check_agreement, inherited, this_run
    from lengthlens.files.jsonl import read_rows_made
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.opening import open_exact_model
    from lengthlens.language.languages import load_language
    from lengthlens.patching.material import Reading, swap_material
    from lengthlens.statistics import Bootstrap
    from lengthlens.weights.checkpoints import read_manifest

    params = snakemake.params
    config = params.config
    manifest = read_manifest(snakemake.input.manifest)
    origins = this_run(config, manifest)
    answers, origins[snakemake.input.answers] = read_rows_made(snakemake.input.answers, GENERATIONS)
    selections = {}
    for code, path in zip(params.languages, snakemake.input.selections, strict=True):
        selections[code] = read_selection(path)
        origins[path] = selections[code].attrs["provenance"]
    check_agreement(origins)
    loaded = open_exact_model(params.name, params.model, config)
    reading = Reading(config["n_words"], config["counting"], config["generation"]["date"])
    language = load_language(snakemake.input.language)
    material = swap_material(loaded, language, answers, reading, (1,))
    plan = CircuitPlan(**config["circuits"], memory_gb=config["generation"]["memory_gb"])
    texts = Texts(answers, material, language.code, config["counting"])
    dataset = measure_circuits(loaded, texts, selections, plan, Bootstrap(**config["statistics"]))
    made = provenance(CIRCUITS, inherited(config, origins.values()), manifest)
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
