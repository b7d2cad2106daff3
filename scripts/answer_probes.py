"""Put the behavioural probes to one model in one language: probes/{model}.{language}.jsonl."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    from tqdm import tqdm

    from lengthlens.files.formats import GENERATIONS, PROBES
    from lengthlens.files.identity import check_agreement, this_run
    from lengthlens.files.jsonl import read_rows_made, write_rows
    from lengthlens.files.provenance import provenance
    from lengthlens.generation.opening import open_model, settings_of
    from lengthlens.language.languages import load_language
    from lengthlens.probes.probing import ProbePlan, answer_probes
    from lengthlens.weights.checkpoints import read_manifest

    params = snakemake.params
    manifest = read_manifest(snakemake.input.manifest)
    answers = None
    if path := snakemake.input.get("answers"):
        answers, made = read_rows_made(path, GENERATIONS)
        check_agreement(this_run(params.config, manifest) | {path: made})
    loaded = open_model(params.name, params.model, params.config)
    with tqdm(desc=f"{params.name} {snakemake.wildcards.language}", unit="answer", delay=2) as bar:
        rows = answer_probes(
            loaded,
            load_language(snakemake.input.language),
            ProbePlan.from_config(params.config),
            settings_of(params.config),
            params.config["counting"],
            free=answers,
            on_rows=bar.update,
        )
    made = provenance(
        PROBES,
        params.config | {"dtype": loaded.dtype},
        manifest,
    )
    write_rows(rows, snakemake.output.answers, made)


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
