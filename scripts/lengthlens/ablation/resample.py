"""Resample ablation: a removed component gives what it gave while another answer was written.

The donor is the same prompt (same language, topic and template) with another number of `n_words`,
answered without any ablation: only N differs. Which number is drawn by a hash of seed and prompt
id, so that it is the same under all conditions. Donor and receiver are aligned by words so far: at
a step with w words before it that is the j-th such step of its answer (a word may take several
tokens), the component's output is the donor's at its own j-th step with w words before it; at its
last one with w words where there are fewer; at its very last step where it never had w words. So
what stands in is usual for the model, and right for the place in the sentence, but knows another N.

Neutral sentences have no N. There the donor is another neutral sentence, aligned by token; where
there is one sentence only it has no donor, and no score.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lengthlens.decoding.choose import greedy
from lengthlens.decoding.intervention import Donors
from lengthlens.errors import LengthlensError
from lengthlens.generation.answers import rows_per_batch
from lengthlens.generation.loaded import LoadedModel
from lengthlens.language.languages import Language
from lengthlens.language.prompts import Prompt, with_number
from lengthlens.language.words import count_words
from lengthlens.settings.sections import Generation


@dataclass(frozen=True)
class Recording:
    """What heads and MLPs gave at every step of some answers.

    Attributes:
        head, mlp: one entry a step, answer after answer.
        first: index of each answer's first entry.
        tokens: the answers.
    """

    head: Float[Tensor, "entry layer head d_head"]
    mlp: Float[Tensor, "entry layer d_model"]
    first: list[int]
    tokens: list[list[int]]

    def donors(self, place: Int[Tensor, "row position"]) -> Donors:
        """Donors that begin with the given entries."""
        return Donors(self.head, self.mlp, place.to(self.head.device))


def record(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    settings: Generation,
    answers: Sequence[Sequence[int]] | None = None,
) -> Recording:
    """Answer prompts without ablation, or feed given answers, and keep all heads and MLPs."""
    size = rows_per_batch(loaded, max(map(len, prompts)), settings, capture=True)
    heads, mlps, tokens = [], [], []
    for start in range(0, len(prompts), size):
        part = slice(start, start + size)
        if answers is None:
            decoded = loaded.decode(prompts[part], settings.max_new_tokens, capture=True)
        else:
            decoded = loaded.force(prompts[part], answers[part], capture=True)
        for row, text in enumerate(decoded.tokens):
            kept = decoded.residuals.row(row, len(text))
            heads.append(kept.head.clone())
            mlps.append(kept.mlp.clone())
            tokens.append(text)
    first = np.cumsum([0, *map(len, tokens[:-1])]).tolist()
    return Recording(torch.cat(heads), torch.cat(mlps), first, tokens)


def draw_donors(
    language: Language, prompts: Sequence[Prompt], n_words: Sequence[int], seed: int
) -> list[Prompt]:
    """For every prompt the one whose answer donates: the same with another number of `n_words`.

    Raises:
        LengthlensError: there is no other number.
    """
    donors = []
    for prompt in prompts:
        others = sorted(set(n_words) - {prompt.n})
        if not others:
            raise LengthlensError(
                f"the mode resample needs donors that ask for another N than {prompt.n}, but "
                "n_words has no other; give it two values or leave the mode out"
            )
        digest = hashlib.sha256(f"{seed}:donor:{prompt.id}".encode()).digest()
        number = others[int.from_bytes(digest[:8], "big") % len(others)]
        donors.append(with_number(language, prompt, number))
    return donors


class DonorBook:
    """The donors' answers, in the order of those that they donate to, and where each step lies.

    Attributes:
        n: what each donor was asked for.
    """

    def __init__(
        self, loaded: LoadedModel, donors: Sequence[Prompt], recording: Recording, counting: str
    ) -> None:
        self.recording = recording
        self.n = [donor.n for donor in donors]
        self._entries: list[dict[int, np.ndarray]] = []
        for donor, tokens, first in zip(donors, recording.tokens, recording.first, strict=True):
            before = loaded.annotate(tokens, donor.n, counting).words_before
            self._entries.append(
                {words: first + np.flatnonzero(before == words) for words in set(before.tolist())}
            )

    def entry(self, prompt: int, words: int, place: int) -> int:
        """The donor's entry for the step number `place` (from 0) with `words` words before it."""
        steps = self._entries[prompt].get(words)
        if steps is None:
            return self.recording.first[prompt] + len(self.recording.tokens[prompt]) - 1
        return int(steps[min(place, len(steps) - 1)])

    def along(self, prompt: int, words_before: Sequence[int]) -> list[int]:
        """Entries for all steps of an answer, from its words before each step."""
        seen: Counter[int] = Counter()
        entries = []
        for words in words_before:
            entries.append(self.entry(prompt, words, seen[words]))
            seen[words] += 1
        return entries


class InStep:
    """Chooses greedily, and keeps the donors of a batch in step with the words of every row.

    Attributes:
        donors: to give to the batch's intervention.
    """

    def __init__(
        self,
        book: DonorBook,
        prompts: Sequence[int],
        follows: Sequence[bool],
        stop: Tensor,
        decode_text: Callable[[Sequence[int]], str],
        counting: str,
    ) -> None:
        self._book, self._prompts, self._follows = book, list(prompts), list(follows)
        self._stop = set(stop.tolist())
        self._words = functools.cache(lambda text: count_words(decode_text(text), counting))
        self._text: list[tuple[int, ...]] = [() for _ in prompts]
        self._seen = [Counter([0]) for _ in prompts]
        place = [
            [book.entry(prompt, 0, 0) if follow else 0]
            for prompt, follow in zip(prompts, follows, strict=True)
        ]
        self.donors = book.recording.donors(torch.tensor(place))

    def __call__(self, step, rows, logits):
        chosen = greedy(step, rows, logits)
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            if self._follows[row] and token not in self._stop:
                self._text[row] += (token,)
                words, seen = self._words(self._text[row]), self._seen[row]
                entry = self._book.entry(self._prompts[row], words, seen[words])
                seen[words] += 1
                self.donors.place[row, 0] = entry
        return chosen


def neutral_donors(recording: Recording, sentence: int) -> Donors:
    """Donors for the tokens of a neutral sentence but its last: those of the next sentence.

    Raises:
        LengthlensError: there is no other sentence; its own outputs would remove nothing.
    """
    if len(recording.tokens) < 2:
        raise LengthlensError("one neutral sentence has no other as its donor")
    donor = (sentence + 1) % len(recording.tokens)
    wanted, there = len(recording.tokens[sentence]), len(recording.tokens[donor])
    places = recording.first[donor] + torch.arange(wanted).clamp(max=there - 1)
    return recording.donors(places[None])


def record_sentences(
    loaded: LoadedModel, sentences: Sequence[Sequence[int]], settings: Generation
) -> Recording:
    """Heads and MLPs at every token of the sentences but the last."""
    return record(loaded, [text[:1] for text in sentences], settings, [t[1:] for t in sentences])
