"""Answers that no swap can read: every file of the mechanism says why, counts them, and is whole.

One number only; answers that decide nowhere; a number whose prompt is longer than its neighbour's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_circuit import N_WORDS, Counting, answers_of, counting_model, language
from toys import SETTINGS

from lengthlens.analysis.attention import summarise_attention
from lengthlens.analysis.circuits import summarise_circuits
from lengthlens.analysis.count import summarise_count
from lengthlens.analysis.patches import summarise_patches
from lengthlens.analysis.paths import summarise_paths
from lengthlens.analysis.tracing import summarise_tracing
from lengthlens.circuits.measure import CircuitPlan, Texts, measure_circuits
from lengthlens.circuits.orders import component_names
from lengthlens.count.measure import CountPlan, CountTexts, measure_count
from lengthlens.generation.job import Reading
from lengthlens.generation.swaps import REASONS, swap_material
from lengthlens.models.layout import Layout
from lengthlens.patching.measure import Plan, measure_patching
from lengthlens.statistics import Bootstrap
from lengthlens.tracing.attention import measure_attention, own_texts
from lengthlens.tracing.paths import Members, PathPlan, measure_paths
from lengthlens.tracing.stream import TracePlan, trace_streams

BOOTSTRAP = Bootstrap(resamples=200)
TOPICS = 4
SILENT = 10  # a token that neither ends an answer nor begins a word
ROLES = np.array([0, 0, 0, 0, 1, 2, 3, 4], dtype=np.int8)
FILES = ("patching", "circuits", "tracing", "attention", "paths", "count")


@dataclass(frozen=True)
class Longer(Counting):
    """Numbers are as many tokens as they say: every swap changes the prompt's length."""

    def encode(self, text: str, date: str) -> list[int]:
        found = []
        for word, token in zip(text.split(), super().encode(text, date), strict=True):
            found += [token] * (int(word[1:]) if word[0] == "N" else 1)
        return found


def single() -> tuple:
    answers = [row for row in answers_of(language(topics=TOPICS)) if row["n"] == 4]
    return counting_model(), answers, (4,)


def undecided() -> tuple:
    rows = answers_of(language(topics=TOPICS))
    return counting_model(), [row | {"tokens": [SILENT] * row["n"]} for row in rows], N_WORDS


def longer() -> tuple:
    return Longer(**vars(counting_model())), answers_of(language(topics=TOPICS)), N_WORDS


CAUSES = {"no_number": single, "no_read_step": undecided, "length": longer}


def measure(loaded, answers: list[dict], n_words: tuple[int, ...]) -> dict[str, xr.Dataset]:
    """All files of the mechanism."""
    lang, reading = language(topics=TOPICS), Reading(n_words, "whitespace", "2026-01-01")
    both, up = (swap_material(loaded, lang, answers, reading, swaps) for swaps in ((-1, 1), (1,)))
    tokens = [row["n"] if isinstance(loaded, Longer) else 1 for row in answers]
    roles = [np.insert(ROLES, 4, np.ones(number - 1, dtype=np.int8)) for number in tokens]
    names = component_names(Layout.even(3, 4))
    selection = pd.DataFrame({"component": names, "method": "atp", "score": range(len(names))})
    patching = Plan(
        per_n=2, further_per_n=1, atp_per_n=2, swaps=(1, -1), positions=("all",),
        directions=("noising",), integrated_steps=1, exhaustive=256, best=1, random=4, seed=0,
        memory_gb=1.0,
    )  # fmt: skip
    circuits = CircuitPlan(2, ("atp",), (0.2, 0.4), faithful=0.85, orders=20, seed=0, memory_gb=1.0)
    traced = TracePlan(per_n=2, swaps=(1, -1), every=1, memory_gb=1.0)
    count = CountPlan(1, 1, (), steps=(1.0,), neurons=(1,), draws=1, seed=0, memory_gb=1.0)
    texts = Texts(answers, up, "en", "whitespace")
    crossed = CountTexts(lang, answers, reading, SETTINGS, False)
    own = own_texts(loaded, lang, answers, reading)
    members, paths = Members(("L0H2", "L2M"), 2), PathPlan(per_n=2, most=2, memory_gb=1.0)
    return {
        "patching": measure_patching(loaded, answers, both, patching),
        "circuits": measure_circuits(loaded, texts, {"en": selection}, circuits, BOOTSTRAP),
        "tracing": trace_streams(loaded, answers, both, roles, traced),
        "attention": measure_attention(loaded, answers, (own, both, roles), ("L0H2",), traced),
        "paths": measure_paths(loaded, answers, (up, roles), members, paths),
        "count": measure_count(loaded, crossed, count),
    }


def summarised(files: dict[str, xr.Dataset]) -> dict[str, pd.DataFrame]:
    """All tables that are made of them."""
    own = {name: {("m", "en"): data} for name, data in files.items()}
    return {
        "patches": summarise_patches(own["patching"], BOOTSTRAP),
        "tracing": summarise_tracing(own["tracing"], BOOTSTRAP),
        **summarise_circuits(own["circuits"], 0.85, BOOTSTRAP),
        **summarise_attention(own["attention"], BOOTSTRAP),
        **summarise_paths(own["paths"], BOOTSTRAP),
        **summarise_count(own["count"], BOOTSTRAP),
    }


@pytest.mark.parametrize("cause", CAUSES)
def test_every_file_names_the_cause_and_counts_the_answers(cause: str) -> None:
    loaded, answers, n_words = CAUSES[cause]()
    files = measure(loaded, answers, n_words)
    for name in FILES:
        counts = files[name]["n_answers"].sel(swap=1)
        assert int(counts.sel(reason="legal")) == 0, name
        asked = int(counts.sum())  # of the count, those that were drawn
        assert asked == len(answers) or name == "count"
        assert int(counts.sel(reason=cause)) > asked / 2, name
    for name in ("patching", "circuits", "tracing", "paths"):
        assert REASONS[cause] in files[name].attrs["absent"], name
    assert REASONS[cause] in files["count"].attrs["neurons_absent"]
    decided = np.isfinite(files["attention"]["attention"]).any()
    assert decided == (cause != "no_read_step")  # what a head looks at needs no other number
    tables = summarised(files)
    for name, table in tables.items():
        shares = [column for column in ("share", "faithfulness", "minimality") if column in table]
        assert table[shares].isna().all(axis=None), name
    for name in ("paths", "compensation", "circuits"):
        assert tables[name]["absent"].str.contains(REASONS[cause], regex=False).all(), name
