"""Attribute the answers of one model and language, from its activations or its shards' scores."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.attribution.per_sample import attribute_batches, attribution_file, pushes_file
    from lengthlens.attribution.pushes import with_texts
    from lengthlens.attribution.recorded import joined_scores, recorded_batches, recorded_dtype
    from lengthlens.files.formats import ATTRIBUTION, GENERATIONS, TOKENS
    from lengthlens.files.identity import check_agreement, this_run
    from lengthlens.files.jsonl import read_rows_made, write_rows
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.models.lazyweights import read_readout
    from lengthlens.models.loading import load_tokenizer, text_decoder
    from lengthlens.models.vocabulary import surfaces
    from lengthlens.weights.checkpoints import ModelSpec, read_manifest

    params, given = snakemake.params, snakemake.input
    spec, manifest = ModelSpec.from_config(params.name, params.model), read_manifest(given.manifest)
    run = this_run(params.config, manifest)
    answers, answered = read_rows_made(given.answers, GENERATIONS)
    check_agreement(run | {given.answers: answered})
    if given.get("scores"):
        scores, sums = joined_scores(given.scores, run)
        pushes = [row for path in given.tokens for row in read_rows_made(path, TOKENS)[0]]
    else:
        readout = read_readout(spec, recorded_dtype(given.activations, manifest, params.config))
        selected = {row["sample_id"] for row in answers if row["split"] == "select"}
        batches = recorded_batches(given.activations, {row["sample_id"] for row in answers})
        scores, sums, pushes = attribute_batches(readout, batches, selected)
    dataset = attribution_file(scores, sums, answers)
    tokenizer = load_tokenizer(spec)
    decode = text_decoder(tokenizer)
    rows = [
        with_texts(row, decode, lambda ids: surfaces(tokenizer, ids))
        for row in pushes_file(pushes, answers)
    ]
    write_rows(rows, snakemake.output.tokens, provenance(TOKENS, params.config, manifest))
    made = provenance(ATTRIBUTION, params.config, manifest)
    write_dataset(dataset, snakemake.output.attribution, made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
