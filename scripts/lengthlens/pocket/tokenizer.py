"""The pocket pair's own byte-level BPE.

Merges in this order: the numerals 10 to 15 (so that every N is one token, as in Llama 3), the qaa
words (so that each is one token, with a space before it and, at the start of a text, without), then
those learnt from the corpus. The vocabulary is small on purpose: most longer words are several
tokens.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from lengthlens.pocket.lexicon import Lexicon
from lengthlens.pocket.qaa import synthetic_words

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
USER, ASSISTANT, TURN_END = "<|user|>", "<|assistant|>", "<|turn_end|>"
SPECIALS = (BEGIN, END, PAD, USER, ASSISTANT, TURN_END)
NUMERALS = tuple(str(number) for number in range(10, 16))
SPLIT = Regex(r" ?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s")
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
<|user|>{{ message.content | trim }}<|turn_end|>
{%- elif message.role == 'assistant' -%}
<|assistant|>{{ message.content | trim }}<|turn_end|>
{%- else -%}
{{ raise_exception("the pocket models know the roles user and assistant, not " ~ message.role) }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}
"""


def _byte_level() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(SPLIT, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def qaa_merges(words: Iterable[str], initial: Collection[str]) -> list[tuple[str, str]]:
    """Merges that make each word of two two-letter syllables one token.

    `initial` words, which may begin a text, also get a token without a space before it.
    """
    syllables, spaced, whole = {}, {}, []
    for word in words:
        first, second = word[:2], word[2:]
        for syllable in (first, second):
            syllables[syllable] = tuple(syllable)
        spaced[first] = ("Ġ", first)
        whole.append(("Ġ" + first, second))
        if word in initial:
            whole.append((first, second))
    return [*syllables.values(), *spaced.values(), *whole]


def qaa_vocabulary(lexicon: Lexicon) -> tuple[list[str], set[str]]:
    """All qaa words, and those that may begin a sentence or an instruction."""
    _, *kinds = Lexicon.__dataclass_fields__  # without the nouns
    entries = {kind: [entry.forms["qaa"][0] for entry in getattr(lexicon, kind)] for kind in kinds}
    function_words = list(synthetic_words([]).values())
    initial = {*function_words, *entries["closers"], *entries["agents"]}
    nouns = [noun.words["qaa"] for noun in lexicon.nouns]
    others = [word for words in entries.values() for word in words]
    return [*function_words, *nouns, *others], initial


def train_tokenizer(
    texts: Iterable[str], lexicon: Lexicon, learnt_merges: int
) -> PreTrainedTokenizerFast:
    """Learn a tokenizer from texts of the natural languages and add what must be one token."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = _byte_level()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + learnt_merges, initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator(texts, trainer)
    learnt = json.loads(learner.to_str())["model"]["merges"]
    made = [*map(tuple, NUMERALS), *qaa_merges(*qaa_vocabulary(lexicon))]
    merges = list(dict.fromkeys([*made, *map(tuple, learnt)]))
    pieces = [*SPECIALS, *alphabet, *(first + second for first, second in merges)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = _byte_level()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, vocabulary[BEGIN])]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[USER, ASSISTANT, TURN_END],
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def chat_prompt(tokenizer: PreTrainedTokenizerFast, request: str) -> str:
    """A request in the chat template, up to where the answer begins."""
    messages = [{"role": "user", "content": request}]
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def encode(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """The tokens of a text alone, without the begin token that the tokenizer puts first."""
    return tokenizer(text, add_special_tokens=False).input_ids
