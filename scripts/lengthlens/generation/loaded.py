"""A model with all that is needed to put prompts to it and to read its answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from lengthlens.decoding.choose import Forced
from lengthlens.decoding.decode import Decoded, Decoder, TokenClasses
from lengthlens.errors import LengthlensError
from lengthlens.generation.steps import StepAnnotations, annotate_steps
from lengthlens.models.anatomy import Anatomy, dissect
from lengthlens.models.loading import (
    dtype_name,
    load_generation_config,
    load_model,
    load_tokenizer,
    text_decoder,
)
from lengthlens.models.prompting import SpelledPrompt, format_prompt, lost_in_tokens, spell_prompt
from lengthlens.models.stopping import StopSet, stop_set
from lengthlens.models.thinking import Thinking, thinking_of
from lengthlens.models.vocabulary import Vocabulary, classify_vocabulary
from lengthlens.weights.checkpoints import ModelSpec


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint in memory.

    Attributes:
        spec: where it came from and how it is prompted.
        model: in eval mode.
        tokenizer: its own.
        anatomy: its components.
        vocabulary: the class of every token.
        classes: the token ids that decoding watches, on the model's device.
        decode_text: turns generated ids into text.
        stops: what ends an answer, and why.
        thinking: how it marks its thinking; None for a model without marks of it.
    """

    spec: ModelSpec
    model: torch.nn.Module
    tokenizer: object
    anatomy: Anatomy
    vocabulary: Vocabulary
    classes: TokenClasses
    decode_text: Callable[[Sequence[int]], str]
    stops: StopSet | None = None
    thinking: Thinking | None = None

    def answer_start(self, tokens: Sequence[int]) -> int:
        """How many of the generated tokens are thinking, before the answer begins."""
        return 0 if self.thinking is None else self.thinking.answer_start(tokens)

    def annotate(self, tokens: Sequence[int], n: int, counting: str) -> StepAnnotations:
        """The steps of an answer to a prompt for `n` words, its thinking apart."""
        return annotate_steps(
            tokens, n, self.vocabulary, self.decode_text, counting, start=self.answer_start(tokens)
        )

    def read_answer(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens, without its thinking."""
        return self.decode_text(tokens[self.answer_start(tokens) :])

    def decode(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int | Sequence[int], **options
    ) -> Decoded:
        """Answers to a batch of prompts; arguments and errors are those of `Decoder.decode`."""
        decoder = Decoder(self.model, self.anatomy, self.classes)
        return decoder.decode(prompts, max_new_tokens, **options)

    def force(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], **options
    ) -> Decoded:
        """Given answers, decoded as if the model had chosen every token; nothing else ends them."""
        limits, choose = [len(answer) for answer in answers], Forced(answers)
        decoder = Decoder(self.model, self.anatomy, self.classes.endless())
        return decoder.decode(prompts, limits, choose=choose, **options)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> str:
        """Name of the model's precision, such as "float32"."""
        return dtype_name(self.model)

    @property
    def itemsize(self) -> int:
        """Bytes of one number in the model's precision."""
        return next(self.model.parameters()).dtype.itemsize

    def encode(self, text: str, date: str) -> list[int]:
        """Token ids of one prompt, as this variant is prompted; each has a row in the model."""
        return self.checked(format_prompt(self.spec, self.tokenizer, text, date), text)

    def checked(self, ids: list[int], text: str) -> list[int]:
        """The ids of a prompt, if each has a row in the model and its instruction is in them once.

        Raises:
            LengthlensError: they have not, or it is not.
        """
        rows = len(self.vocabulary)
        if max(ids) >= rows:
            token = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise LengthlensError(
                f"Model {self.spec.name}: its tokenizer writes {token!r} as id {max(ids)}, but the "
                f"model has {rows} ids; the tokenizer belongs to another model."
            )
        if lost := lost_in_tokens(self.tokenizer, ids, text):
            raise LengthlensError(
                f"Model {self.spec.name}: the instruction {text!r} is {lost}. Its chat template or "
                "its tokenizer changes what is asked: correct them, or leave out what the "
                "tokenizer cannot write."
            )
        return ids

    def spell(self, text: str, date: str) -> SpelledPrompt:
        """The same prompt with the characters that each token stands for."""
        return spell_prompt(self.spec, self.tokenizer, text, date)


def load(
    spec: ModelSpec, *, dtype: str = "auto", device: str = "auto", threads: int = 1
) -> LoadedModel:
    """Load a model and sort its vocabulary.

    Whether attribution is complete on it is proven apart (`proof.proven`), before anything else is
    done with it: `rules/generate.smk`.

    Args:
        spec: which model.
        dtype: see `models.load_model`.
        device: see `models.load_model`.
        threads: CPU threads of torch in this process; sums depend on it.

    Raises:
        LengthlensError: the model or its tokenizer cannot be used, for the reason given.
    """
    torch.set_num_threads(threads)
    tokenizer = load_tokenizer(spec)
    model = load_model(spec, dtype, device)
    return assemble(spec, model, tokenizer, load_generation_config(spec))


def assemble(
    spec: ModelSpec,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    declared: GenerationConfig | None,
) -> LoadedModel:
    """All that is needed to put prompts to a model in memory.

    Args:
        spec: how it is prompted and stopped.
        model: a causal language model in eval mode.
        tokenizer: its own.
        declared: what its checkpoint says about generation; None where it says nothing.

    Raises:
        LengthlensError: the model or its tokenizer cannot be used, for the reason given.
    """
    anatomy = dissect(model)
    stops = stop_set(spec, tokenizer, declared)
    if stops.note:
        print(f"{spec.name}: {stops.note}", file=sys.stderr)
    vocabulary = classify_vocabulary(tokenizer, stops.ids, anatomy.vocabulary_size)
    if not vocabulary.word.any():
        raise LengthlensError(
            f"Model {spec.name}: no token of its tokenizer begins a word after a space, so there "
            "is no end margin to measure; languages without spaces are not supported"
        )
    return LoadedModel(
        spec=spec,
        model=model,
        tokenizer=tokenizer,
        anatomy=anatomy,
        vocabulary=vocabulary,
        classes=classes_of(vocabulary, next(model.parameters()).device),
        decode_text=text_decoder(tokenizer),
        stops=stops,
        thinking=thinking_of(spec, tokenizer),
    )


def classes_of(vocabulary: Vocabulary, device: torch.device) -> TokenClasses:
    """The token ids that decoding watches."""
    masks = (vocabulary.stop, vocabulary.ender, vocabulary.word)
    return TokenClasses(*(torch.from_numpy(np.flatnonzero(mask)).to(device) for mask in masks))
