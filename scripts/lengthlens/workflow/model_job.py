"""A job that reads a model: what `job` does for every script, and a look at the model's files."""

from __future__ import annotations

from collections.abc import Callable

from lengthlens.workflow.job import run_job


def run_model_job(main: Callable, snakemake) -> None:
    """Run `main(snakemake)` as `run_job` does, on the model that the manifest describes.

    The model's files are compared with the manifest before and after, so that one that is replaced
    in between ends the job instead of mixing two models in one study (`unaltered`).
    """

    def checked(snakemake) -> None:
        check(snakemake)
        main(snakemake)
        check(snakemake)

    run_job(checked, snakemake)


def check(snakemake) -> None:
    """Whether the files of the job's model are those of its manifest; of a pair both models'."""
    from lengthlens.weights.checkpoints import ModelSpec, read_manifest
    from lengthlens.weights.unaltered import check_unaltered

    given, params = snakemake.input, snakemake.params
    if names := getattr(params, "names", None):
        manifests = {"untuned": given.untuned_manifest, "tuned": given.manifest}
        read = [(manifests[tuning], names[tuning], params.models[tuning]) for tuning in names]
    else:
        read = [(given.manifest, params.name, params.model)]
    for manifest, name, entry in read:
        spec = ModelSpec.from_config(name, entry)
        check_unaltered(spec, read_manifest(manifest), manifest)
