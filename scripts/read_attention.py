"""Read what heads look at when a model decides, and keep them from it, in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.files.formats import ATTENTION, GENERATIONS
    from lengthlens.files.identity import check_agreement, inherited, this_run
    from lengthlens.files.jsonl import read_rows_made
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.opening import open_exact_model
    from lengthlens.language.languages import load_language
    from lengthlens.patching.material import Reading, swap_material
    from lengthlens.readers import open_circuits
    from lengthlens.tracing.attention import circuit_heads, measure_attention, own_texts
    from lengthlens.tracing.roles import answer_roles
    from lengthlens.tracing.stream import TracePlan
    from lengthlens.weights.checkpoints import read_manifest

    params = snakemake.params
    config = params.config
    manifest = read_manifest(snakemake.input.manifest)
    origins = this_run(config, manifest)
    answers, origins[snakemake.input.answers] = read_rows_made(snakemake.input.answers, GENERATIONS)
    circuits = open_circuits(snakemake.input.circuits)
    origins[snakemake.input.circuits] = circuits.attrs["provenance"]
    check_agreement(origins)
    loaded = open_exact_model(params.name, params.model, config)
    reading = Reading(config["n_words"], config["counting"], config["generation"]["date"])
    language = load_language(snakemake.input.language)
    plan = TracePlan(
        **config["tracing"],
        memory_gb=config["generation"]["memory_gb"],
        seed=config["patching"]["seed"],
    )
    swaps = swap_material(loaded, language, answers, reading, plan.swaps)
    roles = answer_roles(loaded, language, answers, reading.date)
    texts = own_texts(loaded, language, answers, reading)
    heads = circuit_heads(circuits, language.code)
    dataset = measure_attention(loaded, answers, (texts, swaps, roles), heads, plan)
    made = provenance(ATTENTION, inherited(config, origins.values()), manifest)
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
