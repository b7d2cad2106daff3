"""Teacher forcing: given answers, recorded as if the model had chosen every token of them.

The decode loop itself is used, so that logits and residual terms are read where they are when the
model writes on its own, and a model forced to its own answer gives what it gave then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from lengthlens.generation.answers import Request, in_batches, record_batch
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.records import Batch
from lengthlens.settings.sections import Generation


@dataclass(frozen=True)
class Forcing:
    """What all forced passes of a job share.

    Attributes:
        loaded: the model.
        settings: batch size and memory; nothing is chosen, so no other of them matters.
        counting: the counting convention.
    """

    loaded: LoadedModel
    settings: Generation
    counting: str


def forced_batches(
    forcing: Forcing,
    requests: Sequence[Request],
    answers: Sequence[Sequence[int]],
    label: str,
) -> Iterator[Batch]:
    """Force answers and record every step of them, batch by batch, in order.

    Args:
        forcing: model and settings. Its vocabulary classifies the steps.
        requests: prompts, whose N decides the steps' signs.
        answers: the tokens of each answer, at least one; they may be the beginning of an answer.
        label: of the progress bar.
    """
    loaded = forcing.loaded
    given = iter(answers)
    with tqdm(total=len(requests), desc=label, unit="answer", delay=2, mininterval=1) as bar:
        for part in in_batches(loaded, requests, forcing.settings, capture=True):
            prompts = [request.tokens for request in part]
            names = [request.sample_id for request in part]
            texts = list(itertools.islice(given, len(part)))
            decoded = loaded.force(prompts, texts, capture=True, names=names)
            yield record_batch(part, decoded, loaded, forcing.counting)
            bar.update(len(part))
