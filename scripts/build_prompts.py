"""Write all prompts of one language."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.files.formats import PROMPTS
    from lengthlens.files.provenance import provenance, write_with_sidecar
    from lengthlens.language.prompts import build_prompts, load_language, prompts_to_jsonl

    config = snakemake.params.config
    language = load_language(snakemake.input.language)
    per_n, seed = config["prompts"]["per_n"], config["prompts"]["seed"]
    prompts = [
        prompt for n in config["n_words"] for prompt in build_prompts(language, n, 0, per_n, seed)
    ]
    made = provenance(PROMPTS, config)
    write_with_sidecar(snakemake.output.prompts, prompts_to_jsonl(prompts), made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
