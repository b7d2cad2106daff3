"""The swaps of a model's answers: which are legal, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import NO_NUMBER, REASONS, SWAPS, Swap, neighbour, swap_answer
from lengthlens.language.languages import Language
from lengthlens.language.prompts import prompt_of

LEGAL = "legal"


@dataclass(frozen=True)
class SwapMaterial:
    """For every swap, one entry an answer: the legal swap, or the reason why there is none."""

    by_swap: Mapping[int, Sequence[Swap | str]]

    def legal(self, swap: int) -> list[tuple[int, Swap]]:
        """The legal swaps, each with the index of its answer."""
        entries = enumerate(self.by_swap.get(swap, ()))
        return [(index, entry) for index, entry in entries if isinstance(entry, Swap)]

    def only(self, swaps: Iterable[int]) -> SwapMaterial:
        """The same of some of the swaps."""
        return SwapMaterial({swap: self.by_swap[swap] for swap in swaps})

    def reasons(self, swap: int) -> Counter[str]:
        """How many answers have no legal swap, by reason."""
        return Counter(entry for entry in self.by_swap[swap] if isinstance(entry, str))


def swap_material(
    loaded: LoadedModel,
    language: Language,
    answers: Sequence[Mapping],
    reading: Reading,
    swaps: Iterable[int] = SWAPS,
) -> SwapMaterial:
    """The swaps of answers."""
    found: dict[int, list[Swap | str]] = {swap: [] for swap in swaps}
    for row in answers:
        marks = loaded.annotate(row["tokens"], row["n"], reading.counting)
        for swap, entries in found.items():
            n = neighbour(row["n"], reading.n_words, swap)
            if n is None:
                entries.append(NO_NUMBER)
                continue
            own, swapped = (
                (number, loaded.encode(prompt_of(language, row, number).text, reading.date))
                for number in (row["n"], n)
            )
            entries.append(swap_answer(own, swapped, row["tokens"], marks, loaded.decode_text))
    return SwapMaterial(found)


def count_swaps(material: SwapMaterial) -> xr.DataArray:
    """Answers by swap: those with a legal one, and the others by reason."""
    counts = []
    for swap in SWAPS:
        count: Counter[str] = Counter()
        if swap in material.by_swap:
            count = material.reasons(swap) + Counter({LEGAL: len(material.legal(swap))})
        counts.append([count[name] for name in (LEGAL, *REASONS)])
    found = xr.DataArray(np.array(counts), {"swap": list(SWAPS), "reason": [LEGAL, *REASONS]})
    return found.assign_attrs(long_name="answers with a legal swap, and those without by reason")


def why_none(material: SwapMaterial) -> str:
    """In words why no answer has a legal swap."""
    counts: Counter[str] = sum(map(material.reasons, material.by_swap), start=Counter())
    told = [f"{REASONS[reason]} ({number})" for reason, number in counts.most_common()]
    return "no answer has a legal swap: " + ("; ".join(told) or "there are no answers")
