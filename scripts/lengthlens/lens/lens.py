"""A model of transformers whose answers come with their attribution.

The same decode loop and the same sums as the workflow's are used (`decoding`, `attribution`):

1. the model's components are found, its vocabulary is sorted, and on probe texts it is proven that
   attribution is complete on it;
2. answers are decoded greedily, or given ones are forced, while the terms of the residual stream
   are read; components may be removed on the way;
3. each token's logit is split into what every component adds (`labelled`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import xarray as xr

from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.attribution.proof import Proof, probe_tokens, proven
from lengthlens.attribution.pushes import token_texts
from lengthlens.errors import LengthlensError
from lengthlens.files.provenance import versions
from lengthlens.generation.answers import Request, record_batch, rows_per_batch
from lengthlens.generation.computation import ARITHMETIC
from lengthlens.generation.loaded import assemble
from lengthlens.generation.records import Batch
from lengthlens.language.prompts import Prompt
from lengthlens.language.words import CONVENTIONS, count_words
from lengthlens.lens.labelled import attributed
from lengthlens.lens.removal import removal
from lengthlens.lens.usable import check_evaluating, check_usable, declared_generation, described
from lengthlens.models.experts import with_experts
from lengthlens.models.prompting import text_tokens, written_prompt
from lengthlens.models.readout import readout_of
from lengthlens.settings.sections import Generation

DATE = "2024-07-26"  # for chat templates that print today's: always the same
_NOT_ASKED = -1  # the number of words where none was asked for; an answer never has as many


class Lens:
    """A language model, with direct logit attribution of every token that it writes.

    Args:
        model: a decoder-only language model of transformers, with its weights in memory, in eval
            mode. Any architecture on which attribution is complete (docs/architectures.md).
        tokenizer: the model's.
        counting: how words are counted: `whitespace`, `unicode` or `elision`.
        chat: whether prompts are a user's turn of the chat template; by default where the tokenizer
            has one. A mapping sets variables of the template, such as `{"enable_thinking": False}`.
            Without a template a prompt is read exactly as it is written.
        stop_tokens: further tokens that end an answer, as strings or ids.
        memory_gb: memory for a batch's cache and recorded steps, in GB.
        experts: whether the routed and the shared experts of an MLP are told apart, too.

    Attributes:
        proof: how far sums of attributions missed the model's own logits on probe texts, and rows
            of a batch the logits that each gives alone, relative to the largest logit.

    Raises:
        LengthlensError: the model cannot be attributed, or has no experts to tell apart, for the
            reason given.
    """

    proof: Proof

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        counting: str = "whitespace",
        chat: bool | Mapping[str, Any] | None = None,
        stop_tokens: Sequence[str | int] = (),
        memory_gb: float = 2.0,
        experts: bool = False,
    ) -> None:
        if counting not in CONVENTIONS:
            raise LengthlensError(f"counting is {counting!r}; write one of {list(CONVENTIONS)}")
        check_usable(model, tokenizer)
        spec = described(model, tokenizer, chat, stop_tokens)
        declared = declared_generation(model, tokenizer)
        self._loaded = assemble(spec, model, tokenizer, declared)
        anatomy = self._loaded.anatomy
        self.proof = proven(
            model, anatomy, probe_tokens(tokenizer, anatomy.vocabulary_size), spec.name
        )
        if experts:
            self._loaded = replace(self._loaded, anatomy=with_experts(model, anatomy))
        self._counting = counting
        self._memory_gb = memory_gb

    @property
    def stop_tokens(self) -> list[str]:
        """The tokens that end an answer."""
        return self._loaded.tokenizer.convert_ids_to_tokens(list(self._loaded.stops.ids))

    def generate(
        self,
        prompts: str | Sequence[str],
        n: int | Sequence[int | None] | None = None,
        *,
        max_new_tokens: int = 64,
        without: str | Sequence[str] = (),
        means: xr.Dataset | None = None,
        positions: str = "generated",
    ) -> xr.Dataset:
        """Answer prompts greedily, with the attribution of every token.

        Args:
            prompts: one or several.
            n: the number of words that they ask for, one for all or one for each; without it there
                are neither signs nor decision steps.
            max_new_tokens: where an answer is cut.
            without: components that are removed: `L5H3` (a head), `L5M` (an MLP), `L5` (a layer's).
            means: what stands in for them: the mean of their outputs over the answers of a dataset
                of this method, or of an attribution file of the same model. Without it, zero.
            positions: where they are removed: `generated` (from the last token of the prompt on) or
                `all` (in the prompt, too, which equals editing the weights).

        Returns:
            Dims (sample, step, layer, head, target), one step a generated token, the stop token
            included; after an answer's end NaN, in `token_id` -1 and in `token` "". Targets are
            the produced token's logit minus the vocabulary mean (`token`), its raw logit (`logit`)
            and the best ender's minus the best new word's (`end`; NaN within a word).

            - `dla_head`, `dla_mlp`, `dla_embed`, `dla_bias`: each component's share, in logits; for
              the target `logit` they add up to `logit`;
            - of a Lens with `experts`, `dla_routed` and `dla_shared`: the shares of an MLP's routed
              and shared experts, which add up to `dla_mlp`; NaN where `has_routed` and
              `has_shared` (layer) say that a layer has none, or where its MLP is removed;
            - `logit`, `end_margin` (sample, step): the model's own, before a soft cap;
            - `completeness_error` (sample): by how much a sum missed the logit, at most;
            - `sum_head`, `sum_mlp`, `count`: sums of components' outputs, for `means`;
            - `kind` (layer): `attention`, `mixer` (linear attention, a state space, a convolution),
              both, or neither; `has_head` (layer, head) and `has_mlp` (layer): what a layer lacks
              has NaN for scores;
            - coordinates of samples: `prompt`, `answer`, `words`, `stopped`, `n_steps`, `n`;
            - of steps: `token` (its text; "" for a stop token), `token_id`, `words_before`,
              `words_after`, `boundary` (the token does not continue a word), and where `n` is
              given `sign` (+1 where the token keeps to it, -1 where not, 0 while the model thinks)
              and `decision` (the first boundary with n words before it).

        Raises:
            LengthlensError: an argument is wrong, memory or positions do not suffice, or something
                changed the model since the Lens was made.
        """
        requests = self._requests(_listed(prompts, "prompts"), n)
        removed = removal(self._loaded, without, means, positions)
        return self._attributed(requests, removed, max_new_tokens)

    def attribute(
        self,
        prompts: str | Sequence[str],
        answers: str | Sequence[str],
        n: int | Sequence[int | None] | None = None,
        *,
        without: str | Sequence[str] = (),
        means: xr.Dataset | None = None,
        positions: str = "generated",
    ) -> xr.Dataset:
        """The attribution of given answers, as if the model had chosen every token of them.

        Args:
            prompts: one or several.
            answers: the text after each. It goes on with the prompt as it stands: without a chat
                template it begins with its own space. The text of a stop token may end it.

        The other arguments, the dataset and the errors are those of `generate`.
        """
        texts = _listed(answers, "answers")
        requests = self._requests(_listed(prompts, "prompts"), n)
        if len(texts) != len(requests):
            raise LengthlensError(
                f"there are {len(requests)} prompts and {len(texts)} answers; give one for each"
            )
        forced = [self._continued(*pair) for pair in zip(requests, texts, strict=True)]
        removed = removal(self._loaded, without, means, positions)
        return self._attributed(requests, removed, max(map(len, forced)), forced)

    def _requests(self, prompts: list[str], n: int | Sequence[int | None] | None) -> list[Request]:
        numbers = _asked(n, len(prompts))
        found = []
        for row, (text, number) in enumerate(zip(prompts, numbers, strict=True)):
            prompt = Prompt(str(row), "", number, topic="", template="", split="", text=text)
            tokens = self._loaded.checked(self._tokens(text), text)
            found.append(Request(f"sample {row}", prompt, tokens))
        return found

    def _tokens(self, text: str, answer: str = "") -> list[int]:
        """Token ids of a prompt and the beginning of its answer, as the model reads them."""
        spec, tokenizer = self._loaded.spec, self._loaded.tokenizer
        whole = written_prompt(spec, tokenizer, text, DATE, end="")
        return text_tokens(spec, tokenizer, whole + answer)

    def _continued(self, request: Request, answer: str) -> list[int]:
        """The tokens of an answer, as they follow the prompt's."""
        both = self._tokens(request.prompt.text, answer)
        start = len(request.tokens)
        if both[:start] != request.tokens:
            raise LengthlensError(
                f"the tokenizer joins the end of the prompt {request.prompt.text[-20:]!r} with the "
                f"beginning of the answer {answer[:20]!r}; begin the answer with the space between "
                "them"
            )
        if len(both) == start:
            raise LengthlensError(f"the answer {answer!r} has no tokens; give a text")
        self._loaded.annotate(both[start:], request.prompt.n, self._counting)  # ids with a row
        return both[start:]

    def _recorded(
        self,
        requests: Sequence[Request],
        removed: tuple[Condition, ConditionSets],
        longest: int,
        forced: Sequence[Sequence[int]] | None,
    ) -> Iterator[Batch]:
        """Decode batch by batch, greedily or as given, and record every step."""
        loaded, (condition, sets) = self._loaded, removed
        decoding = loaded.decode if forced is None else loaded.force
        answers = [longest] * len(requests) if forced is None else forced
        prompt = max(len(request.tokens) for request in requests)
        size = rows_per_batch(loaded, prompt, self._settings(longest), capture=True)
        for start in range(0, len(requests), size):
            part = requests[start : start + size]
            decoded = decoding(
                [request.tokens for request in part],
                answers[start : start + size],
                capture=True,
                intervention=sets.rows([0] * len(part)) if condition.k else None,
                names=[request.sample_id for request in part],
            )
            yield record_batch(part, decoded, loaded, self._counting)

    def _settings(self, max_new_tokens: int) -> Generation:
        if isinstance(max_new_tokens, bool) or max_new_tokens < 1:
            raise LengthlensError(f"max_new_tokens is {max_new_tokens!r}; allow at least 1")
        return Generation(
            max_new_tokens=max_new_tokens,
            batch_size="auto",
            memory_gb=self._memory_gb,
            dtype="auto",
            device="auto",
            threads=1,
            seed=0,
            temperature=0,
            top_p=1,
            samples=1,
            date=DATE,
        )

    def _attributed(
        self,
        requests: Sequence[Request],
        removed: tuple[Condition, ConditionSets],
        longest: int,
        forced: Sequence[Sequence[int]] | None = None,
    ) -> xr.Dataset:
        """Answers, or those that are given, with their attribution and labels."""
        loaded, (condition, _) = self._loaded, removed
        check_evaluating(loaded.model)
        numbers = [request.prompt.n for request in requests]
        known = [number != _NOT_ASKED for number in numbers]
        # NOTE what stands in for a removed MLP is of neither kind of experts.
        kept = (
            None if layer in condition.mlps else experts
            for layer, experts in enumerate(loaded.anatomy.experts)
        )
        anatomy = replace(loaded.anatomy, experts=tuple(kept))
        # NOTE read anew: weights may have been edited since the last call.
        readout = readout_of(loaded.model)
        recorded = self._recorded(requests, removed, longest, forced)
        dataset = attributed(readout, recorded, loaded.dtype, known, anatomy)
        answers = [row[row >= 0].tolist() for row in dataset["token_id"].to_numpy()]
        texts = [loaded.read_answer(tokens) for tokens in answers]
        pieces = [token_texts(tokens, loaded.decode_text) for tokens in answers]
        labels = {
            "prompt": [request.prompt.text for request in requests],
            "answer": texts,
            "words": [count_words(text, self._counting) for text in texts],
            "stopped": [tokens[-1] in loaded.stops.ids for tokens in answers],
            "n_steps": [len(tokens) for tokens in answers],
        }
        if any(known):
            labels["n"] = np.where(known, numbers, np.nan)
        padded = np.array(list(itertools.zip_longest(*pieces, fillvalue=""))).T
        found = versions()
        return dataset.assign_coords(
            {name: ("sample", values) for name, values in labels.items()}
            | {"token": (("sample", "step"), padded)}
        ).assign_attrs(
            model=loaded.spec.name,
            dtype=loaded.dtype,
            counting=self._counting,
            without=condition.components,
            mode=condition.mode,
            positions=condition.positions,
            versions=" ".join(f"{name} {found[name]}" for name in ARITHMETIC if name in found),
        )


def _listed(texts: str | Sequence[str], name: str) -> list[str]:
    """One text or several, as a list.

    Raises:
        LengthlensError: there is none, or one is no text.
    """
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed:
        raise LengthlensError(f"{name} is empty; give at least one text")
    for text in listed:
        if not isinstance(text, str):
            raise LengthlensError(f"{name} holds {text!r}, which is no text")
    return listed


def _asked(n: int | Sequence[int | None] | None, n_prompts: int) -> list[int]:
    """The number of words that each prompt asks for, or `_NOT_ASKED`.

    Raises:
        LengthlensError: there are more or fewer than prompts, or one is no number of words.
    """
    given = [n] * n_prompts if n is None or isinstance(n, Integral) else list(n)
    if len(given) != n_prompts:
        raise LengthlensError(f"there are {n_prompts} prompts and {len(given)} values of n")
    for number in given:
        whole = isinstance(number, Integral) and not isinstance(number, bool)
        if number is not None and not (whole and number >= 1):
            raise LengthlensError(f"n is {number!r}; give a whole number of words, at least 1")
    return [_NOT_ASKED if number is None else int(number) for number in given]
