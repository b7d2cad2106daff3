"""The prompts of the study: which topic, wording and split prompt number `index` has.

Everything is a hash of (seed, n, index) and of the ids in the language files, and nothing else:
asking for more prompts, other N or further languages only appends, and prompt `index` of every
language has the same topic, template and split, so that languages can be paired.

1. A topic's split is decided by its own hash, so no topic is on both sides.
2. The topics, in an order shuffled by the seed, are gone through in a circle that starts elsewhere
   for each n.
3. Within each block of as many prompts as there are templates, every template occurs once, in an
   order shuffled by (seed, n, block). The next time round, every topic takes the next template of
   its block: no pair of topic and template comes twice within an n.
"""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lengthlens.errors import LengthlensError
from lengthlens.language.ids import prompt_id
from lengthlens.language.languages import Language, Template, Topic, check_parallel, load_language

__all__ = [
    "Language",
    "Prompt",
    "Template",
    "Topic",
    "build_prompts",
    "check_parallel",
    "load_language",
    "topic_split",
    "with_number",
]

SPLITS = ("evaluate", "select")


@dataclass(frozen=True)
class Prompt:
    """One instruction to write exactly `n` words. The field names are the keys in prompts/*.jsonl.

    `topic`, `template`: ids; `split`: `select` or `evaluate`; `text`: before any chat template.
    """

    id: str
    language: str
    n: int
    topic: str
    template: str
    split: str
    text: str

    def sample_id(self, draw: int = 0) -> str:
        """The name of one of its answers; draw 0 is the only one of greedy decoding."""
        return f"{self.id}#{draw}"


def build_prompts(language: Language, n: int, start: int, stop: int, seed: int) -> list[Prompt]:
    """Prompts number `start` to `stop` - 1 of a language for answers of exactly `n` words.

    Raises LengthlensError where n < 1, the range is not within the language's capacity (topics ×
    templates for each n), or the seed puts all topics on one side of the split.
    """
    topics, templates = language.topics, language.templates
    capacity = len(topics) * len(templates)
    if n < 1:
        raise LengthlensError(f"a prompt cannot ask for {n} words: n_words must be 1 or more")
    if not 0 <= start <= stop:
        raise LengthlensError(f"prompts {start} to {stop} are no range: need 0 <= start <= stop")
    if stop > capacity:
        raise LengthlensError(
            f"{stop} prompts for each N are more than language {language.code!r} can give: "
            f"{len(topics)} topics × {len(templates)} templates = {capacity}; lower prompts.per_n "
            "or add topics or templates to every language file"
        )
    by_id = {topic.id: topic for topic in topics}
    if len(sides := {topic_split(topic_id, seed) for topic_id in by_id}) < 2:
        raise LengthlensError(
            f"with prompts.seed {seed} all {len(topics)} topics fall into the split "
            f"{', '.join(sides)!r} and none into the other: add topics or change the seed"
        )
    order = _shuffle(tuple(by_id), f"{seed}:topic")
    offset = _hash(f"{seed}:offset:{n}")
    wordings = {template.id: template for template in templates}

    prompts = []
    for index in range(start, stop):
        cycle, position = divmod(index, len(topics))
        block, place = divmod(position, len(templates))
        shuffled = _shuffle(tuple(wordings), f"{seed}:template:{n}:{block}")
        topic = by_id[order[(position + offset) % len(topics)]]
        template = wordings[shuffled[(place + cycle) % len(templates)]]
        prompts.append(
            Prompt(
                id=prompt_id(language.code, n, index),
                language=language.code,
                n=n,
                topic=topic.id,
                template=template.id,
                split=topic_split(topic.id, seed),
                text=language.ask(template, topic, n),
            )
        )
    return prompts


def one_of_each(languages: Iterable[Language], numbers: Iterable[int]) -> list[str]:
    """The text of every template of every language with every number, each for one topic."""
    return [
        language.ask(template, language.topics[0], n)
        for language in languages
        for template in (*language.templates, *language.contrasts)
        for n in numbers
    ]


def topic_split(topic_id: str, seed: int) -> str:
    """`select` or `evaluate`, the same in every language."""
    return SPLITS[_hash(f"{seed}:split:{topic_id}") % 2]


def drawn_places(keys: Sequence[tuple[int, str]], per_n: int, seed: int) -> list[list[int]]:
    """For each N the places of at most `per_n` entries, drawn by the seed, in the order drawn.

    Args:
        keys: N and name of each entry. Those alone decide: with names that are the same in every
            language (`draw_name`) so are the draws, and a larger `per_n` only appends.
    """
    waiting: dict[int, list[int]] = {}
    for place, (n, _) in enumerate(keys):
        waiting.setdefault(n, []).append(place)
    return [
        sorted(places, key=lambda place, n=n: _hash(f"{seed}:draw:{n}:{keys[place][1]}"))[:per_n]
        for n, places in waiting.items()
    ]


def draw_name(topic: str, template: str, draw: int = 0) -> str:
    """A prompt, or an answer to it, by what is the same in every language."""
    return f"{topic}:{template}:{draw}"


def spread_over_n(prompts: Sequence[Prompt], count: int | None, seed: int) -> list[Prompt]:
    """`count` of the prompts, as many of each N as there are, drawn by the seed; None: all of them.

    They keep their order.
    """
    if count is None or count >= len(prompts):
        return list(prompts)
    keys = [(prompt.n, draw_name(prompt.topic, prompt.template)) for prompt in prompts]
    turns = itertools.zip_longest(*drawn_places(keys, len(prompts), seed))
    chosen = [place for turn in turns for place in turn if place is not None][:count]
    return [prompts[place] for place in sorted(chosen)]


def with_number(language: Language, prompt: Prompt, n: int) -> Prompt:
    """The same prompt for another number of words: same topic, same wording, same id.

    Raises LengthlensError where the language has no such topic or template (any more).
    """
    topics = {topic.id: topic for topic in language.topics}
    templates = {template.id: template for template in language.templates}
    if prompt.topic not in topics or prompt.template not in templates:
        raise LengthlensError(
            f"{prompt.id} has the topic {prompt.topic!r} and the template {prompt.template!r}, "
            f"which resources/languages/{language.code}.yaml does not have; generate the answers "
            "anew"
        )
    text = language.ask(templates[prompt.template], topics[prompt.topic], n)
    return replace(prompt, n=n, text=text)


def prompt_of(language: Language, answer: Mapping, n: int) -> Prompt:
    """The prompt of an answer (a row of a generations file), with the number `n`."""
    names = ("topic", "template", "split")
    own = {name: answer[name] for name in names}
    prompt = Prompt(answer["prompt_id"], language.code, answer["n"], text="", **own)
    return with_number(language, prompt, n)


@lru_cache(maxsize=1024)
def _shuffle(ids: tuple[str, ...], key: str) -> tuple[str, ...]:
    """`ids` in an order that depends on `key` and on the ids, not on the order given."""
    return tuple(sorted(ids, key=lambda name: hashlib.sha256(f"{key}:{name}".encode()).digest()))


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest(), "big")
