"""Judge the claims by their intervals: claims.csv."""

from lengthlens.job import run_job


def main(snakemake) -> None:
    import pandas as pd

    from lengthlens import formats
    from lengthlens.claims import evaluate_claims, read_claims
    from lengthlens.pairs import model_pairs
    from lengthlens.provenance import derived
    from lengthlens.readers import (
        check_together,
        open_attribution,
        open_forced,
        open_generations,
        open_pairs,
        open_probes,
    )
    from lengthlens.tables import write_table

    params = snakemake.params
    claims = read_claims(snakemake.input.claims)
    attributions = open_pairs(snakemake.input.attributions, params.pairs, open_attribution)
    forced = open_pairs(snakemake.input.forced, params.pairs, open_forced)
    generations = open_pairs(snakemake.input.answers, params.pairs, open_generations)
    probes = open_pairs(snakemake.input.probes, params.probed, open_probes)
    check_together(attributions, forced, generations, probes)
    tables = []
    for models in model_pairs(params.variants):
        variant_of = {model: variant for variant, model in models.items()}
        attributed, answered, probed, given = (
            {
                (variant_of[model], language): file
                for (model, language), file in files.items()
                if model in variant_of
            }
            for files in (attributions, generations, probes, forced)
        )
        options = params.config["statistics"] | {"probes": probed, "forced": given}
        tables.append(evaluate_claims(claims, models, attributed, answered, **options))
    made = derived(
        formats.CLAIMS, params.config, (a.attrs["provenance"] for a in attributions.values())
    )
    write_table(pd.concat(tables, ignore_index=True), snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
