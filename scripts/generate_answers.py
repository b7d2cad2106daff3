"""Generate the answers of shards and record the residual stream of every step."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.generation.shards import ShardJob

    job, output = ShardJob.of(snakemake), snakemake.output
    files = zip(output.answers, output.provenance, output.activations, strict=True)
    for shard, (answers, _, activations) in job.unfinished(files, snakemake.params.temporary):
        generate(job, shard, answers, activations)


def generate(job, shard, answers_file, activations_file) -> None:
    """Answer one shard's prompts into its two files."""
    from lengthlens.files.formats import ACTIVATIONS, GENERATIONS
    from lengthlens.files.jsonl import write_rows
    from lengthlens.generation.activations import ActivationWriter

    rows, layout = [], []
    with ActivationWriter(
        activations_file, job.provenance(ACTIVATIONS), job.config["precision"]
    ) as writer:
        for answers, batch in job.answer(shard):
            rows += answers
            layout += batch.layout
            writer.write(batch)
    write_rows(rows, answers_file, job.provenance(GENERATIONS) | {"batches": layout})


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
