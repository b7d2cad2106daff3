"""Tune an adapter by one recipe of config/adapter.yaml."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    import pandas as pd

    from lengthlens.files.provenance import provenance
    from lengthlens.files.whole import write_json, write_text
    from lengthlens.tuning.recipe import Recipe
    from lengthlens.tuning.training import Tuning
    from lengthlens.weights.checkpoints import weights_manifest

    recipe = Recipe.read(snakemake.wildcards.recipe, snakemake.params.recipe)
    root, folder = Path(snakemake.params.root), Path(snakemake.params.folder)
    tuning = Tuning(recipe, root, folder)
    progress = tuning.run()
    losses = pd.DataFrame(progress.losses, columns=["answer", "end"])
    losses.index = pd.RangeIndex(1, len(losses) + 1, name="step")
    write_text(snakemake.output.losses, losses.to_csv(float_format="%.5f"))
    developments = pd.DataFrame.from_dict(progress.developments, orient="index", dtype=float)
    text = developments.to_csv(index_label="step", float_format="%.4f", na_rep="nan")
    write_text(snakemake.output.development, text)
    values = recipe.model_dump(mode="json", exclude={"base"})
    made = provenance("adapter/1", {"recipe": values}, weights_manifest(tuning.loaded.spec))
    write_json(snakemake.output.provenance, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
