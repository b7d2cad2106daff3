"""Put the behavioural probes to one model in one language: probes/{model}.{language}.jsonl."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from tqdm import tqdm

    from lengthlens.checkpoints import read_manifest
    from lengthlens.formats import GENERATIONS, PROBES
    from lengthlens.jsonl import read_rows, write_rows
    from lengthlens.languages import load_language
    from lengthlens.opening import open_model, settings_of
    from lengthlens.probing import ProbePlan, answer_probes
    from lengthlens.provenance import provenance

    params = snakemake.params
    loaded = open_model(params.name, params.model, params.config)
    answers = snakemake.input.get("answers")
    with tqdm(desc=f"{params.name} {snakemake.wildcards.language}", unit="answer", delay=2) as bar:
        rows = answer_probes(
            loaded,
            load_language(snakemake.input.language),
            ProbePlan.from_config(params.config),
            settings_of(params.config),
            params.config["counting"],
            read_rows(answers, GENERATIONS) if answers else None,
            bar.update,
        )
    made = provenance(
        PROBES,
        params.config | {"dtype": loaded.dtype},
        read_manifest(snakemake.input.manifest),
    )
    write_rows(rows, snakemake.output.answers, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
