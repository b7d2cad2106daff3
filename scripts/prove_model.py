"""Prove that attribution is complete on a model, or refuse the model."""

from lengthlens.workflow.model_job import run_model_job


def main(snakemake) -> None:
    import sys

    from lengthlens.attribution.proof import TOLERANCES, batch_tolerance, probe_tokens, proven
    from lengthlens.files.formats import PROOF
    from lengthlens.files.integrity import sealed
    from lengthlens.files.provenance import provenance
    from lengthlens.files.whole import write_json
    from lengthlens.generation.described import describe
    from lengthlens.generation.opening import open_model
    from lengthlens.weights.checkpoints import read_manifest

    params = snakemake.params
    loaded = open_model(params.name, params.model, params.config)
    date = params.config["generation"]["date"]
    use = describe(loaded, date)
    for told in use["notes"]:
        print(f"{params.name}: {told}", file=sys.stderr)
    texts = probe_tokens(loaded.tokenizer, loaded.anatomy.vocabulary_size)
    found = proven(loaded.model, loaded.anatomy, texts, params.name)
    proof = vars(found) | {
        "dtype": loaded.dtype,
        "tolerance": TOLERANCES[loaded.dtype],
        "batch_tolerance": batch_tolerance(loaded.model),
    }
    made = provenance(PROOF, params.config, read_manifest(snakemake.input.manifest))
    write_json(snakemake.output[0], sealed(proof | {"use": use, "provenance": made}))


if __name__ == "__main__":
    run_model_job(main, snakemake)  # noqa: F821
