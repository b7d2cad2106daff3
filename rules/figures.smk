# Files of the study -> figures, one rule a figure. A changed style redraws and computes nothing.


rule draw_error_by_n:
    input:
        code=code("draw_error_by_n"),
        languages=LANGUAGE_FILES,
        answers=paths.each_pair("generations/{model}.{language}.jsonl"),
        provenance=paths.each_pair("generations/{model}.{language}.provenance.json"),
    output:
        figure_files("error_by_n", "Behaviour", "Word-count error by N"),
    log:
        paths.below("logs/draw_error_by_n.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        pairs=paths.pairs,
        config=study.slice("statistics"),
        dpi=study.figures.dpi,
    message:
        "Drawing the word-count error by N"
    script:
        "../scripts/draw_error_by_n.py"


rule draw_cwa_by_layer:
    input:
        code=code("draw_cwa_by_layer"),
        languages=LANGUAGE_FILES,
        cwa=paths.below("cwa.nc"),
    output:
        figure_files("cwa_by_layer", "Attribution", "CWA by layer"),
    log:
        paths.below("logs/draw_cwa_by_layer.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing CWA by layer"
    script:
        "../scripts/draw_cwa_by_layer.py"


rule draw_cwa_heatmaps:
    input:
        code=code("draw_cwa_heatmaps"),
        languages=LANGUAGE_FILES,
        cwa=paths.below("cwa.nc"),
        rankings=paths.each_pair("selection/{model}.{language}.csv"),
        provenance=paths.each_pair("selection/{model}.{language}.provenance.json"),
    output:
        figure_files("cwa_heatmaps", "Attribution", "Every head"),
    log:
        paths.below("logs/draw_cwa_heatmaps.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        pairs=paths.pairs,
        top=max(study.ablation.k),
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing the map of all heads"
    script:
        "../scripts/draw_cwa_heatmaps.py"


rule draw_cwa_by_n:
    input:
        code=code("draw_cwa_by_n"),
        languages=LANGUAGE_FILES,
        attributions=paths.each_pair("attribution/{model}.{language}.nc"),
    output:
        figure_files("cwa_by_n", "Attribution", "CWA by N"),
    log:
        paths.below("logs/draw_cwa_by_n.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        pairs=paths.pairs,
        config=study.slice("statistics"),
        dpi=study.figures.dpi,
    message:
        "Drawing CWA by N"
    script:
        "../scripts/draw_cwa_by_n.py"


rule draw_ablation:
    input:
        code=code("draw_ablation"),
        languages=LANGUAGE_FILES,
        ablations=paths.each_pair("ablation/{model}.{language}.nc"),
    output:
        figure_files("ablation", "Causes", "Dose and response"),
    log:
        paths.below("logs/draw_ablation.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        pairs=paths.pairs,
        config=study.slice("statistics"),
        dpi=study.figures.dpi,
    message:
        "Drawing the ablation"
    script:
        "../scripts/draw_ablation.py"


rule draw_scores:
    input:
        code=code("draw_scores"),
        languages=LANGUAGE_FILES,
        table=paths.below("tables/scores.csv"),
        provenance=paths.below("tables/scores.provenance.json"),
    output:
        figure_files("scores", "Causes", "Scores against effects"),
    log:
        paths.below("logs/draw_scores.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing how well scores find causes"
    script:
        "../scripts/draw_scores.py"


rule draw_same_text:
    input:
        code=code("draw_same_text"),
        languages=LANGUAGE_FILES,
        table=paths.below("tables/same_text.csv"),
        provenance=paths.below("tables/same_text.provenance.json"),
    output:
        figure_files("same_text", "Attribution", "On the same text"),
    log:
        paths.below("logs/draw_same_text.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing the attribution on the same text"
    script:
        "../scripts/draw_same_text.py"


rule draw_causes:
    input:
        code=code("draw_causes"),
        languages=LANGUAGE_FILES,
        transfer=paths.below("tables/transfer.csv"),
        repair=paths.below("tables/repair.csv"),
        provenance=[
            paths.below(f"tables/{name}.provenance.json") for name in ("transfer", "repair")
        ],
    output:
        transfer=figure_files("transfer", "Causes", "Transfer between languages"),
        repair=figure_files("repair", "Causes", "Direct effect and repair"),
    log:
        paths.below("logs/draw_causes.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing transfer and repair"
    script:
        "../scripts/draw_causes.py"


rule draw_faithfulness:
    input:
        code=code("draw_faithfulness"),
        languages=LANGUAGE_FILES,
        table=paths.below("tables/faithfulness.csv"),
        provenance=paths.below("tables/faithfulness.provenance.json"),
    output:
        figure_files("faithfulness", "Mechanism", "Faithfulness of circuits"),
    log:
        paths.below("logs/draw_faithfulness.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing how few components carry the effect of N"
    script:
        "../scripts/draw_faithfulness.py"


rule draw_tracing:
    input:
        code=code("draw_tracing"),
        languages=LANGUAGE_FILES,
        table=paths.below("tables/tracing.csv"),
        provenance=paths.below("tables/tracing.provenance.json"),
    output:
        figure_files("tracing", "Mechanism", "Where N is"),
    log:
        paths.below("logs/draw_tracing.log"),
    conda:
        "../envs/environment.yaml"
    params:
        variants=VARIANTS,
        config={},
        dpi=study.figures.dpi,
    message:
        "Drawing where N is, by layer and role"
    script:
        "../scripts/draw_tracing.py"
