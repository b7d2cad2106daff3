"""Generate the answers of shards and attribute them at once, without writing activations."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.generation.shards import ShardJob

    job, output = ShardJob.of(snakemake), snakemake.output
    files = zip(
        output.answers,
        output.provenance,
        output.scores,
        output.tokens,
        output.tokens_provenance,
        strict=True,
    )
    for shard, (answers, _, scores, tokens, _) in job.unfinished(files):
        generate(job, shard, answers, scores, tokens)


def generate(job, shard, answers_file, scores_file, tokens_file) -> None:
    """Answer one shard's prompts and attribute the answers into its three files."""
    from lengthlens.attribution.per_sample import attribute_batches
    from lengthlens.files.formats import ATTRIBUTION, GENERATIONS, TOKENS
    from lengthlens.files.jsonl import write_rows
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.models.readout import readout_of

    rows, layout, selected = [], [], set()

    def batches():
        for answers, batch in job.answer(shard):
            rows.extend(answers)
            layout.extend(batch.layout)
            selected.update(row["sample_id"] for row in answers if row["split"] == "select")
            yield batch

    scores, sums, pushes = attribute_batches(readout_of(job.loaded.model), batches(), selected)
    batched = {"batches": layout}
    write_dataset(scores.merge(sums), scores_file, job.provenance(ATTRIBUTION) | batched)
    write_rows(pushes, tokens_file, job.provenance(TOKENS) | batched)
    write_rows(rows, answers_file, job.provenance(GENERATIONS) | batched)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
