"""Whether rows that are decoded together give the logits that each of them gives alone.

Given answers are fed to batches as the study decodes them: prompts of unequal length that share a
prefix, one of them twice, rows that leave the batch one after another, and prompts that share
nothing; all with a cache. The reference is one plain pass a row, without cache, padding or mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lengthlens.decoding.choose import Forced
from lengthlens.decoding.decode import Decoded, Decoder, TokenClasses
from lengthlens.decoding.forward import WORTH_A_PASS, feed, prefill
from lengthlens.models.anatomy import Anatomy

_OWN = ((2, 4), (9, 1), (5, 3))  # of each row: tokens after the shared prefix, and of its answer
_AGAIN = 2  # tokens of another answer to the first row's prompt
_STEPS = 4  # tokens at the end of a text that are decoded one by one


Rows = Sequence[tuple[list[int], list[int]]]  # prompts, each with the answer that is fed to it


def probe_batches(texts: Sequence[Sequence[int]]) -> list[Rows]:
    """The batches that are decoded, made of the tokens of some texts of at least two tokens each.

    The first shares a prefix, long enough to be computed apart; the second has one of its prompts
    twice; the third are the texts themselves.
    """
    prefix = -(-WORTH_A_PASS // (len(_OWN) - 1))
    longest = prefix + sum(map(sum, _OWN)) + _AGAIN
    tokens = list(itertools.islice(itertools.cycle(itertools.chain(*texts)), longest))
    shared, rest = tokens[:prefix], iter(tokens[prefix:])

    def following(count: int) -> list[int]:
        return list(itertools.islice(rest, count))

    rows = [(shared + following(own), following(answer)) for own, answer in _OWN]
    again = [*rows, (rows[0][0], following(_AGAIN))]
    cut = [min(_STEPS, len(text) - 1) for text in texts]
    apart = [(list(text[:-n]), list(text[-n:])) for text, n in zip(texts, cut, strict=True)]
    return [rows, again, apart]


def decoded_as_given(
    model: nn.Module, anatomy: Anatomy, rows: Rows, capture: bool = False
) -> tuple[Decoded, list[Float[Tensor, "_ vocabulary"]]]:
    """A batch decoded with given answers, and the model's own logits at every step of each row."""
    prompts, answers = zip(*rows, strict=True)
    forced, heard = Forced(answers), []

    def listen(step: int, active: Tensor, logits: Tensor) -> Tensor:
        heard.append(dict(zip(active.tolist(), logits.float(), strict=True)))
        return forced(step, active, logits)

    place = next(model.parameters()).device
    none, one, other = (torch.tensor(ids, dtype=torch.long).to(place) for ids in ([], [0], [1]))
    decoder, lengths = Decoder(model, anatomy, TokenClasses(none, one, other)), map(len, answers)
    decoded = decoder.decode(prompts, list(lengths), choose=listen, capture=capture)
    logits = [
        torch.stack([of_step[row] for of_step in heard[: len(answer)]])
        for row, answer in enumerate(answers)
    ]
    return decoded, logits


@torch.inference_mode()
def alone(
    model: nn.Module, prompt: Sequence[int], answer: Sequence[int]
) -> Float[Tensor, "step vocabulary"]:
    """The model's own logits at every step of an answer, from one plain pass."""
    place = next(model.parameters()).device
    ids = torch.tensor([[*prompt, *answer[:-1]]], device=place)
    return model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :].float().to(place)


@torch.inference_mode()
def in_one_pass(
    model: nn.Module, prompt: Sequence[int], answer: Sequence[int]
) -> Float[Tensor, "step vocabulary"]:
    """The same from one pass after the cached prompt, as given answers are scored: two rows."""
    place = next(model.parameters()).device
    state = prefill(model, [prompt] * 2, len(answer))
    new = torch.tensor([answer[:-1]] * 2, dtype=torch.long, device=place)
    state.extend(new)
    return feed(model, state, keep=len(answer))[1].float()


def deviation(
    logits: Sequence[Float[Tensor, "_ vocabulary"]],
    references: Sequence[Float[Tensor, "_ vocabulary"]],
) -> float:
    """Largest difference of two lists of logits, as a share of the references' largest."""
    largest = torch.stack([reference.abs().max() for reference in references]).max()
    gaps = [(a - b).abs().max() for a, b in zip(logits, references, strict=True)]
    return float(torch.stack(gaps).max() / largest)  # NaN where any is, unlike Python's max


def cause(model: nn.Module, anatomy: Anatomy, rows: Rows, tolerance: float) -> str:
    """What changes the logits of rows that are decoded together, in words."""
    references = [alone(model, *row) for row in rows]
    singles = [decoded_as_given(model, anatomy, [row])[1][0] for row in rows]
    if not deviation(singles, references) <= tolerance:
        return (
            "decoding a row with a cache already does; what is cached is not what is read, or a "
            "token's output depends on how many are computed with it, as with experts that take a "
            "limited number of tokens"
        )
    width = min(len(prompt) for prompt, _ in rows)
    even = [(prompt[-width:], answer) for prompt, answer in rows]
    references = [alone(model, *row) for row in even]
    if not deviation(decoded_as_given(model, anatomy, even)[1], references) <= tolerance:
        return (
            "the other rows do, without any padding; such as experts that share out what they take "
            "among the rows, or frequencies that follow the longest row"
        )
    return "padding does; its positions or distances count what is masked"
