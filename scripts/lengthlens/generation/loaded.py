"""A model with all that is needed to put prompts to it and to read its answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lengthlens.decoding.decode import TokenClasses
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import Anatomy, dissect
from lengthlens.models.loading import (
    SpelledPrompt,
    format_prompt,
    load_generation_config,
    load_model,
    load_tokenizer,
    spell_prompt,
    stop_ids,
    text_decoder,
)
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
        decode_text: turns generated ids into the answer's text.
    """

    spec: ModelSpec
    model: torch.nn.Module
    tokenizer: object
    anatomy: Anatomy
    vocabulary: Vocabulary
    classes: TokenClasses
    decode_text: Callable[[Sequence[int]], str]

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> str:
        """Name of the model's precision, such as "float32"."""
        return str(next(self.model.parameters()).dtype).removeprefix("torch.")

    @property
    def itemsize(self) -> int:
        """Bytes of one number in the model's precision."""
        return next(self.model.parameters()).dtype.itemsize

    def encode(self, text: str, date: str) -> list[int]:
        """Token ids of one prompt, as this variant is prompted; each has a row in the model."""
        ids = format_prompt(self.spec, self.tokenizer, text, date)
        rows = len(self.vocabulary)
        if max(ids) >= rows:
            token = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise LengthlensError(
                f"Model {self.spec.name}: its tokenizer writes {token!r} as id {max(ids)}, but the "
                f"model has {rows} ids; the tokenizer belongs to another model."
            )
        return ids

    def spell(self, text: str, date: str) -> SpelledPrompt:
        """The same prompt with the characters that each token stands for."""
        return spell_prompt(self.spec, self.tokenizer, text, date)


def load(
    spec: ModelSpec, *, dtype: str = "auto", device: str = "auto", threads: int = 1
) -> LoadedModel:
    """Load a model and sort its vocabulary.

    Whether attribution is complete on it is proven apart (`proof.prove`), before anything else is
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
    anatomy = dissect(model)
    stop = stop_ids(spec, tokenizer, load_generation_config(spec))
    vocabulary = classify_vocabulary(tokenizer, stop, anatomy.vocabulary_size)
    if not vocabulary.word.any():
        raise LengthlensError(
            f"Model {spec.name}: no token of its tokenizer begins a word after a space, so there "
            "is no end margin to measure; languages without spaces are not supported"
        )
    place = next(model.parameters()).device

    def ids(mask: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.flatnonzero(mask)).to(place)

    classes = TokenClasses(ids(vocabulary.stop), ids(vocabulary.ender), ids(vocabulary.word))
    return LoadedModel(
        spec, model, tokenizer, anatomy, vocabulary, classes, text_decoder(tokenizer)
    )
