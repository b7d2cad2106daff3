"""Keep or exchange whole circuits in runs that differ in N alone, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.circuits.measure import CircuitPlan, Texts, measure_circuits
    from lengthlens.files.formats import CIRCUITS
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.swaps import swap_material
    from lengthlens.readers import open_selection
    from lengthlens.statistics import Bootstrap

    job = AnswersJob(snakemake)
    answers, config = job.answers, job.config
    selections = job.open_all(open_selection, snakemake.input.selections)
    loaded = job.open_model(exact=True)
    material = swap_material(loaded, job.language, answers, job.reading, (1,))
    plan = CircuitPlan(**config["circuits"], memory_gb=job.memory_gb)
    texts = Texts(answers, material, job.language.code, config["counting"])
    bootstrap = Bootstrap(**config["statistics"])
    job.write(measure_circuits(loaded, texts, selections, plan, bootstrap), CIRCUITS)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
