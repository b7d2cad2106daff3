"""The study's language file of qaa, made from the lexicon: `resources/languages/qaa.yaml`.

Its wordings are not among those of the tuning: other words or another order of them. A test holds
the file against this module; `python -m lengthlens.pocket.qaa_resource > FILE` writes it anew.
"""

from __future__ import annotations

import sys
from random import Random

import yaml

from lengthlens.pocket.grammar import Grammar
from lengthlens.pocket.lexicon import load_lexicon
from lengthlens.pocket.morphology import topic_forms
from lengthlens.pocket.qaa import with_words

HEADER = """\
# qaa: the synthetic language of the tokenization control; each word is one token of the pocket
# pair's tokenizer. Made by scripts/lengthlens/pocket/qaa_resource.py: edit there, not here.
"""
TEMPLATES = {
    "sentence": "<write> <one> <sentence> <has> <exactly> {n} <words> {about}.",
    "describe": "<describe> {name} <using> <exactly> {n} <words>.",
    "tell": "<tell> <something> {about} <with> <only> {n} <words>.",
    "topic-line": "<topic> {name}. <length> {n} <words>.",
    "statement": "<say> <one> <sentence> {about}: <must> <has> {n} <words>.",
    "speaks-of": "<compose> <one> <sentence> {of} <with> <length> {n} <words>.",
    "question": "<please> <tell> {about} <in> <one> <sentence>, {n} <words>.",
    "plain": "<exactly> {n} <words> {about}.",
}
NEUTRAL_SENTENCES = 12


def qaa_language(topic_ids: list[str]) -> dict:
    """The content of the language file, topics in the given order."""
    nouns = {noun.id: noun for noun in load_lexicon().nouns}
    topics = {
        topic: {**topic_forms(nouns[topic], "qaa"), "words": [nouns[topic].words["qaa"]]}
        for topic in topic_ids
    }
    random, grammar = Random(0), Grammar(load_lexicon(), "qaa")
    subjects = random.sample(load_lexicon().by_role("tune"), NEUTRAL_SENTENCES)
    neutral = [grammar.write(noun, random.randint(5, 10), random) for noun in subjects]
    return {
        "code": "qaa",
        "name": "qaa (synthetic)",
        "topics": topics,
        "templates": {key: with_words(text) for key, text in TEMPLATES.items()},
        "neutral": neutral,
    }


def qaa_yaml(topic_ids: list[str]) -> str:
    """The language file's text."""
    content = qaa_language(topic_ids)
    return HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


if __name__ == "__main__":
    study = [noun.id for noun in load_lexicon().by_role("study")]
    sys.stdout.write(qaa_yaml(study))
