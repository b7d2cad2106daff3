"""Does N gather at the final mark because it is the final mark? `contrasts/{model}.{language}.nc`.

The study's own templates all end with a mark. A language file therefore gives wordings that differ
in one thing alone (`contrasts`): the same with and without the final mark, and with the number
early or late. Their prompts are answered greedily, and then

1. traced like the study's (`tracing.stream`): the stream that enters a layer, at the positions of a
   role, from the run with the larger number;
2. rebuilt from the smallest faithful circuit, all else from that run. The circuit was ranked on
   other templates and, since topics of the split `evaluate` alone are used, on other topics.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from lengthlens.circuits.measure import KEPT, Condition, component_sets
from lengthlens.circuits.orders import component_names
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.answers import answered, in_batches, requests
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import SWAPS, neighbour, swap_material
from lengthlens.language.ids import prompt_id
from lengthlens.language.languages import KINDS, Language
from lengthlens.language.prompts import Prompt, drawn_places, topic_split
from lengthlens.patching.runs import SwapRuns
from lengthlens.settings.sections import Contrasts, Generation
from lengthlens.tracing.paths import SWAP, Members
from lengthlens.tracing.roles import answer_roles
from lengthlens.tracing.stream import TracePlan, trace_streams

ATTRIBUTES = {
    "kept": "end margin of the reached run with everything outside of the smallest circuit from "
    "the other run [logits]",
}


class ContrastPlan(Contrasts):
    """The `contrasts` section of the configuration, and what it shares with others.

    Attributes:
        every: into every so many-th layer the stream is traced.
        seed: of the prompts' split and draw.
    """

    every: int
    seed: int


def contrast_prompts(
    language: Language, n_words: Iterable[int], per_n: int, seed: int
) -> list[Prompt]:
    """As many prompts of each kind for each N that has a larger neighbour.

    The topics are of the split `evaluate`, drawn by the seed, and the same in every kind; the
    wordings of a kind take turns. None where the language has no contrasting wordings.
    """
    topics = [topic for topic in language.topics if topic_split(topic.id, seed) == "evaluate"]
    prompts = []
    for n in (n for n in n_words if neighbour(n, n_words, SWAP) is not None):
        (places,) = drawn_places([(n, topic.id) for topic in topics], len(topics), seed)
        index = itertools.count()
        for kind in KINDS if language.contrasts else ():
            wordings = [one for one in language.contrasts if one.id.startswith(f"{kind}-")]
            for draw in range(min(per_n, len(topics) * len(wordings))):
                topic = topics[places[draw % len(topics)]]
                wording = wordings[(draw + draw // len(topics)) % len(wordings)]
                prompts.append(
                    Prompt(
                        id=prompt_id(language.code, n, next(index)),
                        language=language.code,
                        n=n,
                        topic=topic.id,
                        template=wording.id,
                        split="evaluate",
                        text=language.ask(wording, topic, n),
                    )
                )
    return prompts


def greedy_answers(
    loaded: LoadedModel, prompts: Sequence[Prompt], settings: Generation, counting: str
) -> list[dict]:
    """The likeliest answer to each prompt, as rows of a generations file."""
    settings = settings.model_copy(update={"temperature": 0, "samples": 1})
    parts = in_batches(loaded, requests(loaded, prompts, settings), settings, capture=False)
    return [row for part in parts for row in answered(loaded, part, settings, counting)[0]]


def measure_contrasts(
    loaded: LoadedModel,
    language: Language,
    members: Members,
    reading: Reading,
    options: tuple[ContrastPlan, Generation],
) -> xr.Dataset:
    """The dataset of a contrasts file (docs/files.md).

    Args:
        loaded: the model, in float32 or better.
        language: with its contrasting wordings.
        members: of the smallest circuit, all of them.
        reading: how prompts and answers are read.
        options: which prompts, and how answers are generated.
    """
    plan, settings = options
    prompts = contrast_prompts(language, reading.n_words, plan.per_n, plan.seed)
    asked = replace(language, templates=language.contrasts)
    answers = greedy_answers(loaded, prompts, settings, reading.counting)
    material = swap_material(loaded, asked, answers, reading, (SWAP,))
    roles = answer_roles(loaded, asked, answers, reading.date)
    everything = TracePlan(
        per_n=max(1, len(answers)), swaps=[SWAP], every=plan.every, memory_gb=settings.memory_gb
    )
    circuit = _kept(loaded, members)
    kept = np.full((len(SWAPS), len(answers)), np.nan)

    def keep(cell: tuple[int, int], runs: SwapRuns) -> None:
        kept[cell] = np.nan if circuit is None else runs.patched(circuit).fixed[0]

    traced = trace_streams(
        loaded, answers, material, roles, everything, directions=("noising",), beside=keep
    )
    kinds = np.array([row["template"].rpartition("-")[0] for row in answers], dtype=str)
    dataset = traced.assign(kept=(("swap", "sample"), kept)).assign_coords(kind=("sample", kinds))
    tell_meanings(dataset, ATTRIBUTES)
    if not answers:
        dataset = dataset.assign_attrs(absent=_why_no_prompts(language))
    return dataset.assign_attrs(components=";".join(members.names), circuit_absent=members.absent)


def _why_no_prompts(language: Language) -> str:
    if language.contrasts:
        return "the study asks for one number of words only, so there is none to swap"
    return f"resources/languages/{language.code}.yaml has no `contrasts`, so nothing was asked"


def _kept(loaded: LoadedModel, members: Members):
    """The set that keeps the circuit; None without one."""
    if not members.names:
        return None
    layout = loaded.anatomy.layout
    mask = np.isin(component_names(layout), members.names)
    condition = Condition(KEPT, "", "", len(members.names), mask)
    return component_sets([condition], layout, loaded.device)
