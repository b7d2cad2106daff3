"""Patch paths between components in runs that differ in N alone, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from lengthlens.ablation.selection import read_selection
    from lengthlens.files.formats import PATHS
    from lengthlens.generation.job import AnswersJob
    from lengthlens.patching.material import swap_material
    from lengthlens.readers import open_circuits
    from lengthlens.tracing.paths import SWAP, circuit_members, measure_paths, plan_of
    from lengthlens.tracing.roles import answer_roles

    job, given = AnswersJob(snakemake), snakemake.input
    answers, language, reading, plan = job.answers, job.language, job.reading, plan_of(job.config)
    circuits = job.noted(given.circuits, open_circuits(given.circuits))
    selection = job.noted(given.selection, read_selection(given.selection))
    members = circuit_members(circuits, selection, language.code, plan.most)
    loaded = job.open_model(exact=True)
    swaps = swap_material(loaded, language, answers, reading, (SWAP,))
    roles = answer_roles(loaded, language, answers, reading.date)
    job.write(measure_paths(loaded, answers, (swaps, roles), members, plan), PATHS)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
