"""Tune an adapter by one recipe of config/adapter.yaml."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.files.provenance import provenance
    from lengthlens.files.whole import write_json, write_text
    from lengthlens.tuning.recipe import Recipe
    from lengthlens.tuning.training import Tuning
    from lengthlens.weights.checkpoints import weights_manifest

    recipe = Recipe.read(snakemake.wildcards.recipe, snakemake.params.recipe)
    root, folder = Path(snakemake.params.root), Path(snakemake.params.folder)
    tuning = Tuning(recipe, root, folder)
    progress = tuning.run()
    lines = [f"{i},{a:.5f},{e:.5f}\n" for i, (a, e) in enumerate(progress.losses, start=1)]
    write_text(snakemake.output.losses, "step,answer,end\n" + "".join(lines))
    names = list(next(iter(progress.developments.values())))
    lines = [
        ",".join([str(step), *(f"{numbers[name]:.4f}" for name in names)]) + "\n"
        for step, numbers in progress.developments.items()
    ]
    write_text(snakemake.output.development, ",".join(["step", *names]) + "\n" + "".join(lines))
    values = recipe.model_dump(mode="json", exclude={"base"})
    made = provenance("adapter/1", {"recipe": values}, weights_manifest(tuning.loaded.spec))
    write_json(snakemake.output.provenance, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
