"""Answer the evaluate prompts of one language without the chosen components, and with controls."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from tqdm import tqdm

    from lengthlens.ablation import Ablation, ablate
    from lengthlens.checkpoints import read_manifest
    from lengthlens.conditions import plan_conditions
    from lengthlens.formats import ABLATION, ATTRIBUTION
    from lengthlens.means import replacement
    from lengthlens.netcdf import read_dataset, write_dataset
    from lengthlens.prompts import load_language, read_prompts
    from lengthlens.provenance import provenance
    from lengthlens.selection import read_selection
    from lengthlens.shards import open_model, settings_of

    params = snakemake.params
    loaded = open_model(params.name, params.model, params.config)
    prompts = [p for p in read_prompts(snakemake.input.prompts) if p.split == "evaluate"]
    conditions = plan_conditions(
        read_selection(snakemake.input.selection),
        loaded.anatomy.n_heads,
        language=snakemake.wildcards.language,
        **params.plan,
    )
    study = Ablation(
        loaded,
        prompts,
        settings_of(params.config),
        params.config["counting"],
        replacement(read_dataset(snakemake.input.attribution, ATTRIBUTION)),
    )
    neutral = load_language(snakemake.input.language).neutral
    label = f"{params.name} {snakemake.wildcards.language}: {len(conditions)} conditions"
    with tqdm(desc=label, unit="answer", delay=2, mininterval=1) as bar:
        dataset = ablate(study, conditions, neutral, bar)
    made = provenance(
        ABLATION,
        params.config | {"ablation": params.plan},
        read_manifest(snakemake.input.manifest),
    )
    write_dataset(dataset, snakemake.output[0], made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
