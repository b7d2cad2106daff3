# The recipe that tunes a chat model to keep to a word count; not part of the default run.
# `snakemake --cores 2 adapter` makes what resources/smollm2 ships. A training that was killed goes
# on where it was saved last: start it again.
from lengthlens.settings.sections import Model

with open(ROOT / "config/adapter.yaml", encoding="utf-8") as file:
    ADAPTERS = yaml.safe_load(file)


# What is tuned: a folder, or a model entry as in config.yaml that is made into one.
ENTRIES = {name: recipe["base"] for name, recipe in ADAPTERS.items()}
BASES = {
    name: Model(variant="instruct", **(entry if isinstance(entry, dict) else {"path": entry}))
    for name, entry in ENTRIES.items()
}
GGUF_FILES |= gguf_files(BASES.values())
FOLDERS = {name: base.path or model_files(base)[0] for name, base in BASES.items()}


rule adapter:
    input:
        "results/adapter-training/shipped/provenance.json",
    localrule: True


rule tune_adapter:
    input:
        code=code("tune_adapter"),
        base=lambda wildcards: model_files(BASES[wildcards.recipe]),
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
        recipe=lambda wildcards: ADAPTERS[wildcards.recipe] | {"base": FOLDERS[wildcards.recipe]},
        root=str(ROOT),
        folder=lambda wildcards, output: str(Path(output.provenance).parent),
    message:
        "Tuning the adapter {wildcards.recipe}"
    script:
        "../scripts/tune_adapter.py"
