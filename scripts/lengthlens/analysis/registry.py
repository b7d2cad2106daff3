"""All tables of a study: which are made together, from what, and where the report lists them.

A new stage is a line here, a module of its name in `stages` with a function `tables`, and a caption
in rules/captions/ for every table with a label. Rule, log and targets follow. Nothing heavy is
imported here, for the Snakefile reads this list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """Where Snakemake's own report lists a table; without a label it does not.

    Attributes:
        caption: of rules/captions/; by default that of the table's name.
    """

    category: str = ""
    label: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Stage:
    """Tables that are made together.

    Attributes:
        message: what Snakemake says meanwhile.
        reads: sources (`targets.SOURCES`, or names of tables), each an argument of `tables`.
        origins: those whose provenance is the tables'; all of them by default.
        tables: name -> where it is listed.
        config: keys of the configuration, each an argument of `tables`, or its `bootstrap`.
        about: further arguments, of rules/tables.smk.
        tuned: whether the files of tuned models alone are read.
    """

    message: str
    reads: tuple[str, ...]
    tables: Mapping[str, Entry]
    origins: tuple[str, ...] = ()
    config: tuple[str, ...] = ("statistics",)
    about: tuple[str, ...] = ()
    tuned: bool = False


def _listed(category: str, labels: Mapping[str, str]) -> dict[str, Entry]:
    return {name: Entry(category, label) for name, label in labels.items()}


STAGES = {
    "answers": Stage(
        "Summarising the answers",
        reads=("answers", "languages"),
        origins=("answers",),
        tables=_listed("Behaviour", {"behaviour": "Word-count errors"}),
        config=("statistics", "counting", "counted"),
    ),
    "control": Stage(
        "Asking whether there is control to explain",
        reads=("generations", "forced"),
        origins=("forced",),
        tables=_listed("Behaviour", {"control": "Is there control?"}),
    ),
    "models": Stage(
        "Summarising how the models were used",
        reads=("answers", "proofs"),
        origins=("answers",),
        tables=_listed("Behaviour", {"models": "Models and their settings"}),
        config=(),
    ),
    "ablation": Stage(
        "Comparing the ablation with its controls",
        reads=("ablations", "repairs", "selections", "attributions", "forced"),
        origins=("ablations",),
        tables={
            "ablation": Entry("Causes", "Effects against controls", "ablation_table"),
            "confirmatory": Entry("Causes", "Tests"),
            **dict.fromkeys(("transfer", "profiles", "repair"), Entry()),
        },
        about=("tests", "model_pairs", "untuned"),
    ),
    "circuits": Stage(
        "Summarising what carries N",
        reads=("attributions", "forced", "patching_files", "circuits_files"),
        origins=("patching_files", "circuits_files"),
        tables=_listed(
            "Mechanism",
            {
                "patches": "Single components",
                "carriers": "What carries N",
                "patch_scores": "Scores against patches",
                "faithfulness": "Faithfulness of circuits",
                "circuits": "Smallest circuits",
                "circuit_members": "Members of the smallest circuits",
                "overlap": "Circuits across languages",
            },
        ),
        config=("statistics", "circuits.faithful"),
        tuned=True,
    ),
    "tracing": Stage(
        "Summarising where N is and what looks at it",
        reads=("tracing_files", "attention_files", "paths_files", "contrasts_files"),
        tables=_listed(
            "Mechanism",
            {
                "tracing": "Where N is",
                "attention": "What heads look at",
                "knockout": "Layers kept from a role",
                "circuit_heads": "Heads of the circuit",
                "paths": "Paths between components",
                "places": "Where components matter",
                "compensation": "Late heads and the final MLP",
                "contrasts": "Where N is, by kind of template",
                "contrast_circuits": "Circuits on new templates",
            },
        ),
        tuned=True,
    ),
    "count": Stage(
        "Summarising the count in the stream",
        reads=("attributions", "forced", "count_files"),
        origins=("forced", "count_files"),
        tables=_listed(
            "Mechanism",
            {
                "count_probes": "Words left in the stream",
                "steering": "The stream shifted along words left",
                "neurons": "Neurons of the final MLP",
                "depth": "The end margin by depth",
            },
        ),
        about=("tunings", "model_pairs"),
    ),
    "transplants": Stage(
        "Summarising what tuning changed",
        reads=("transplants_files", "pair_patching_files"),
        tables=_listed(
            "Tuning",
            {
                "transplants": "Parts of the weights exchanged",
                "weight_change": "Where the weights moved",
            },
        ),
    ),
    "series": Stage(
        "Following tuning step by step",
        reads=("behaviour", "patches", "circuit_members", "attention"),
        tables=_listed("Tuning", {"series": "Tuning step by step"}),
        about=("steps",),
    ),
    "forced": Stage(
        "Comparing scores with effects, and texts with models",
        reads=("attributions", "forced"),
        origins=("forced",),
        tables={
            "same_text": Entry("Attribution", "On the same text", "same_text_table"),
            "scores": Entry("Causes", "Scores against effects", "scores_table"),
            "nswap": Entry("Causes", "N swapped", "nswap_table"),
        },
        about=("tunings", "model_pairs"),
    ),
    "probes": Stage(
        "Summarising the probes",
        reads=("probes", "generations", "attributions"),
        origins=("probes",),
        tables=dict.fromkeys(
            ("tokens_per_word", "tokenization", "counting", "extrapolation", "dip"), Entry()
        ),
        config=("statistics", "counting"),
        about=("references",),
    ),
}
TABLES = tuple(name for stage in STAGES.values() for name in stage.tables)
