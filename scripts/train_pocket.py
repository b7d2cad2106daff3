"""Train the pocket pair with one budget of config/pocket.yaml."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    import time
    from pathlib import Path

    from lengthlens.files import write_text
    from lengthlens.pocket.training import Recipe, train_pair
    from lengthlens.provenance import provenance

    started = time.monotonic()
    losses = train_pair(Recipe.from_dict(snakemake.params.recipe), Path(snakemake.params.folder))
    with open(snakemake.log[0], "a", encoding="utf-8") as log:
        for phase, values in losses.items():
            print(f"{phase}: last loss {values[-1]:.4f}", file=log)
        print(f"{time.monotonic() - started:.0f} s", file=log)
    made = provenance("pocket/1", {"recipe": snakemake.params.recipe})
    write_text(snakemake.output.provenance, json_text(made))


def json_text(made: dict) -> str:
    import json

    return json.dumps(made, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
