# The recipe that tunes a chat model to keep to a word count; not part of the default run.
# `snakemake --cores 2 adapter` makes what resources/smollm2 ships, from a model that is fetched
# before. A training that was killed goes on where it was saved last: start it again.
with open(ROOT / "config/adapter.yaml", encoding="utf-8") as file:
    ADAPTERS = yaml.safe_load(file)


localrules:
    adapter,


def weights_to_tune(wildcards):
    """Those of the base; where there are none and no rule makes them, the job tells how to."""
    base = ADAPTERS[wildcards.recipe]["base"]
    folder = local_folder(base, PROJECT)
    if not folder.exists() and base.startswith("results/weights/dequantized."):
        return [base]
    return sorted(local(str(path)) for path in folder.glob("*.safetensors"))


rule adapter:
    input:
        "results/adapter-training/shipped/provenance.json",


rule tune_adapter:
    input:
        code=code("tune_adapter"),
        base=weights_to_tune,
        data=lambda wildcards: [
            project_file(ROOT / path)
            for path in (
                ADAPTERS[wildcards.recipe]["sentences"],
                ADAPTERS[wildcards.recipe]["wordings"],
                *ADAPTERS[wildcards.recipe]["held_out"],
            )
        ],
    output:
        adapter="results/adapter-training/{recipe}/adapter/adapter_model.safetensors",
        config="results/adapter-training/{recipe}/adapter/adapter_config.json",
        losses="results/adapter-training/{recipe}/losses.csv",
        development="results/adapter-training/{recipe}/development.csv",
        provenance="results/adapter-training/{recipe}/provenance.json",
    log:
        "results/adapter-training/logs/{recipe}.log",
    wildcard_constraints:
        recipe="|".join(ADAPTERS),
    conda:
        "../envs/environment.yaml"
    threads: lambda wildcards: ADAPTERS[wildcards.recipe]["threads"]
    params:
        recipe=lambda wildcards: ADAPTERS[wildcards.recipe],
        root=str(ROOT),
        folder=lambda wildcards, output: str(Path(output.provenance).parent),
    message:
        "Tuning the adapter {wildcards.recipe}"
    script:
        "../scripts/tune_adapter.py"
