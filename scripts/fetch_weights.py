"""Fetch a model from the hub, with progress bars, and record what came."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.files.integrity import sealed
    from lengthlens.files.whole import write_json
    from lengthlens.weights.checkpoints import ModelSpec
    from lengthlens.weights.fetching import fetch_model

    spec = ModelSpec.from_config(snakemake.params.name, snakemake.params.model).base
    write_json(snakemake.output[0], sealed(fetch_model(spec)))


if __name__ == "__main__":
    run_job(main, snakemake, online=True)  # noqa: F821
