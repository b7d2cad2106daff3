"""Merge a LoRA adapter into its model."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.models.merging import merge
    from lengthlens.weights.checkpoints import ModelSpec, read_manifest
    from lengthlens.weights.fetching import check_fetched

    spec = ModelSpec.from_config(snakemake.params.name, snakemake.params.model)
    if record := snakemake.input.get("fetched"):
        check_fetched(spec.base, read_manifest(record))
    merge(spec, Path(snakemake.output[0]))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
