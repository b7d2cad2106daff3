"""Generation without chosen components, and how it differs.

Every condition answers the same prompts. Rows of many conditions share a batch: one prompt's cache
is computed once and repeated for all conditions, which is possible because with positions
`generated` nothing is removed before the last prompt token. Beside the generated answers stand two
measures on fixed text:

- `end_margin`: best ender minus best word-beginning token at the decision step, teacher-forced on
  the answer given without any ablation, so that conditions are compared on the same text;
- `sentence_loglik`: log-likelihood of neutral sentences, removed at every position, so that
  breaking the model is told from breaking its counting.

The end margin is measured under every condition; answers and neutral sentences where a condition
asks for them (`sweep`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from tqdm import tqdm

from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.ablation.resample import DonorBook, InStep, neutral_donors, record, record_sentences
from lengthlens.decoding.choose import greedy
from lengthlens.decoding.intervention import Replacement
from lengthlens.errors import LengthlensError
from lengthlens.generation.answers import rows_per_batch
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import Rows, answer_margins, sentence_logliks
from lengthlens.generation.steps import answer_text
from lengthlens.language.prompts import Prompt
from lengthlens.language.words import count_words
from lengthlens.settings.sections import Generation

CONDITION_LABELS = (
    "kind",
    "mode",
    "positions",
    "components",
    "k",
    "method",
    "chosen_by",
    "source_language",
    "draw",
    "n_possible",
    "pool",
    "test",
)


@dataclass(frozen=True)
class AblationStudy:
    """What is the same for all conditions.

    Attributes:
        loaded: the model.
        prompts: the prompts to answer.
        settings: how to generate (greedily).
        counting: the counting convention.
        replacement: means that stand in for components in mode `mean`.
        donors: the prompt whose answer donates to each prompt, for the mode `resample`.
    """

    loaded: LoadedModel
    prompts: Sequence[Prompt]
    settings: Generation
    counting: str
    replacement: Replacement | None = None
    donors: Sequence[Prompt] = ()

    def encoded(self) -> list[list[int]]:
        """Token ids of every prompt."""
        return [self.loaded.encode(prompt.text, self.settings.date) for prompt in self.prompts]

    def book(self) -> DonorBook:
        """The donors' answers.

        Raises:
            LengthlensError: not every prompt has a donor.
        """
        if len(self.donors) != len(self.prompts):
            raise LengthlensError(
                f"the mode resample needs a donor for each of {len(self.prompts)} prompts, but "
                f"{len(self.donors)} were given"
            )
        loaded, date = self.loaded, self.settings.date
        texts = [loaded.encode(donor.text, date) for donor in self.donors]
        recording = record(loaded, texts, self.settings)
        return DonorBook(loaded, self.donors, recording, self.counting)


def ablate(
    study: AblationStudy,
    conditions: Sequence[Condition],
    neutral: Sequence[str],
    bar: tqdm,
) -> tuple[xr.Dataset, list[list[int]], DonorBook | None]:
    """Answer the prompts under all conditions.

    Args:
        study: model, prompts and settings.
        conditions: the first must be `none`; all have the same positions.
        neutral: sentences whose log-likelihood tells whether the model is broken.
        bar: shows progress, in answers of distinct sets to prompts.

    Returns:
        The variables of an ablation file (docs/files.md), the unablated answers, and the donors
        where a condition resamples.
    """
    if conditions[0].k:
        raise LengthlensError(
            f"the first condition removes {conditions[0].components}, but it must be the one that "
            "removes nothing: its answers are the text on which conditions are compared"
        )
    loaded = study.loaded
    sets = ConditionSets(conditions, loaded.anatomy, loaded.device, study.replacement)
    sentences = tokenized(loaded, neutral)
    resampled = bool(sets.resampled.any())
    book = study.book() if resampled and study.prompts else None
    bar.reset(total=int(sets.answered.sum()) * len(study.prompts))
    outcome = answer_prompts(study, sets, book, bar)
    answers = outcome.pop("answers")
    dims, by_sentence = ("condition", "sample"), ("condition", "sentence")
    data = {name: (dims, values[sets.order]) for name, values in outcome.items()}
    n = np.array([prompt.n for prompt in study.prompts], dtype=np.float32)
    data["error"] = (dims, outcome["words"][sets.order] - n)
    margins = np.full((len(sets), len(study.prompts)), np.nan, dtype=np.float32)
    for column, decided in decisions(study, sets, book, answers):
        margins[:, column] = answer_margins(*decided)
    data["end_margin"] = (dims, margins[sets.order])
    logliks = score_sentences(study, sets, sentences)[sets.order]
    tokens = np.array([len(text) - 1 for text in sentences])
    data["sentence_loglik"] = (by_sentence, logliks)
    data["sentence_tokens"] = (("sentence",), tokens)
    data["neutral_loglik"] = (("condition",), logliks.sum(axis=1) / max(tokens.sum(), 1))
    dataset = xr.Dataset(data, coords=coordinates_of(conditions, study.prompts, sets, book))
    alone = resampled and len(sentences) == 1
    absent = "the only neutral sentence has no other as its donor" if alone else ""
    return dataset.assign_attrs(resample_neutral_absent=absent), answers, book


def tokenized(loaded: LoadedModel, neutral: Sequence[str]) -> list[list[int]]:
    """Token ids of the neutral sentences; each needs two, for the first one is not predicted."""
    sentences = [loaded.tokenizer(sentence)["input_ids"] for sentence in neutral]
    for text, tokens in zip(neutral, sentences, strict=True):
        if len(tokens) < 2:
            raise LengthlensError(
                f"{loaded.spec.name} reads the neutral sentence {text!r} as {len(tokens)} token, "
                "but needs two to score it; write a longer one into the language file"
            )
    return sentences


def answer_prompts(
    study: AblationStudy, sets: ConditionSets, book: DonorBook | None, bar: tqdm
) -> dict[str, np.ndarray | list]:
    """Answers of every set to every prompt; prompt by prompt, so that batches share a cache.

    NaN for sets that are not answered. Sets by position come last: without a quarter of its heads a
    model may never stop, and a batch goes on until its last answer ends.
    """
    loaded, prompts = study.loaded, study.encoded()
    longest = max(map(len, prompts), default=0)  # a small study may have no evaluate prompt
    size = rows_per_batch(loaded, longest, study.settings, capture=False)
    kinds = (sets.answered & ~sets.by_position, sets.answered & sets.by_position)
    which = [np.flatnonzero(kind).tolist() for kind in kinds]
    pairs = [(row, p) for rows in which for p in range(len(prompts)) for row in rows]
    words, stopped = (np.full((len(sets), len(prompts)), np.nan, np.float32) for _ in range(2))
    answers: list[list[int]] = [[] for _ in prompts]
    counting = study.counting

    @functools.cache
    def counted(tokens: tuple[int, ...]) -> int:
        return count_words(answer_text(tokens, loaded.vocabulary, loaded.read_answer), counting)

    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        rows, places = map(list, zip(*part, strict=True))
        choose, donors = greedy, None
        follows = sets.resampled[rows].tolist()
        if book is not None and any(follows):
            stop, text = loaded.classes.stop, loaded.read_answer
            choose = InStep(book, places, follows, stop, text, counting=counting)
            donors = choose.donors
        decoded = loaded.decode(
            [prompts[place] for place in places],
            study.settings.max_new_tokens,
            choose=choose,
            intervention=sets.rows(rows, donors),
            names=[study.prompts[place].sample_id() for place in places],
        )
        words[rows, places] = [counted(tuple(tokens)) for tokens in decoded.tokens]
        stopped[rows, places] = decoded.stopped
        for row, place, tokens in zip(rows, places, decoded.tokens, strict=True):
            if row == 0:
                answers[place] = tokens
        bar.update(len(part))
    return {"words": words, "stopped": stopped, "truncated": 1 - stopped, "answers": answers}


def decisions(
    study: AblationStudy, sets: ConditionSets, book: DonorBook | None, answers: Sequence[list[int]]
) -> Iterator[tuple[int, tuple[LoadedModel, list[int], Sequence[int], Rows, int]]]:
    """The decision step of each unablated answer that has one.

    Yields:
        The place of its prompt, and what `answer_margins` and `answer_terms` take: the model, the
        prompt, the answer before that step, and the interventions of all sets.
    """
    asked = zip(study.prompts, study.encoded(), answers, strict=True)
    for column, (prompt, tokens, answer) in enumerate(asked):
        marks = study.loaded.annotate(answer, prompt.n, study.counting)
        if (step := marks.decision_step) is None:
            continue
        donors = None
        if book is not None:
            entries = book.along(column, marks.words_before[: step + 1].tolist())
            donors = book.recording.donors(torch.tensor([entries]))
        rows = functools.partial(sets.rows, donors=donors)
        yield column, (study.loaded, tokens, answer[:step], rows, len(sets))


def score_sentences(
    study: AblationStudy, sets: ConditionSets, sentences: Sequence[list[int]]
) -> Float[np.ndarray, "set sentence"]:
    """Log-likelihood of every sentence, the components removed at every position.

    A single sentence has no other as its donor: sets that are resampled get no score (NaN).
    """
    total = np.full((len(sets), len(sentences)), np.nan)
    resampled = sets.resampled.cpu().numpy()
    recording = None
    if len(sentences) > 1 and bool(resampled[sets.neutral].any()):
        recording = record_sentences(study.loaded, sentences, study.settings)
    scored = np.flatnonzero(sets.neutral & ~(resampled & (recording is None)))
    for place, tokens in enumerate(sentences):
        donors = None if recording is None else neutral_donors(recording, place)
        total[scored, place] = sentence_logliks(
            study.loaded,
            tokens,
            lambda rows, donors=donors: sets.rows(scored[list(rows)].tolist(), donors),
            len(scored),
        )
    return total


def coordinates_of(
    conditions: Sequence[Condition],
    prompts: Sequence[Prompt],
    sets: ConditionSets,
    book: DonorBook | None,
) -> dict:
    """Coordinates of the conditions and of the samples."""
    labels = {name: [getattr(c, name) for c in conditions] for name in CONDITION_LABELS}
    labels["control"] = [c.draw > 0 for c in conditions]
    labels["answered"] = sets.answered[sets.order].tolist()
    kinds = {"n": int, "topic": object, "template": object, "split": object}  # of no prompts, too
    columns = {
        name: np.array([getattr(prompt, name) for prompt in prompts], dtype=kind)
        for name, kind in kinds.items()
    }
    ids = [prompt.sample_id() for prompt in prompts]
    donors = [0] * len(ids) if book is None else book.n
    return {name: ("condition", values) for name, values in labels.items()} | {
        "sample_id": ("sample", np.array(ids, dtype=object)),
        "donor_n": ("sample", donors),
        **{name: ("sample", values) for name, values in columns.items()},
    }
