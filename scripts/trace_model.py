"""Follow N through one model in one language: the stream, attention, paths, contrasting prompts."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    import sys

    from lengthlens.files.formats import ATTENTION, CONTRASTS, PATHS, TRACING
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.opening import settings_of
    from lengthlens.generation.swaps import swap_material
    from lengthlens.readers import open_circuits, open_selection
    from lengthlens.tracing import attention, contrasts, paths, stream
    from lengthlens.tracing.roles import answer_roles

    job, given, made = AnswersJob(snakemake), snakemake.input, snakemake.output
    answers, language, reading, config = job.answers, job.language, job.reading, job.config
    circuits = job.open(open_circuits, given.circuits)
    selection = job.open(open_selection, given.selection)
    loaded = job.open_model(exact=True)
    roles = answer_roles(loaded, language, answers, reading.date)

    shared = {"memory_gb": job.memory_gb, "seed": config["patching"]["seed"]}
    plan = stream.TracePlan(**config["tracing"], **shared)
    material = swap_material(loaded, language, answers, reading, {*plan.swaps, paths.SWAP})
    swaps = material.only(plan.swaps)
    job.write(stream.trace_streams(loaded, answers, swaps, roles, plan), TRACING, made.tracing)

    texts = attention.own_texts(loaded, language, answers, reading)
    heads = attention.circuit_heads(circuits, language.code)
    looks = attention.measure_attention(loaded, answers, (texts, swaps, roles), heads, plan)
    job.write(looks, ATTENTION, made.attention)

    plan = paths.PathPlan(**config["paths"], **shared)
    members = paths.circuit_members(circuits, selection, language.code, plan.most)
    swaps = material.only([paths.SWAP])
    found = paths.measure_paths(loaded, answers, (swaps, roles), members, plan)
    job.write(found, PATHS, made.paths)

    members = paths.circuit_members(circuits, selection, language.code, sys.maxsize)
    every, seed = config["tracing"]["every"], config["prompts"]["seed"]
    plan = contrasts.ContrastPlan(**config["contrasts"], every=every, seed=seed)
    options = plan, settings_of(config)
    found = contrasts.measure_contrasts(loaded, language, members, reading, options)
    job.write(found, CONTRASTS, made.contrasts)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
