"""Versions are crossed as they should be, and probes find what is there and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted_circuit import N_WORDS, answers_of, counting_model, language

from lengthlens.count.crossed import Crossed, _read, _Version, check_memory, crossed_streams
from lengthlens.count.probing import design, directions, permuted_numbers, probe
from lengthlens.decoding.streams import Shift
from lengthlens.errors import LengthlensError
from lengthlens.generation.job import Reading
from lengthlens.language.prompts import prompt_of

READING = Reading(N_WORDS, "whitespace", "2026-01-01")


def rows(texts: int, numbers: range, words: int) -> np.ndarray:
    found = [(t, n, w) for t in range(texts) for n in numbers for w in range(words) if n >= w]
    return np.array(found).T


def synthetic(noise: float, seed: int = 0) -> tuple[Crossed, list[dict], np.ndarray]:
    """A stream of 12 numbers that holds words left along one direction, and the text elsewhere."""
    rng = np.random.default_rng(seed)
    text, n, words = rows(40, range(3, 8), 6)
    along = rng.standard_normal(12)
    by_text = rng.standard_normal((40, 6, 12))[text, words]
    stream = (n - words)[:, None] * along + by_text + noise * rng.standard_normal((len(n), 12))
    answers = [
        {"topic": f"t{t // 2}", "template": "ab"[t % 2], "split": ("select", "evaluate")[t // 20]}
        for t in range(40)
    ]
    return Crossed(text, n, words, 9 + words, stream[None], [0]), answers, along


def test_permuted_numbers_are_those_of_the_versions() -> None:
    """At each step the legal n are exchanged among themselves, alike at all steps where all are."""
    text, n, words = rows(5, range(3, 7), 6)
    crossed = Crossed(text, n, words, words, np.zeros((0, len(n), 1)), [])
    found = permuted_numbers(crossed, np.random.default_rng(0))
    assert (found != n).any() and (found >= words).all()
    for t in range(5):
        maps = []
        for w in range(6):
            here = (text == t) & (words == w)
            assert sorted(found[here]) == sorted(n[here])
            maps.append(dict(zip(n[here], found[here], strict=True)))
        assert maps[0] == maps[1] == maps[2] == maps[3]


def test_probes_find_words_left_and_permutations_nothing() -> None:
    crossed, answers, along = synthetic(0.1)
    made = design(crossed, answers, draws=6, seed=0)
    found = probe(made)
    beyond = 1 - np.nansum(found.stream[:, 0], 1) / np.nansum(found.covariates, 1)
    assert 0.7 < beyond[0] < 1 and np.abs(beyond[1:]).max() < 0.1
    assert found.select[0] == pytest.approx(beyond[0], abs=0.15)
    assert np.isnan(found.stream[:, :, :20]).all()  # texts of select topics are fitted on
    d = directions(made, 0)
    assert d[0] == pytest.approx(along, abs=0.35)
    assert np.linalg.norm(d, axis=1) == pytest.approx(np.linalg.norm(d[0]))


def test_fewer_rows_than_dimensions_are_solved_alike() -> None:
    """Ridge in the rows' space is ridge: padding the stream with zeros changes d_model alone."""
    crossed, answers, _ = synthetic(0.1)
    wide = np.concatenate([crossed.streams, np.zeros((1, len(crossed.n), 988))], axis=2)
    padded = Crossed(crossed.text, crossed.n, crossed.words, crossed.position, wide, [0])
    narrow, wider = (probe(design(part, answers, 1, 0)) for part in (crossed, padded))
    assert np.nansum(wider.stream[0]) == pytest.approx(np.nansum(narrow.stream[0]), rel=0.05)


def test_streams_are_those_of_a_plain_pass() -> None:
    """No cache, no padding: the input of each layer at the position that decides the step."""
    loaded, lang = counting_model(), language(topics=4)
    answers = answers_of(lang)[::5]
    crossed = crossed_streams(loaded, lang, answers, READING, 1, 1.0)
    assert crossed.left.min() == 0 and set(crossed.n.tolist()) == set(N_WORDS)
    for row in range(0, len(crossed.n), 7):
        answer, n, words = (
            answers[crossed.text[row]], int(crossed.n[row]), int(crossed.words[row])
        )  # fmt: skip
        prompt = loaded.encode(prompt_of(lang, answer, n).text, READING.date)
        tokens = torch.tensor([[*prompt, *answer["tokens"][:words]]])
        assert crossed.position[row] == tokens.shape[1] - 1
        streams = loaded.model(tokens, output_hidden_states=True, use_cache=False).hidden_states
        for layer in range(3):
            np.testing.assert_allclose(
                crossed.streams[layer, row], streams[layer][0, -1], atol=1e-5
            )


def test_steps_may_lie_further_from_the_end_than_the_shared_prefix_is_long() -> None:
    loaded, tokens = counting_model(), list(range(10, 20))
    prompts = [[5, 6, 7, 8, 9, last] for last in range(20, 36)]  # so many that a pass is worth it
    numbers = list(range(len(prompts)))
    version = _Version(0, numbers, prompts, tokens, words=(0, 4), steps=(1, 10))
    found = _read(loaded, version, slice(None), range(3))
    for row, prompt in enumerate(prompts):
        text = torch.tensor([[*prompt, *tokens]])
        streams = loaded.model(text, output_hidden_states=True, use_cache=False).hidden_states
        for place, step in enumerate(version.steps):
            for layer in range(3):
                own = streams[layer][0, len(prompt) + step - 1].detach()
                np.testing.assert_allclose(found[layer, row, place], own, atol=1e-5)


def test_a_shift_is_what_a_plain_hook_adds() -> None:
    """From the last prompt token on, row by row, in a batch whose rows leave it."""
    loaded = counting_model()
    by = 3.0 * torch.randn(3, loaded.anatomy.d_model, generator=torch.Generator().manual_seed(1))
    by[0] = 0
    prompts = [[11, 12, 101, 121, 34, 13, 14, 15]] * 3
    together = loaded.decode(prompts, 6, intervention=Shift(1, by))
    assert together.tokens[0] == loaded.decode(prompts[:1], 6).tokens[0]
    assert len(set(map(tuple, together.tokens))) > 1
    for row, answer in enumerate(together.tokens):

        def add(module, args, kwargs, row=row):
            stream = args[0].clone()
            stream[:, len(prompts[row]) - 1 :] += by[row]
            return (stream, *args[1:]), kwargs

        handle = loaded.anatomy.layers[1].first.register_forward_pre_hook(add, with_kwargs=True)
        logits = loaded.model(torch.tensor([[*prompts[row], *answer[:-1]]])).logits[0]
        handle.remove()
        assert logits[len(prompts[row]) - 1 :].argmax(-1).tolist() == answer


def test_streams_that_do_not_fit_are_refused_with_the_cure() -> None:
    with pytest.raises(LengthlensError, match=r"need up to 0.61 GB; lower count.per_n"):
        check_memory(42, range(3, 10), (9, 4096), 0.1)
    check_memory(42, range(3, 10), (9, 4096), 0.7)
