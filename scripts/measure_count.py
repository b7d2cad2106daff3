"""Probe and steer the count in the stream of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.count.measure import CountPlan, CountTexts, is_steered, measure_count
    from lengthlens.files.formats import COUNT
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.opening import settings_of

    job = AnswersJob(snakemake)
    answers, plan = job.answers, CountPlan(**job.config["count"], memory_gb=job.memory_gb)
    loaded = job.open_model(exact=True)
    steered = is_steered(plan, job.language.code, snakemake.params.languages)
    texts = CountTexts(job.language, answers, job.reading, settings_of(job.config), steered)
    job.write(measure_count(loaded, texts, plan), COUNT)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
