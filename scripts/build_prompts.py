"""Write all prompts of one language."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from dataclasses import asdict

    from lengthlens.files.formats import PROMPTS
    from lengthlens.files.jsonl import write_rows
    from lengthlens.files.provenance import provenance
    from lengthlens.language.prompts import build_prompts, load_language

    config = snakemake.params.config
    language = load_language(snakemake.input.language)
    per_n, seed = config["prompts"]["per_n"], config["prompts"]["seed"]
    prompts = [
        prompt for n in config["n_words"] for prompt in build_prompts(language, n, 0, per_n, seed)
    ]
    write_rows(map(asdict, prompts), snakemake.output.prompts, provenance(PROMPTS, config))


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
