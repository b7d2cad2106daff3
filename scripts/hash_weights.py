"""Write the manifest of a model's files: name, size and hash of each."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.files.integrity import sealed
    from lengthlens.files.whole import write_json
    from lengthlens.weights.checkpoints import (
        ModelSpec,
        check_files,
        read_manifest,
        weights_manifest,
    )
    from lengthlens.weights.fetching import check_fetched
    from lengthlens.weights.unaltered import note, stamps

    spec = ModelSpec.from_config(snakemake.params.name, snakemake.params.model)
    if record := snakemake.input.get("fetched"):
        check_fetched(spec, read_manifest(record))
    check_files(spec)
    seen = stamps(spec)
    manifest = sealed(weights_manifest(spec))
    write_json(snakemake.output[0], manifest)
    note(seen, snakemake.output[0])


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
