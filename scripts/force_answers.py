"""Force given answers on one model in one language, its own and those of the other tuning."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.attribution.means import replacement
    from lengthlens.files.formats import FORCED, GENERATIONS
    from lengthlens.files.identity import check_agreement, inherited, this_run
    from lengthlens.files.jsonl import read_rows_made
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.forced.measure import Effects, Other, force_answers
    from lengthlens.generation.forcing import Forcing
    from lengthlens.generation.opening import open_model, settings_of
    from lengthlens.language.prompts import load_language
    from lengthlens.models.anatomy import n_components
    from lengthlens.readers import open_attribution
    from lengthlens.weights.checkpoints import ModelSpec, read_manifest

    params = snakemake.params
    config = params.config
    manifest = read_manifest(snakemake.input.manifest)
    origins = this_run(config, manifest)
    answers, origins[snakemake.input.answers] = read_rows_made(snakemake.input.answers, GENERATIONS)
    loaded = open_model(params.name, params.model, config)
    means = None
    if snakemake.input.get("attribution"):
        attribution = open_attribution(snakemake.input.attribution)
        origins[snakemake.input.attribution] = attribution.attrs["provenance"]
        means = replacement(attribution)
    forced = config["forced"]
    exhaustive = n_components(loaded.anatomy) <= forced["exhaustive"]
    effects = Effects(
        forced["modes"],
        config["ablation"]["positions"],
        forced["per_n"] if exhaustive else 0,  # NaN: patches rank the components of large models
        means,
        config["ablation"]["seed"],
    )
    other = None
    if params.other:
        (name, entry), *_ = params.other.items()
        path = snakemake.input.other_answers
        given, origins[path] = read_rows_made(path, GENERATIONS)
        other = Other(ModelSpec.from_config(name, entry), given)
    check_agreement(origins)
    dataset = force_answers(
        Forcing(loaded, settings_of(config), config["counting"]),
        load_language(snakemake.input.language),
        answers,
        config["n_words"],
        effects,
        other,
    )
    made = provenance(FORCED, inherited(config, origins.values()), manifest)
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
