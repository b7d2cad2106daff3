"""Compare scores with causes, texts with models, N with its neighbours: tables/scores.csv, tables/
same_text.csv and tables/nswap.csv."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.causes import compare_scores
    from lengthlens.analysis.nswap import summarise_nswap
    from lengthlens.analysis.text_comparison import compare_texts
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import (
        check_together,
        open_attribution,
        open_forced,
        open_pairs,
    )
    from lengthlens.statistics import Bootstrap

    params = snakemake.params
    bootstrap = Bootstrap(**params.config["statistics"])
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    forced = open_pairs(snakemake.input.forced, params.pairs, open_forced)
    check_together(attributions, forced)
    made = derived(formats.TABLE, params.config, (a.attrs["provenance"] for a in forced.values()))
    scores = compare_scores(params.tunings, attributions, forced, bootstrap)
    write_table(scores, snakemake.output.scores, made)
    texts = compare_texts(params.models, attributions, forced, bootstrap)
    write_table(texts, snakemake.output.same_text, made)
    write_table(summarise_nswap(forced, bootstrap), snakemake.output.nswap, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
