"""Exchange components between runs that differ in N alone, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.files.formats import PATCHING
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.swaps import swap_material
    from lengthlens.patching.measure import Plan, measure_patching

    job = AnswersJob(snakemake)
    answers, plan = job.answers, Plan(**job.config["patching"], memory_gb=job.memory_gb)
    loaded = job.open_model(exact=True)
    material = swap_material(loaded, job.language, answers, job.reading, plan.swaps)
    job.write(measure_patching(loaded, answers, material, plan), PATCHING)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
