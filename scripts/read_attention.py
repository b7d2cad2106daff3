"""Read what heads look at when a model decides, and keep them from it, in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.files.formats import ATTENTION
    from lengthlens.generation.job import AnswersJob
    from lengthlens.patching.material import swap_material
    from lengthlens.readers import open_circuits
    from lengthlens.tracing.attention import circuit_heads, measure_attention, own_texts
    from lengthlens.tracing.roles import answer_roles
    from lengthlens.tracing.stream import plan_of

    job, path = AnswersJob(snakemake), snakemake.input.circuits
    answers, language, reading, plan = job.answers, job.language, job.reading, plan_of(job.config)
    circuits = job.noted(path, open_circuits(path))
    loaded = job.open_model(exact=True)
    swaps = swap_material(loaded, language, answers, reading, plan.swaps)
    roles = answer_roles(loaded, language, answers, reading.date)
    texts = own_texts(loaded, language, answers, reading)
    heads = circuit_heads(circuits, language.code)
    job.write(measure_attention(loaded, answers, (texts, swaps, roles), heads, plan), ATTENTION)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
