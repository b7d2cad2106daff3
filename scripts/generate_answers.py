"""Generate the answers of one shard and record the residual stream of every step."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.activations import ActivationWriter
    from lengthlens.checkpoints import read_manifest
    from lengthlens.formats import ACTIVATIONS, GENERATIONS
    from lengthlens.jsonl import write_rows
    from lengthlens.provenance import provenance
    from lengthlens.shards import answer_shard, open_model

    params = snakemake.params
    manifest = read_manifest(snakemake.input.manifest)
    loaded = open_model(params.name, params.model, params.config)
    config = params.config | {"dtype": loaded.dtype}
    rows, layout = [], []
    with ActivationWriter(
        Path(snakemake.output.activations),
        provenance(ACTIVATIONS, config, manifest),
        params.config["precision"],
    ) as writer:
        for answers, batch in answer_shard(
            loaded, snakemake.input.language, params.shard, params.config
        ):
            rows += answers
            layout += batch.layout
            writer.write(batch)
    made = provenance(GENERATIONS, config, manifest) | {"batches": layout}
    write_rows(rows, snakemake.output.answers, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
