"""Answer the evaluate prompts of one language without the chosen components, and with controls."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from tqdm import tqdm

    from lengthlens.ablation.ablate import AblationStudy, ablate
    from lengthlens.ablation.hypotheses import hypotheses_from
    from lengthlens.ablation.repair import measure_repair, repaired_conditions
    from lengthlens.ablation.resample import draw_donors
    from lengthlens.ablation.sweep import plan_sweep
    from lengthlens.attribution.means import replacement
    from lengthlens.files.formats import ABLATION, REPAIR
    from lengthlens.files.identity import inherited
    from lengthlens.files.netcdf import write_dataset
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.opening import limited_settings
    from lengthlens.language.prompts import spread_over_n
    from lengthlens.readers import open_attribution, open_selection
    from lengthlens.settings.sections import AblationPlan

    params, language = snakemake.params, snakemake.wildcards.language
    job, inputs = AnswersJob(snakemake), snakemake.input
    prompts, attribution = job.evaluate_prompts, job.open(open_attribution, inputs.attribution)
    selections = job.open_all(open_selection, inputs.selections)
    loaded = job.open_model()
    plan, tests = AblationPlan(**params.plan), hypotheses_from(params.tests)
    conditions = plan_sweep(selections, loaded.anatomy.layout, plan, language, hypotheses=tests)
    answered = spread_over_n(prompts, params.prompts, plan.seed)
    donors = ()
    if any(condition.mode == "resample" for condition in conditions):
        donors = draw_donors(job.language, answered, params.config["n_words"], plan.seed)
    study = AblationStudy(
        loaded,
        answered,
        limited_settings(params.config, params.max_new_tokens, attribution),
        params.config["counting"],
        replacement=replacement(attribution),
        donors=donors,
    )
    label = f"{params.name} {language}: {len(conditions)} conditions"
    with tqdm(desc=label, unit="answer", delay=2, mininterval=1) as bar:
        dataset, unablated, book = ablate(study, conditions, job.language.neutral, bar)
    if absent := dataset.attrs["resample_neutral_absent"]:
        print(f"{params.name} {language}: resample is not scored on neutral text: {absent}")
    repaired = repaired_conditions(conditions)
    repair = measure_repair(study, repaired, unablated, book)
    asked = params.plan | {"max_new_tokens": params.max_new_tokens}
    config = params.config | {"ablation": asked, "tests": params.tests}
    sources = [job.origins[inputs.prompts], attribution.attrs["provenance"]]
    made = provenance(ABLATION, inherited(config, sources), job.manifest)
    write_dataset(dataset, snakemake.output.ablation, made)
    write_dataset(repair, snakemake.output.repair, made | {"schema": REPAIR})


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
