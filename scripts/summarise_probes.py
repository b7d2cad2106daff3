"""Summarise the probes of all models and languages, and look for dips: five tables."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.conventions import compare_conventions
    from lengthlens.analysis.dips import find_dips
    from lengthlens.analysis.extrapolation import extrapolate
    from lengthlens.analysis.tokenization import separate_errors
    from lengthlens.analysis.tokens_per_word import regress_errors
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import (
        check_together,
        open_attribution,
        open_generations,
        open_pairs,
        open_probes,
    )
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    probes = open_pairs(snakemake.input.probes, params.probed, open_probes)
    answers = open_pairs(snakemake.input.answers, params.pairs, open_generations)
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    check_together(probes, answers, attributions)
    bootstrap = Bootstrap(**params.config["statistics"])
    made = derived(formats.TABLE, params.config, (a.attrs["provenance"] for a in probes.values()))
    tables = {
        "tokenization": separate_errors(probes, params.references, bootstrap),
        "tokens_per_word": regress_errors(probes, bootstrap),
        "counting": compare_conventions(probes, params.config["counting"], bootstrap),
        "extrapolation": extrapolate(probes, bootstrap),
        "dip": find_dips(answers, attributions, bootstrap),
    }
    for name, table in tables.items():
        write_table(table, snakemake.output[name], made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
