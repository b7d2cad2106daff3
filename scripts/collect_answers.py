"""Join the shards of one model and language: its answers, and a view of its activations."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.activations import SCHEMA as ACTIVATIONS
    from lengthlens.activations import link_shards
    from lengthlens.collect import answers_of_shards
    from lengthlens.generation import SCHEMA
    from lengthlens.jsonl import write_rows
    from lengthlens.provenance import provenance
    from lengthlens.shards import read_manifest

    params = snakemake.params
    manifest = read_manifest(snakemake.input.manifest)
    rows, counts = answers_of_shards(snakemake.input.answers, params.counts)
    write_rows(rows, snakemake.output.answers, provenance(SCHEMA, params.config, manifest))
    if "activations" in snakemake.output.keys():
        link_shards(
            Path(snakemake.output.activations),
            [Path(path) for path in snakemake.input.activations],
            counts,
            provenance(ACTIVATIONS, params.config, manifest),
        )


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
