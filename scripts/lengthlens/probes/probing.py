"""Behavioural probes of one model in one language: the rows of probes/{model}.{language}.jsonl.

`free`
    the study's own answers, or, in a language that is only probed, answers to the same prompts;
`aligned`
    the same prompts, one whole word a token (`aligned`);
`extrapolation`
    prompts for N beyond those of the study.

Nothing is recorded but behaviour. Every row is a row of a generations file with its `probe` and the
number of tokens that its words are made of.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from lengthlens.generation.answers import answered, chooser, in_batches, requests
from lengthlens.generation.loaded import LoadedModel
from lengthlens.language.languages import Language
from lengthlens.language.prompts import Prompt, build_prompts
from lengthlens.probes.aligned import Aligned, degeneration
from lengthlens.probes.whole_words import WholeWords, language_words, whole_words, words_of
from lengthlens.settings.sections import Generation


def probe_prompts(language: Language, config: Mapping) -> tuple[list[Prompt], list[Prompt]]:
    """The study's prompts in a language, and those for N beyond the study."""
    own, probes = config["n_words"], config["probes"]
    beyond = [n for n in probes["n_words"] if n not in own]
    numbers = ((own, config["prompts"]["per_n"]), (beyond, probes["per_n"]))
    seed = config["prompts"]["seed"]
    study, further = (
        [prompt for n in n_words for prompt in build_prompts(language, n, 0, per_n, seed)]
        for n_words, per_n in numbers
    )
    return study, further


def answer_probes(
    loaded: LoadedModel,
    language: Language,
    prompts: tuple[Sequence[Prompt], Sequence[Prompt]],
    settings: Generation,
    counting: str,
    free: Sequence[Mapping] | None,
    on_rows: Callable[[int], None],
) -> list[dict]:
    """All rows of a probes file.

    Args:
        loaded: the model.
        language: its topics and templates.
        prompts: those of the study, and those for N beyond it (`probe_prompts`).
        settings: how to generate.
        counting: the counting convention.
        free: the study's answers in this language, or None where it has none yet.
        on_rows: called with the number of rows just answered.
    """
    study, beyond = prompts
    answers = functools.partial(_answers, loaded, counting=counting, on_rows=on_rows)
    own = answers(study, settings) if free is None else [dict(row) for row in free]
    lexicon = language_words(language) | words_of(_whole_text(row) for row in own)
    whole = whole_words(loaded.tokenizer, loaded.vocabulary, lexicon)
    found = {"free": own, "aligned": answers(study, settings, whole=whole)}
    if beyond:
        found["extrapolation"] = answers(beyond, further(settings, *prompts))
    return [
        {**row, "probe": probe, **_spelling(row, loaded, counting)}
        for probe, rows in found.items()
        for row in rows
    ]


def further(settings: Generation, study: Sequence[Prompt], beyond: Sequence[Prompt]) -> Generation:
    """Settings for N beyond the study: as many tokens a word asked for as its largest N has."""
    scale = max(1.0, max(p.n for p in beyond) / max(p.n for p in study))
    return settings.model_copy(update={"max_new_tokens": round(settings.max_new_tokens * scale)})


def _answers(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    settings: Generation,
    counting: str,
    on_rows: Callable[[int], None],
    whole: WholeWords | None = None,
) -> list[dict]:
    """Rows of a generations file; aligned where `whole` words are given."""
    wanted = requests(loaded, prompts, settings)
    stop, ender = (
        torch.from_numpy(mask.copy()).to(loaded.device)
        for mask in (loaded.vocabulary.stop, loaded.vocabulary.ender)
    )
    found = []
    for part in in_batches(loaded, wanted, settings, capture=False):
        choose = chooser(part, settings)
        if whole is not None:
            choose = Aligned(whole, stop, ender, choose, (len(part), settings.max_new_tokens))
        rows, _ = answered(loaded, part, settings, counting, choose=choose)
        if whole is not None:
            for place, row in enumerate(rows):
                row |= _price(choose, place, row, whole)
        found += rows
        on_rows(len(rows))
    return found


def _price(aligned: Aligned, place: int, row: Mapping, whole: WholeWords) -> dict:
    """What the constraint did to one answer."""
    steps = slice(len(row["tokens"]))
    forced = bool(aligned.forced_end[place, steps].any())
    return {
        "cost": float(aligned.cost[place, steps].mean()),
        "changed": float(aligned.changed[place, steps].double().mean()),
        "degenerate": degeneration(row["text"], forced),
        "lexicon_words": whole.n_words,
        "lexicon_whole": whole.n_whole,
    }


def _spelling(row: Mapping, loaded: LoadedModel, counting: str) -> dict[str, float | None]:
    """Mean tokens of the answer's words up to N, and the share of these that are one token."""
    counts = tokens_by_word(row["tokens"], row["n"], loaded, counting)
    if not counts:
        return {"tokens_per_word": None, "one_token": None}
    return {
        "tokens_per_word": sum(counts) / len(counts),
        "one_token": sum(count == 1 for count in counts) / len(counts),
    }


def tokens_by_word(tokens: Sequence[int], n: int, loaded: LoadedModel, counting: str) -> list[int]:
    """Tokens of each of the first `n` words of an answer, in order.

    Words beyond the n-th are left out, so that their number says nothing of how far an answer
    overshoots; so are punctuation and stop tokens, of which a short answer has more a word. A word
    that punctuation alone makes up (" –", which `whitespace` counts) has none and is left out.
    """
    words = loaded.annotate(tokens, n, counting).words_after
    ids = np.asarray(tokens, dtype=np.int64).reshape(-1)
    spelling = loaded.vocabulary.word[ids] | loaded.vocabulary.continuation[ids]
    # NOTE bytes of a character that is not whole yet still count to the word before it
    counts = np.bincount(words[spelling & (words >= 1) & (words <= n)])
    return counts[counts > 0].tolist()


def _whole_text(row: Mapping) -> str:
    """An answer's text, without the last word where it was cut."""
    text = row["text"]
    return text.rpartition(" ")[0] if row["truncated"] else text
