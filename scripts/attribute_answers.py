"""Attribute the answers of one model and language, from its activations or its shards' scores."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from lengthlens.attribute import attribute_batches, attribution_file
    from lengthlens.attribute_shards import joined_scores, recorded_batches, recorded_dtype
    from lengthlens.checkpoints import ModelSpec, read_manifest
    from lengthlens.formats import ATTRIBUTION, GENERATIONS
    from lengthlens.jsonl import read_rows
    from lengthlens.lazyweights import read_readout
    from lengthlens.netcdf import write_dataset
    from lengthlens.provenance import provenance

    params = snakemake.params
    manifest = read_manifest(snakemake.input.manifest)
    answers = read_rows(snakemake.input.answers, GENERATIONS)
    if snakemake.input.get("scores"):
        scores, sums = joined_scores(snakemake.input.scores)
    else:
        shards = snakemake.input.activations
        spec = ModelSpec.from_config(params.name, params.model)
        readout = read_readout(spec, recorded_dtype(shards, manifest))
        selected = {row["sample_id"] for row in answers if row["split"] == "select"}
        wanted = {row["sample_id"] for row in answers}
        scores, sums = attribute_batches(readout, recorded_batches(shards, wanted), selected)
    dataset = attribution_file(scores, sums, answers)
    write_dataset(dataset, snakemake.output[0], provenance(ATTRIBUTION, params.config, manifest))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
