"""Force given answers on one model in one language, its own and those of the other variant."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from lengthlens.checkpoints import ModelSpec, read_manifest
    from lengthlens.forced import Effects, Other, force_answers
    from lengthlens.forcing import Forcing
    from lengthlens.formats import ATTRIBUTION, FORCED, GENERATIONS
    from lengthlens.jsonl import read_rows
    from lengthlens.means import replacement
    from lengthlens.netcdf import read_dataset, write_dataset
    from lengthlens.opening import open_model, settings_of
    from lengthlens.prompts import load_language
    from lengthlens.provenance import provenance

    params = snakemake.params
    config = params.config
    loaded = open_model(params.name, params.model, config)
    means = None
    if snakemake.input.get("attribution"):
        means = replacement(read_dataset(snakemake.input.attribution, ATTRIBUTION))
    effects = Effects(
        config["forced"]["modes"],
        config["ablation"]["positions"],
        config["forced"]["per_n"],
        means,
    )
    other = None
    if params.other:
        (name, entry), *_ = params.other.items()
        other = Other(
            ModelSpec.from_config(name, entry),
            read_rows(snakemake.input.other_answers, GENERATIONS),
        )
    dataset = force_answers(
        Forcing(loaded, settings_of(config), config["counting"]),
        load_language(snakemake.input.language),
        read_rows(snakemake.input.answers, GENERATIONS),
        effects,
        other,
    )
    made = provenance(FORCED, config, read_manifest(snakemake.input.manifest))
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
