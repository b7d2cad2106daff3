"""Fetch a model from the hub, with progress bars, and record what came."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    import json

    from lengthlens.files.integrity import sealed
    from lengthlens.files.whole import write_text
    from lengthlens.weights.checkpoints import ModelSpec
    from lengthlens.weights.fetching import fetch_model

    spec = ModelSpec.from_config(snakemake.params.name, snakemake.params.model).base
    record = sealed(fetch_model(spec))
    write_text(snakemake.output[0], json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    run_job(main, snakemake, online=True)  # noqa: F821
