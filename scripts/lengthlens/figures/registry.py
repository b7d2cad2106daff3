"""All figures of a study: what each is drawn from, and where it is placed in the reports.

A new figure needs three things: a line here, a module of its name in this folder with
`draw_{name}(*data, cast, **options)`, and its caption in rules/captions/. The function sets the
figure's title as the figure's label: a sentence that states what was found (`titles`). Rule,
script, log and stage target follow from that. Nothing heavy is imported here, because the Snakefile
reads this list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes:
        category: under which Snakemake's own report lists it.
        label: its name there.
        reads: what it is drawn from, in the order of its function's arguments: `answers`,
            `attributions`, `ablations`, `selections`, `tokens`, `cwa`, or the name of a table.
        options: configuration keys that its function takes as keywords.
        probed: whether it shows the languages that are only probed, too.
        rests_on: of what its caption counts the answers; "" for the first that it reads.
    """

    category: str
    label: str
    reads: tuple[str, ...]
    options: tuple[str, ...] = ()
    probed: bool = False
    rests_on: str = ""


_INTERVALS = ("statistics",)

FIGURES = {
    "error_by_n": Drawing("Behaviour", "Word-count error by N", ("answers", "control"), _INTERVALS),
    "cwa_by_layer": Drawing("Attribution", "CWA by layer", ("cwa",)),
    "cwa_heatmaps": Drawing("Attribution", "Every head", ("cwa", "selections"), ("ablation.k",)),
    "cwa_by_n": Drawing("Attribution", "CWA by N", ("attributions",), _INTERVALS),
    "worked_cases": Drawing("Attribution", "Token by token", ("answers", "tokens")),
    "same_text": Drawing("Attribution", "On the same text", ("same_text",)),
    "ablation": Drawing(
        "Causes",
        "Dose and response",
        ("ablations", "ablation", "confirmatory", "control"),
        _INTERVALS,
    ),
    "ablation_all": Drawing(
        "Causes", "Dose and response, all scores", ("ablations", "ablation"), _INTERVALS
    ),
    "scores": Drawing("Causes", "Scores against effects", ("scores",)),
    "transfer": Drawing("Causes", "Transfer between languages", ("transfer",)),
    "faithfulness": Drawing("Mechanism", "Faithfulness of circuits", ("faithfulness", "circuits")),
    "circuit": Drawing("Mechanism", "The circuit", ("paths", "places"), rests_on="places"),
    "tracing": Drawing("Mechanism", "Where N is", ("tracing",)),
    "count": Drawing("Mechanism", "Words left in the stream", ("count_probes", "steering")),
    "depth": Drawing("Mechanism", "The end margin by depth", ("depth",)),
    "transplants": Drawing("Tuning", "Where tuning put counting", ("transplants",)),
    "series": Drawing("Tuning", "Tuning step by step", ("series",)),
    "repair": Drawing("Causes", "Mediation of the drop", ("repair",)),
    "tokenization": Drawing(
        "Tokenization", "Words of one token", ("tokenization", "tokens_per_word"), probed=True
    ),
    "extrapolation": Drawing(
        "Behaviour", "Beyond the study's N", ("extrapolation", "dip"), probed=True
    ),
}
