"""The two runs of a swap, and the same runs with components taken from one another.

1. Both runs read the same tokens up to the numeral, so whatever is before it is alike: it is
   computed once, for one row, and patches begin at the numeral. A model whose layers keep a state
   goes on from it by one token at a time; its runs are read as a whole, from the first token on.
2. From there both runs are one pass of two rows, in which every head and MLP is recorded at every
   position (`decoding.donors`), and so is the output of every layer.
3. A patched run is a row of a batch: its components take what was recorded of the other run, at the
   `prompt` positions (from the numeral to the token before the last prompt token), the `generated`
   ones (from the last prompt token to the one that the margin is read from) or at `all`. Layers
   below a row's first patched component are not computed again (`decoding.reuse`).

The margin is the logit of one ender minus that of one word-beginning token, before a soft cap: the
best ones of the run under the answer's own prompt, the same pair in every run of the swap. The
*free* margin takes the best ender and word of each run itself.

Within one model it makes no difference whether a head's input to the output projection is replaced
or what it adds to the stream.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lengthlens.decoding.decode import TokenClasses
from lengthlens.decoding.donors import PassRecorder, placed
from lengthlens.decoding.forward import LogitReader, feed, keeps_states, prefill, unread
from lengthlens.decoding.intervention import Donors, Intervention, Surgeon
from lengthlens.decoding.reuse import CleanLayers, batches, first_layers
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import ROWS, free_margins
from lengthlens.generation.swaps import SWAPS, Swap

POSITIONS = ("prompt", "generated", "all")
REACHED, OTHER = 0, 1  # the runs with the smaller and with the larger number


@dataclass(frozen=True)
class Sets:
    """Sets of components to be patched, one a row.

    Attributes:
        heads, mlps: True where a set holds a component.
        into: the run that is patched, REACHED or OTHER; the components come from the other one.
        positions: indices into POSITIONS.
    """

    heads: Bool[Tensor, "set layer head"]
    mlps: Bool[Tensor, "set layer"]
    into: Int[Tensor, " set"]
    positions: Int[Tensor, " set"]

    def __len__(self) -> int:
        return len(self.heads)

    def __getitem__(self, rows: Tensor) -> Sets:
        return Sets(self.heads[rows], self.mlps[rows], self.into[rows], self.positions[rows])


@dataclass(frozen=True)
class Margins:
    """Margins of runs: with the fixed pair of tokens, and with the best tokens of each. [logits]"""

    fixed: Float[np.ndarray, " run"]
    free: Float[np.ndarray, " run"]


class SwapRuns:
    """The two clean runs of a swap.

    Attributes:
        swap: whose runs they are.
        start: the first position that is computed for both, and that may be patched.
        clean: margins of the two, REACHED and OTHER.
        ender, word: the fixed pair of tokens.
    """

    @torch.inference_mode()
    def __init__(self, loaded: LoadedModel, swap: Swap, memory_gb: float) -> None:
        self.swap, self._loaded = swap, loaded
        self._rows = rows_at_once(loaded, swap.last + 1, memory_gb)
        self.start = 0 if keeps_states(loaded.model) else swap.numeral
        both = [text[self.start :] for text in swap.texts]
        self._suffix = torch.tensor(both, device=loaded.device)
        if self.start:
            # NOTE the last token of this prompt is never fed: it keeps the place of the numeral.
            before = [*swap.reached[: self.start], 0]
            self._before = prefill(loaded.model, [before], len(both[0]))
        else:
            self._before = unread(loaded.model, len(both[0]))
        self._layers = CleanLayers(loaded.anatomy)
        recorder = PassRecorder(loaded.anatomy)
        with recorder.attached():
            logits = self._pass(torch.tensor([REACHED, OTHER]), self._layers.recorded())
        self._donors = recorder.donors(loaded.device)
        own = logits[REACHED if swap.own_is_reached else OTHER]
        self.ender, self.word = best_pair(own, loaded.classes)
        self.clean = self._margins(logits)
        if not np.isfinite(self.clean.fixed).all():
            raise LengthlensError(
                f"{loaded.spec.name}: the end margin is not finite after "
                f"{loaded.decode_text(swap.answer)[-60:]!r}; its weights are not sound"
            )

    @property
    def effect(self) -> float:
        """The N effect: the margin of the reached run minus that of the other. [logits]"""
        return float(self.carried(self.clean.fixed[OTHER]))

    def carried(self, margins: np.ndarray | float, into: int = REACHED) -> np.ndarray | float:
        """The fall of the reached run's margin to some others, or the rise of the other run's.

        Positive where what was exchanged between the runs carries N. [logits]
        """
        change = self.clean.fixed[into] - margins
        return change if into == REACHED else -change

    @torch.inference_mode()
    def patched(self, sets: Sets) -> Margins:
        """Margins of the patched runs, one a set."""
        first = first_layers(Intervention(sets.heads, sets.mlps))
        fixed, free = np.empty(len(sets)), np.empty(len(sets))
        for below, members in batches(first, self._rows):
            part = sets[torch.as_tensor(members, device=sets.heads.device)]
            found = self._margins(self._patch(part, below))
            fixed[members], free[members] = found.fixed, found.free
        return Margins(fixed, free)

    @torch.inference_mode()
    def next_tokens(self, sets: Sets) -> list[int]:
        """The likeliest token after each patched run."""
        below = int(first_layers(Intervention(sets.heads, sets.mlps)).min())
        return self._patch(sets, below).argmax(-1).tolist()

    def _patch(self, sets: Sets, below: int) -> Float[Tensor, "set vocabulary"]:
        return self._replaced(sets, placed(self._donors, self._places(sets)), below)

    def _replaced(self, sets: Sets, donors: Donors, below: int) -> Float[Tensor, "set vocabulary"]:
        """Logits of runs whose components take what donors hold, where they are placed."""
        everywhere = torch.ones_like(sets.into, dtype=torch.bool)
        intervention = Intervention(
            sets.heads, sets.mlps, "placed", resampled=everywhere, donors=donors
        )
        surgeon = Surgeon(self._loaded.anatomy, intervention)
        with surgeon.attached():
            return self._pass(sets.into, self._layers.reused(below, sets.into), surgeon)

    def _places(self, sets: Sets) -> Int[Tensor, "set position"]:
        """The donor's entry at every position from the start on; -1 where nothing is patched."""
        length = self._suffix.shape[1]
        place = torch.arange(length, device=sets.into.device)
        generated = place >= self.swap.first_generated - self.start
        inside = torch.stack([~generated, generated, torch.ones_like(generated)])
        donor = (1 - sets.into)[:, None] * length + place
        return torch.where(inside[sets.positions], donor, -1)

    def _pass(
        self,
        runs: Int[Tensor, " row"],
        during: contextlib.AbstractContextManager,
        surgeon: Surgeon | None = None,
    ) -> Float[Tensor, "row vocabulary"]:
        """Logits at the last position, of rows that read what the given runs read.

        `during` is entered for the pass from the start on.
        """
        loaded = self._loaded
        state = self._before.copies(len(runs))
        tokens = self._suffix[runs.to(self._suffix.device)]
        state.token = tokens[:, :1]
        state.extend(tokens[:, 1:])
        if surgeon is not None:
            surgeon.at(slice(None))
        with LogitReader(loaded.anatomy, loaded.device).attached() as reader, during:
            feed(loaded.model, state)
        return reader.last()

    def _margins(self, logits: Float[Tensor, "row vocabulary"]) -> Margins:
        free = free_margins(logits, self._loaded.classes)
        fixed = logits[:, self.ender] - logits[:, self.word]
        return Margins(fixed.double().cpu().numpy(), free.double().cpu().numpy())


def note_clean(values: Mapping[str, np.ndarray], sample: int, runs: SwapRuns) -> tuple[int, int]:
    """Note the other number and the clean margins of a swap; the place of its answer in arrays."""
    cell = (SWAPS.index(runs.swap.swap), sample)
    values["n_swapped"][cell] = runs.swap.n_swapped
    values["margin_reached"][cell] = runs.clean.fixed[REACHED]
    values["margin_other"][cell] = runs.clean.fixed[OTHER]
    return cell


def best_pair(logits: Float[Tensor, " vocabulary"], classes: TokenClasses) -> tuple[int, int]:
    """The best ender and the best word-beginning token."""
    pair = [ids[logits[ids].argmax()] for ids in (classes.enders, classes.words)]
    return int(pair[0]), int(pair[1])


def rows_at_once(loaded: LoadedModel, positions: int, memory_gb: float) -> int:
    """Rows of one batch: a pure function of the configuration and the model's shape.

    Raises:
        LengthlensError: not even one row fits.
    """
    a = loaded.anatomy
    cache = 2 * a.n_layers * a.n_kv_heads * a.d_head
    stream = 8 * a.d_model + 2 * (a.d_model + a.n_heads * a.d_head)  # one layer's, and its donors
    row = loaded.itemsize * positions * (cache + stream) + 8 * a.vocabulary_size
    rows = int(memory_gb * 1e9 // row)
    if rows < 1:
        raise LengthlensError(
            f"generation.memory_gb is {memory_gb:g}, but one text of {positions} tokens of "
            f"{loaded.spec.name} needs {row / 1e9:.2f} GB; raise memory_gb"
        )
    return min(rows, ROWS)


def single_sets(
    heads: Bool[np.ndarray, "layer head"],
    mlps: Bool[np.ndarray, " layer"],
    into: int,
    positions: str,
    device: torch.device,
) -> Sets:
    """One set for every component that is True: heads layer by layer, then MLPs."""
    there = np.concatenate([heads.ravel(), mlps])
    one = np.eye(len(there), dtype=bool)[there]
    head_masks, mlp_masks = np.split(one, [heads.size], axis=1)
    return alike_sets((head_masks.reshape(-1, *heads.shape), mlp_masks), into, positions, device)


def alike_sets(
    masks: tuple[Bool[np.ndarray, "set layer head"], Bool[np.ndarray, "set layer"]],
    into: int,
    positions: str,
    device: torch.device,
) -> Sets:
    """Sets of heads and MLPs that are patched into the same run, at the same positions."""
    heads, mlps = (torch.from_numpy(mask).to(device) for mask in masks)
    run = torch.full((len(heads),), into, device=device)
    return Sets(heads, mlps, run, torch.full_like(run, POSITIONS.index(positions)))


def join_sets(parts: Sequence[Sets]) -> Sets:
    """Sets one after another."""
    names = Sets.__dataclass_fields__
    return Sets(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
