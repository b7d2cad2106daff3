"""Scores of given text under many interventions at once, one forward pass a text.

All rows of a batch hold the same tokens and differ in what is removed, so nothing is padded, and
layers below the first removed component are computed once (`reuse`). A model whose layers keep a
state reads an answer token by token instead, and all layers are computed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.nn.utils.rnn import pad_sequence

from lengthlens.decoding.capture import Recorder, Residuals
from lengthlens.decoding.decode import TokenClasses
from lengthlens.decoding.forward import LogitReader, State, feed, keeps_states, passes, prefill
from lengthlens.decoding.intervention import Intervention, Surgeon
from lengthlens.decoding.reuse import CleanLayers, batches, first_layers
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel

ROWS = 96  # of 40, 96 and 256 the fastest on two busy cores, whose caches larger ones leave
_LOGITS = 2**26  # logits held at once, as a text is scored (256 MB in float32)

Rows = Callable[[Sequence[int]], Intervention]  # the intervention of a batch of the given sets


def answer_margins(
    loaded: LoadedModel, prompt: Sequence[int], answer: Sequence[int], rows: Rows, n_sets: int
) -> Float[np.ndarray, " set"]:
    """End margin after `prompt` and `answer`: logit of the best ender minus the best new word's.

    Like everywhere, of the logits before a soft cap.

    Args:
        loaded: the model.
        prompt: token ids.
        answer: token ids before the step of interest; may be empty.
        rows: gives the intervention of a list of sets.
        n_sets: how many sets there are.
    """
    return step_margins(loaded, prompt, answer, [len(answer)], rows, n_sets=n_sets)[:, 0]


@torch.inference_mode()
def step_margins(
    loaded: LoadedModel,
    prompt: Sequence[int],
    answer: Sequence[int],
    steps: Sequence[int],
    rows: Rows,
    n_sets: int,
) -> Float[np.ndarray, "set step"]:
    """End margins at several steps of an answer, all in one pass; step t follows t tokens of it.

    Args:
        steps: each at most the length of `answer`; the others as for `answer_margins`.

    Raises:
        LengthlensError: a margin is not finite.
    """
    size = max(1, min(ROWS, _LOGITS // (len(steps) * loaded.anatomy.vocabulary_size)))
    clean = CleanLayers(loaded.anatomy)
    whole = rows(range(n_sets))
    first = first_layers(whole)
    if whole.positions == "all" or keeps_states(loaded.model):  # prompts differ, or passes do
        first[:] = 0
    else:
        _after(loaded, None, [prompt], answer, steps, during=clean.recorded())
    margins = torch.empty(n_sets, len(steps), device=loaded.device)
    for below, sets in batches(first, size):
        surgeon = Surgeon(loaded.anatomy, rows(sets.tolist()))
        with surgeon.attached():
            logits = _after(
                loaded,
                surgeon,
                [prompt] * len(sets),
                answer,
                steps,
                during=clean.reused(below, len(sets)),
            )
        margins[sets] = free_margins(logits, loaded.classes).to(margins)
    return _finite(margins.cpu().numpy(), "end margin", loaded, [*prompt, *answer])


def last_logits(
    loaded: LoadedModel, tokens: Int[torch.Tensor, "row position"], last: Int[torch.Tensor, " row"]
) -> Float[torch.Tensor, "row vocabulary"]:
    """Logits at the last position of every text, before a soft cap; with gradients where enabled.

    Args:
        loaded: the model.
        tokens: texts, padded on the right, which in a causal model changes nothing before it.
        last: the last position of each.
    """
    rows = torch.arange(len(tokens), device=tokens.device)
    positions = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)

    def only_last(module: torch.nn.Module, args: tuple) -> tuple:
        stream = args[0]
        return (stream[rows.to(stream.device), last.to(stream.device)][:, None], *args[1:])

    reading = LogitReader(loaded.anatomy, loaded.device).attached()
    with loaded.anatomy.unembedding.register_forward_pre_hook(only_last), reading as reader:
        loaded.model(input_ids=tokens, position_ids=positions, use_cache=False)
    return reader.last()


def padded(
    texts: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[torch.Tensor, "text position"], Int[torch.Tensor, " text"]]:
    """Texts as one tensor, padded on the right, and the last position of each."""
    tokens = pad_sequence(list(map(torch.tensor, texts)), batch_first=True)
    last = torch.tensor([len(text) - 1 for text in texts])
    return tokens.to(device), last.to(device)


@torch.inference_mode()
def answer_terms(
    loaded: LoadedModel, prompt: Sequence[int], answer: Sequence[int], rows: Rows, n_sets: int
) -> tuple[Residuals, Float[torch.Tensor, "set vocabulary"]]:
    """The terms of the residual stream after `prompt` and `answer`, and the model's own logits.

    Args and logits are those of `answer_margins`; the axes of the terms begin with (set,).
    """
    terms, logits = [], []
    for start in range(0, n_sets, ROWS):
        sets = range(start, min(start + ROWS, n_sets))
        surgeon = Surgeon(loaded.anatomy, rows(sets))
        recorder = Recorder(loaded.anatomy, len(sets), 1)
        # NOTE the recorder's hooks come after the surgeon's: it reads what is left.
        with surgeon.attached(), recorder.attached():
            prompts, steps = [prompt] * len(sets), [len(answer)]
            found = _after(loaded, surgeon, prompts, answer, steps, recorder=recorder)
        terms.append(recorder.residuals[0])
        logits.append(found[:, -1])
    whole = {
        name: None if first is None else torch.cat([getattr(part, name) for part in terms])
        for name, first in vars(terms[0]).items()
    }
    return Residuals(**whole), torch.cat(logits)


def _after(
    loaded: LoadedModel,
    surgeon: Surgeon | None,
    prompts: Sequence[Sequence[int]],
    answer: Sequence[int],
    steps: Sequence[int],
    recorder: Recorder | None = None,
    during: contextlib.AbstractContextManager | None = None,
) -> Float[torch.Tensor, "row step vocabulary"]:
    """Run the model over prompts and answer, after all but the last token of the prompts.

    The recorder, if there is one, reads the last position. `during` is entered for that pass; of a
    model that keeps a state, for all passes.

    Returns:
        The logits at the steps, before a soft cap.
    """
    state = prefill(loaded.model, prompts, len(answer) + 1, surgeon)
    new = torch.tensor([list(answer)] * len(prompts), dtype=torch.long, device=loaded.device)
    classes, wanted = [0] + [1] * len(answer), torch.tensor(steps, device=loaded.device)
    found = []
    reading = LogitReader(loaded.anatomy, loaded.device).attached()
    with reading as reader, during or contextlib.nullcontext():
        for part in passes(state, new):
            if surgeon is not None:
                surgeon.at(slice(None), classes[part], part)
            if recorder is not None:
                recorder.at(0, slice(None))  # the last of them stays
            whole = part == slice(None)
            feed(loaded.model, state, keep=wanted if whole else 1)
            found.append(reader.kept())
    return found[0] if whole else torch.cat([found[step] for step in steps], 1)


def free_margins(
    logits: Float[torch.Tensor, "*row vocabulary"], classes: TokenClasses
) -> Float[torch.Tensor, "*row"]:
    """Logit of the best ender minus that of the best word-beginning token."""
    return logits[..., classes.enders].amax(-1) - logits[..., classes.words].amax(-1)


@torch.inference_mode()
def sentence_logliks(
    loaded: LoadedModel, tokens: Sequence[int], rows: Rows, n_sets: int
) -> Float[np.ndarray, " set"]:
    """Log-likelihood of a text's tokens after its first, summed, with every position intervened.

    Args:
        loaded: the model.
        tokens: at least two token ids.
        rows: gives the intervention of a list of sets.
        n_sets: how many sets there are.

    Raises:
        LengthlensError: a log-likelihood is not finite.
    """
    target = torch.tensor(tokens, device=loaded.device)
    size = max(1, min(ROWS, _LOGITS // (len(tokens) * loaded.anatomy.vocabulary_size)))

    def read(n_rows: int) -> Float[torch.Tensor, "row position vocabulary"]:
        ids = target[:-1].expand(n_rows, -1)
        return feed(loaded.model, State(None, torch.ones_like(ids).bool(), ids), ids.shape[1])

    clean = CleanLayers(loaded.anatomy)
    with clean.recorded():
        read(1)
    totals = torch.empty(n_sets, device=loaded.device)
    for below, sets in batches(first_layers(rows(range(n_sets))), size):
        surgeon = Surgeon(loaded.anatomy, rows(sets.tolist()))
        with surgeon.attached(), clean.reused(below, len(sets)):
            surgeon.at(slice(None), [1])
            logits = read(len(sets))
        chosen = torch.log_softmax(logits.float(), -1).gather(
            -1, target[1:].expand(len(sets), -1)[..., None]
        )
        totals[sets] = chosen.sum((1, 2))
    return _finite(totals.double().cpu().numpy(), "log-likelihood", loaded, tokens)


def _finite(
    values: np.ndarray, what: str, loaded: LoadedModel, tokens: Sequence[int]
) -> np.ndarray:
    """The values, if all are finite: statistics would take others for steps that do not exist."""
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        text = loaded.decode_text(tokens)
        raise LengthlensError(
            f"{loaded.spec.name}: the {what} is not finite with the components of set "
            f"{wrong[0][0]} (of {len(values)}) removed, after {text[-60:]!r}; the precision "
            f"({loaded.dtype}) does not hold its numbers: try generation.dtype: float32"
        )
    return values
