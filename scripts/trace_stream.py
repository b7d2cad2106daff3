"""Exchange the stream between runs that differ in N alone, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.files.formats import TRACING
    from lengthlens.generation.job import AnswersJob
    from lengthlens.patching.material import swap_material
    from lengthlens.tracing.roles import answer_roles
    from lengthlens.tracing.stream import plan_of, trace_streams

    job = AnswersJob(snakemake)
    answers, plan = job.answers, plan_of(job.config)
    loaded = job.open_model(exact=True)
    material = swap_material(loaded, job.language, answers, job.reading, plan.swaps)
    roles = answer_roles(loaded, job.language, answers, job.reading.date)
    job.write(trace_streams(loaded, answers, material, roles, plan), TRACING)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
