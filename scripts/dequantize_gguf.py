"""Turn a GGUF file into a model in transformers' format."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.models.dequantizing import dequantize
    from lengthlens.settings.sections import Gguf

    file = Gguf(**snakemake.params.gguf)
    dequantize(file, Path(snakemake.input.file), Path(snakemake.output[0]))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
