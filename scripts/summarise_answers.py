"""Summarise the answers of all models and languages: tables/behaviour.csv."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.behaviour import summarise_answers
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.language.languages import load_language
    from lengthlens.readers import open_answers
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    answers = open_answers(snakemake.input.answers, params.pairs)
    languages = [load_language(path) for path in snakemake.input.languages]
    by_code = {language.code: language for language in languages}
    how = {name: params.config[name] for name in ("counting", "counted")}
    table = summarise_answers(answers, by_code, Bootstrap(**params.config["statistics"]), **how)
    made = derived(formats.TABLE, params.config, answers.attrs["provenance"].values())
    write_table(table, snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
