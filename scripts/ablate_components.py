"""Answer the evaluate prompts of one language without the chosen components, and with controls."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from tqdm import tqdm

    from lengthlens.ablation import Ablation, ablate
    from lengthlens.checkpoints import read_manifest
    from lengthlens.formats import ABLATION, ATTRIBUTION, REPAIR
    from lengthlens.hypotheses import hypotheses_from
    from lengthlens.means import replacement
    from lengthlens.netcdf import read_dataset, write_dataset
    from lengthlens.opening import open_model, settings_of
    from lengthlens.prompts import load_language, read_prompts, spread_over_n
    from lengthlens.provenance import provenance
    from lengthlens.repair import measure_repair, repaired_conditions
    from lengthlens.selection import read_selection
    from lengthlens.sweep import Plan, plan_sweep

    params, language = snakemake.params, snakemake.wildcards.language
    loaded = open_model(params.name, params.model, params.config)
    prompts = [p for p in read_prompts(snakemake.input.prompts) if p.split == "evaluate"]
    files = zip(params.languages, snakemake.input.selections, strict=True)
    conditions = plan_sweep(
        {source: read_selection(path) for source, path in files},
        loaded.anatomy.n_layers,
        loaded.anatomy.n_heads,
        Plan(**params.plan),
        language,
        hypotheses_from(params.tests),
    )
    study = Ablation(
        loaded,
        spread_over_n(prompts, params.prompts),
        settings_of(params.config),
        params.config["counting"],
        replacement(read_dataset(snakemake.input.attribution, ATTRIBUTION)),
        params.plan["seed"],
    )
    neutral = load_language(snakemake.input.language).neutral
    label = f"{params.name} {language}: {len(conditions)} conditions"
    with tqdm(desc=label, unit="answer", delay=2, mininterval=1) as bar:
        dataset, unablated = ablate(study, conditions, neutral, bar)
    repaired = repaired_conditions(conditions)
    repair = measure_repair(study, repaired, unablated.answers, unablated.book)
    made = provenance(
        ABLATION,
        params.config | {"ablation": params.plan, "confirmatory": params.tests},
        read_manifest(snakemake.input.manifest),
    )
    write_dataset(dataset, snakemake.output.ablation, made)
    write_dataset(repair, snakemake.output.repair, made | {"schema": REPAIR})


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
