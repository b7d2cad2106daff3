"""Put the behavioural probes to one model in one language: probes/{model}.{language}.jsonl."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from tqdm import tqdm

    from lengthlens.files.formats import PROBES
    from lengthlens.files.jsonl import write_rows
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.job import AnswersJob
    from lengthlens.generation.opening import settings_of
    from lengthlens.probes.probing import answer_probes, probe_prompts

    job = AnswersJob(snakemake)
    config, language = job.config, job.language
    answers = job.answers if snakemake.input.get("answers") else None
    loaded = job.open_model()
    label = f"{snakemake.params.name} {language.code}"
    with tqdm(desc=label, unit="answer", delay=2) as bar:
        rows = answer_probes(
            loaded,
            language,
            probe_prompts(language, config),
            settings_of(config),
            config["counting"],
            free=answers,
            on_rows=bar.update,
        )
    made = provenance(PROBES, config | {"dtype": loaded.dtype}, job.manifest)
    write_rows(rows, snakemake.output.answers, made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
