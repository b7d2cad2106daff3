"""Compare scores with causes, and texts with models: tables/scores.csv and tables/same_text.csv."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    from lengthlens import formats
    from lengthlens.causes import compare_scores
    from lengthlens.pairs import model_pairs
    from lengthlens.provenance import derived
    from lengthlens.readers import (
        check_together,
        open_attribution,
        open_forced,
        open_pairs,
    )
    from lengthlens.tables import write_table
    from lengthlens.text_comparison import compare_texts

    params = snakemake.params
    options = params.config["statistics"]
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    forced = open_pairs(snakemake.input.forced, params.pairs, open_forced)
    check_together(attributions, forced)
    made = derived(formats.TABLE, params.config, (a.attrs["provenance"] for a in forced.values()))
    scores = compare_scores(params.variants, attributions, forced, **options)
    write_table(scores, snakemake.output.scores, made)
    texts = compare_texts(model_pairs(params.variants), attributions, forced, **options)
    write_table(texts, snakemake.output.same_text, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
