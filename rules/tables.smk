# Files of the study -> tables, one rule a stage of the analysis.
from lengthlens.analysis.registry import STAGES as TABLE_STAGES

ABOUT = {
    "tunings": study.tunings,
    "model_pairs": study.model_pairs,
    "tests": as_values(read_hypotheses(CLAIMS)),
    "untuned": list(study.ablation.untuned),
    "references": list(study.probes.languages),
    "steps": study.steps,
}


def table_file(name, entry):
    """A table, and its entry in Snakemake's own report."""
    file = paths.below(f"tables/{name}.csv")
    if not entry.label:
        return file
    caption = f"captions/{entry.caption or name}.rst"
    return report(file, caption=caption, category=entry.category, labels={"table": entry.label})


for name, stage in TABLE_STAGES.items():
    sources = {
        source: LANGUAGE_FILES if source == "languages" else paths.source(source, stage.tuned)
        for source in stage.reads
    }

    rule:
        name:
            f"summarise_{name}"
        input:
            **with_sidecars(sources),
            code=code("make_tables", f"lengthlens.analysis.stages.{name}"),
        output:
            **{table: table_file(table, entry) for table, entry in stage.tables.items()},
            provenance=[paths.below(f"tables/{table}.provenance.json") for table in stage.tables],
        log:
            paths.below(f"logs/summarise_{name}.log"),
        priority: 4  # takes seconds, and is what a user waits for
        conda:
            "../envs/environment.yaml"
        params:
            stage=name,
            reads={source: paths.keys(source, stage.tuned) for source in stage.reads},
            origins=list(stage.origins or stage.reads),
            about={option: ABOUT[option] for option in stage.about},
            config=study.slice(*stage.config),
        message:
            stage.message
        script:
            "../scripts/make_tables.py"
