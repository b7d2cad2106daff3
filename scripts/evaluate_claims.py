"""Judge the claims by their intervals: claims.csv."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    import pandas as pd

    from lengthlens.claims.kinds import Data
    from lengthlens.claims.verdicts import claims_of_pairs, evaluate_claims, read_claims
    from lengthlens.files import formats
    from lengthlens.files.provenance import derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import open_sources, origins
    from lengthlens.settings.claims import CLAIMED_TABLES
    from lengthlens.statistics import Bootstrap

    params, claims = snakemake.params, read_claims(snakemake.input.claims)
    data = open_sources(snakemake.input, params.reads)
    found = {name: data.pop(name) for name in CLAIMED_TABLES if name in data}
    transplants = data.pop("transplants_files")
    sources = [*origins(transplants), *origins(data["attributions"])]
    tables = []
    for models, own in zip(params.models, claims_of_pairs(claims, params.models), strict=True):
        tuning_of = {model: tuning for tuning, model in models.items()}
        of_pair = {
            name: {
                (tuning_of[model], language): file
                for (model, language), file in opened.items()
                if model in tuning_of
            }
            for name, opened in data.items()
        }
        both = (models.get("untuned"), models.get("tuned"))
        mine = {key[2]: file for key, file in transplants.items() if key[:2] == both}
        measured = Data(models, **of_pair, tables=found, transplants=mine)
        tables.append(evaluate_claims(own, measured, Bootstrap(**params.config["statistics"])))
    made = derived(formats.CLAIMS, params.config, sources)
    write_table(pd.concat(tables, ignore_index=True), snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
