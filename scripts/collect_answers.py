"""Join the shards of one model and language: its answers, and a view of its activations."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.files.formats import ACTIVATIONS, GENERATIONS
    from lengthlens.files.identity import COMPUTATION, this_run
    from lengthlens.files.jsonl import write_rows
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.activations import link_shards
    from lengthlens.generation.collect import answers_of_shards
    from lengthlens.weights.checkpoints import read_manifest

    params = snakemake.params
    manifest = read_manifest(snakemake.input.manifest)
    rows, counts, computed = answers_of_shards(
        snakemake.input.answers, params.counts, this_run(params.config, manifest)
    )
    made = provenance(GENERATIONS, params.config, manifest) | {COMPUTATION: computed}
    write_rows(rows, snakemake.output.answers, made)
    if snakemake.output.get("activations"):
        link_shards(
            Path(snakemake.output.activations),
            [Path(path) for path in snakemake.input.activations],
            counts,
            provenance(ACTIVATIONS, params.config, manifest) | {COMPUTATION: computed},
        )


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
