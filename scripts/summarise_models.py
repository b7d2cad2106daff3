"""Summarise how the models were used: tables/models.csv."""

from lengthlens.workflow.job import run_job


def main(snakemake) -> None:
    from lengthlens.analysis.models import summarise_models
    from lengthlens.files import formats
    from lengthlens.files.provenance import check_schema, derived
    from lengthlens.files.tables import write_table
    from lengthlens.readers import open_answers
    from lengthlens.weights.checkpoints import read_manifest

    params, paths = snakemake.params, snakemake.input.proofs
    answers = open_answers(snakemake.input.answers, params.pairs)
    proofs = {path: read_manifest(path) for path in paths}
    for path, proof in proofs.items():
        check_schema(path, proof["provenance"]["schema"], formats.PROOF)
    uses = dict(zip(params.models, (proof["use"] for proof in proofs.values()), strict=True))
    made = derived(formats.TABLE, {}, answers.attrs["provenance"].values())
    write_table(summarise_models(uses, answers), snakemake.output.table, made)


if __name__ == "__main__":
    run_job(main, snakemake)  # noqa: F821
