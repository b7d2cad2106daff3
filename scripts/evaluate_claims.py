"""Judge the claims by their intervals: claims.csv."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    import pandas as pd

    from lengthlens.claims.kinds import Data
    from lengthlens.claims.verdicts import claims_of_pairs, evaluate_claims, read_claims
    from lengthlens.files import formats
    from lengthlens.files.identity import check_agreement
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import (
        check_together,
        open_ablation,
        open_attribution,
        open_forced,
        open_generations,
        open_pairs,
        open_probes,
        open_repair,
        open_table,
        open_transplants,
    )
    from lengthlens.settings.claims import CLAIMED_TABLES
    from lengthlens.statistics import Bootstrap

    params, given = snakemake.params, snakemake.input
    claims = read_claims(given.claims)
    files = {
        "attributions": open_pairs(given.attributions, params.pairs, open_attribution),
        "generations": open_pairs(given.answers, params.pairs, open_generations),
        "probes": open_pairs(given.probes, params.probed, open_probes),
        "forced": open_pairs(given.forced, params.pairs, open_forced),
        "ablations": open_pairs(given.ablations, params.pairs, open_ablation),
        "repairs": open_pairs(given.repairs, params.pairs, open_repair),
    }
    check_together(*files.values())
    found = {name: open_table(given[name]) for name in CLAIMED_TABLES if given.get(name)}
    keys = [tuple(key) for key in params.transplanted]
    transplants = dict(zip(keys, map(open_transplants, given.transplants), strict=True))
    origins = [file.attrs["provenance"] for file in transplants.values()]
    origins += [file.attrs["provenance"] for file in files["attributions"].values()]
    check_agreement(dict(zip([*given.transplants, *given.attributions], origins, strict=True)))
    tables = []
    for models, own in zip(params.models, claims_of_pairs(claims, params.models), strict=True):
        tuning_of = {model: tuning for tuning, model in models.items()}
        of_pair = {
            name: {
                (tuning_of[model], language): file
                for (model, language), file in opened.items()
                if model in tuning_of
            }
            for name, opened in files.items()
        }
        both = (models.get("untuned"), models.get("tuned"))
        mine = {key[2]: file for key, file in transplants.items() if key[:2] == both}
        data = Data(models, **of_pair, tables=found, transplants=mine)
        tables.append(evaluate_claims(own, data, Bootstrap(**params.config["statistics"])))
    made = derived(formats.CLAIMS, params.config, origins)
    write_table(pd.concat(tables, ignore_index=True), snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
