# Files of the study -> figures, one rule a figure. A changed style redraws and computes nothing.
from lengthlens.figures.registry import FIGURES

for name, drawing in FIGURES.items():
    sources = {source: paths.source(source) for source in drawing.reads}

    rule:
        name:
            f"draw_{name}"
        input:
            **with_sidecars(sources),
            code=code("draw_figure", f"lengthlens.figures.{name}"),
            languages=PROBED_LANGUAGE_FILES if drawing.probed else LANGUAGE_FILES,
        output:
            figure_files(name, drawing.category, drawing.label),
        log:
            paths.below(f"logs/draw_{name}.log"),
        priority: 4  # takes seconds, and is what a user waits for
        conda:
            "../envs/environment.yaml"
        params:
            figure=name,
            reads={source: paths.keys(source) for source in drawing.reads},
            tunings=study.tunings,
            config=study.slice(*drawing.options),
            dpi=study.figures.dpi,
        message:
            f"Drawing {name}: {drawing.label}"
        script:
            "../scripts/draw_figure.py"
