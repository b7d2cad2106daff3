# The recipe of the pocket pair; not part of the default run. It writes below results/ only:
# `python scripts/install_pocket.py` then puts a finished pair into resources/pocket.
# The shipped pair comes from `snakemake --cores 1 pocket`, about half an hour on one core.
import yaml

with open(ROOT / "config/pocket.yaml", encoding="utf-8") as file:
    POCKET = yaml.safe_load(file)
POCKET_DATA = sorted(str(path) for path in (ROOT / "resources/pocket/lexicon").iterdir())


rule pocket:
    input:
        "results/pocket-training/shipped/provenance.json",
    localrule: True


rule pocket_seeds:
    input:
        expand("results/pocket-training/{budget}/provenance.json", budget=["seed1", "seed2"]),
    localrule: True


rule pocket_series:
    input:
        "results/pocket-training/series/provenance.json",
    localrule: True


rule train_pocket:
    input:
        code=code("train_pocket"),
        data=POCKET_DATA,
    output:
        base="results/pocket-training/{budget}/base/model.safetensors",
        instruct="results/pocket-training/{budget}/instruct/model.safetensors",
        losses="results/pocket-training/{budget}/losses.csv",
        provenance="results/pocket-training/{budget}/provenance.json",
    log:
        "results/pocket-training/logs/{budget}.log",
    wildcard_constraints:
        budget="|".join(POCKET),
    conda:
        "../envs/environment.yaml"
    threads: 1
    params:
        recipe=lambda wildcards: POCKET[wildcards.budget],
        folder=lambda wildcards, output: str(Path(output.provenance).parent),
    message:
        "Training the pocket pair, budget {wildcards.budget}"
    script:
        "../scripts/train_pocket.py"
