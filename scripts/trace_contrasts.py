"""Answer contrasting prompts and trace N in them, of one model in one language."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    import sys

    from lengthlens.ablation.selection import read_selection
    from lengthlens.files.formats import CONTRASTS
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.opening import settings_of
    from lengthlens.readers import open_circuits
    from lengthlens.tracing.contrasts import measure_contrasts, plan_of
    from lengthlens.tracing.paths import circuit_members

    job, given = AnswersJob(snakemake), snakemake.input
    circuits = job.noted(given.circuits, open_circuits(given.circuits))
    selection = job.noted(given.selection, read_selection(given.selection))
    members = circuit_members(circuits, selection, job.language.code, sys.maxsize)
    loaded = job.open_model(exact=True)
    options = plan_of(job.config), settings_of(job.config)
    job.write(measure_contrasts(loaded, job.language, members, job.reading, options), CONTRASTS)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
