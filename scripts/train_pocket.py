"""Train the pocket pair with one budget of config/pocket.yaml."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from pathlib import Path

    from lengthlens.files.provenance import provenance
    from lengthlens.files.whole import write_json, write_text
    from lengthlens.pocket.training import Recipe, train_pair

    recipe = snakemake.params.recipe
    losses = train_pair(Recipe.from_dict(recipe), Path(snakemake.params.folder))
    rows = [
        f"{phase},{step},{loss:.5f}\n"
        for phase, values in losses.items()
        for step, loss in enumerate(values, start=1)
    ]
    write_text(snakemake.output.losses, "phase,step,loss\n" + "".join(rows))
    made = provenance("pocket/1", {"recipe": recipe})
    write_json(snakemake.output.provenance, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
