"""What the pocket pair can do: greedy answers to prompts, and the numbers it must reach.

`develop_requests` are the prompts to tune the recipe on: nouns and wordings of their own that are
never trained. The study's own prompts are for one look at the end (`study_requests`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from lengthlens.language.prompts import Language, Prompt
from lengthlens.language.words import count_words
from lengthlens.pocket.instructions import fill, load_wordings
from lengthlens.pocket.lexicon import load_lexicon
from lengthlens.pocket.tokenizer import chat_prompt, encode

BATCH = 64


@dataclass(frozen=True)
class Request:
    """A request for n words; `mentions` are the forms whose presence counts as the topic's."""

    language: str
    n: int
    mentions: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Answer:
    """An answer without its stop token: the text, its tokens, whether it ended by itself."""

    request: Request
    text: str
    tokens: list[int]
    stopped: bool


def develop_requests(languages: Iterable[str], per_n: int, numbers=range(3, 10)) -> list[Request]:
    """Development prompts: every develop noun in turn, every develop wording in turn."""
    nouns = load_lexicon().by_role("develop")
    requests = []
    for language in languages:
        wordings = load_wordings()[language].develop
        for n in numbers:
            for index in range(per_n):
                noun = nouns[(index + 3 * n) % len(nouns)]
                wording = wordings[(index + n) % len(wordings)]
                text = fill(wording, noun, language, n)
                requests.append(Request(language, n, (noun.words[language].lower(),), text))
    return requests


def study_requests(language: Language, prompts: Iterable[Prompt]) -> list[Request]:
    """The study's prompts of one language."""
    mentions = {topic.id: tuple(word.lower() for word in topic.words) for topic in language.topics}
    return [Request(p.language, p.n, mentions[p.topic], p.text) for p in prompts]


@torch.inference_mode()
def answer(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[Request],
    chat: bool,
    max_new_tokens: int = 64,
) -> list[Answer]:
    """Greedy answers; through the chat template, or to the plain text and a line break.

    Prompts of equal length share a batch, so that nothing is padded before the answer.
    """
    texts = [
        chat_prompt(tokenizer, r.text) if chat else f"{tokenizer.bos_token}{r.text}\n"
        for r in requests
    ]
    prompts = [encode(tokenizer, text) for text in texts]
    stop = model.generation_config.eos_token_id
    stops = set(stop) if isinstance(stop, list) else {stop}
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_length[len(prompt)].append(index)
    answers: dict[int, Answer] = {}
    for indices in by_length.values():
        for start in range(0, len(indices), BATCH):
            part = indices[start : start + BATCH]
            inputs = torch.tensor([prompts[i] for i in part])
            output = model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                num_beams=1,
            )
            for i, row in zip(part, output[:, inputs.shape[1] :].tolist(), strict=True):
                length = next((k for k, t in enumerate(row) if t in stops), len(row))
                text = tokenizer.decode(row[:length], skip_special_tokens=False)
                answers[i] = Answer(requests[i], text, row[:length], length < len(row))
    return [answers[i] for i in range(len(requests))]


def measure(answers: Sequence[Answer], tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
    """The acceptance numbers of answers in one language.

    `exact`, `exact_n3`...: share with exactly n words; `error`: mean of words − n; `topic`: share
    that mentions the topic; `distinct`, `distinct_masked`: distinct answers over answers, the
    second with the topic masked; `split`: share that holds a word of several tokens;
    `exact_split`: `exact` there; `token_counter`: share whose tokens, punctuation aside, are n:
    what counting tokens instead of words would get right; `stopped`: share that ended by itself.
    """
    errors = [count_words(a.text, "whitespace") - a.request.n for a in answers]
    exact = [error == 0 for error in errors]
    lengths = [_word_lengths(answer, tokenizer) for answer in answers]
    split = [any(length > 1 for length in each) for each in lengths]
    masked = {_mention(answer.request).sub("_", answer.text) for answer in answers}
    counted = [sum(each) == a.request.n for each, a in zip(lengths, answers, strict=True)]
    numbers = {
        "answers": len(answers),
        "exact": _mean(exact),
        "error": _mean(errors),
        "topic": _mean(_mention(a.request).search(a.text) is not None for a in answers),
        "distinct": len({a.text for a in answers}) / len(answers),
        "distinct_masked": len(masked) / len(answers),
        "split": _mean(split),
        "exact_split": _mean(e for e, s in zip(exact, split, strict=True) if s),
        "token_counter": _mean(counted),
        "stopped": _mean(a.stopped for a in answers),
    }
    for n in sorted({a.request.n for a in answers}):
        numbers[f"exact_n{n}"] = _mean(
            e for e, a in zip(exact, answers, strict=True) if a.request.n == n
        )
    return numbers


def _mean(values: Iterable[float]) -> float:
    values = [float(value) for value in values]
    return sum(values) / len(values) if values else float("nan")


def _mention(request: Request) -> re.Pattern[str]:
    words = "|".join(re.escape(word) for word in request.mentions)
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


def _word_lengths(answer: Answer, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Tokens of each whitespace word, punctuation tokens aside."""
    lengths: list[int] = []
    for token in answer.tokens:
        piece = tokenizer.convert_ids_to_tokens(token)
        if not lengths or piece[0] in "ĠĊ":
            lengths.append(0)
        lengths[-1] += piece not in {".", ",", "?", "!", "Ċ"}
    return lengths
