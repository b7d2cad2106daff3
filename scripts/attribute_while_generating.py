"""Generate the answers of one shard and attribute them at once, without writing activations."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from lengthlens.attribute import attribute_batches
    from lengthlens.checkpoints import read_manifest
    from lengthlens.formats import ATTRIBUTION, GENERATIONS, TOKENS
    from lengthlens.jsonl import write_rows
    from lengthlens.netcdf import write_dataset
    from lengthlens.provenance import provenance
    from lengthlens.readout import readout_of
    from lengthlens.shards import answer_shard, open_model

    params = snakemake.params
    manifest = read_manifest(snakemake.input.manifest)
    loaded = open_model(params.name, params.model, params.config)
    config = params.config | {"dtype": loaded.dtype}
    rows, layout, selected = [], [], set()

    def batches():
        for answers, batch in answer_shard(
            loaded, snakemake.input.language, params.shard, params.config
        ):
            rows.extend(answers)
            layout.extend(batch.layout)
            selected.update(row["sample_id"] for row in answers if row["split"] == "select")
            yield batch

    scores, sums, pushes = attribute_batches(readout_of(loaded.model), batches(), selected)
    layout = {"batches": layout}
    made = provenance(ATTRIBUTION, config, manifest) | layout
    write_dataset(scores.merge(sums), snakemake.output.scores, made)
    write_rows(pushes, snakemake.output.tokens, provenance(TOKENS, config, manifest) | layout)
    write_rows(rows, snakemake.output.answers, provenance(GENERATIONS, config, manifest) | layout)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
