"""Decoding: the tokens of transformers' own generate, whatever the batch looks like."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from architectures import ROWS, VOCABULARY, tiny_model
from tiny_llama import greedy_answer
from toys import CLASSES, NO_STOP, capped, own_logits, ragged_prompts

from lengthlens.decoding import forward
from lengthlens.decoding.choose import Forced, Sampler
from lengthlens.decoding.decode import Decoded, Decoder, TokenClasses
from lengthlens.decoding.forward import LogitReader, common_prefix
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import dissect

STEPS = 12
PROMPTS = ragged_prompts([3, 9, 5, 12, 7, 1], seed=3)
SHARED = ragged_prompts([24, 21, 29, 21, 22], seed=4, shared=20)  # enough for a pass of its own


def run(model, prompts, classes=CLASSES, steps=STEPS, **options) -> Decoded:
    return Decoder(model, dissect(model), classes).decode(prompts, steps, **options)


def generated(model, prompt: list[int], steps: int = STEPS, stop=CLASSES.stop) -> list[int]:
    """What transformers' greedy generate answers to one prompt."""
    return greedy_answer(model, prompt, steps, eos_token_id=stop.tolist() or None)


def stopping(model, prompts=PROMPTS) -> TokenClasses:
    """Classes whose two stop tokens do occur: what the model answers at steps 2 and 5 somewhere."""
    answers = [generated(model, prompt, stop=torch.tensor([])) for prompt in prompts]
    stop = torch.tensor(sorted({answers[0][2], answers[1][5]}))
    return TokenClasses(stop, torch.cat([stop, torch.tensor([5, 7])]), CLASSES.words)


def same_or_tied(model, prompt, ours: list[int], theirs: list[int]) -> bool:
    """Whether answers are equal; they may part only where the two best logits are all but equal."""
    parted = [s for s, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    if not parted:
        assert len(ours) == len(theirs)
        return True
    best = own_logits(model, prompt, ours)[parted[0]].topk(2).values
    assert best[0] - best[1] < 1e-4, f"step {parted[0]}: {ours} instead of {theirs}"
    return False


@pytest.mark.parametrize("row", ROWS)
def test_greedy_tokens_equal_transformers(row: str) -> None:
    """Tokens and stops of a padded batch = generate's, one prompt at a time (0 divergences)."""
    model = tiny_model(row)
    for prompts in (PROMPTS, SHARED):
        classes = stopping(model, prompts)
        ours = run(model, prompts, classes)
        theirs = [generated(model, prompt, stop=classes.stop) for prompt in prompts]
        equal = [
            same_or_tied(model, *answers)
            for answers in zip(prompts, ours.tokens, theirs, strict=True)
        ]
        assert equal.count(False) == 0
        stop = set(classes.stop.tolist())
        assert ours.stopped == [tokens[-1] in stop for tokens in theirs]
        assert any(ours.stopped)


@pytest.mark.parametrize("row", ROWS)
def test_recorded_logits_equal_a_plain_pass(row: str) -> None:
    """Stepwise logits with cache and padding = one pass without; measured 7.3e-7 of max |logit|.

    The best ender and the best word-beginning token are those of the plain pass.
    """
    model = tiny_model(row)
    cap = dissect(model).soft_cap
    decoded = run(model, SHARED, stopping(model, SHARED))
    logits = decoded.logits
    for i, (prompt, tokens) in enumerate(zip(SHARED, decoded.tokens, strict=True)):
        own = own_logits(model, prompt, tokens)
        assert own.abs().max() > 0.5
        for name, expected in {
            "logit": own.gather(1, torch.tensor(tokens)[:, None])[:, 0],
            "ender_logit": own[:, logits.ender_token[i, : len(tokens)]].diagonal(),
            "word_logit": own[:, CLASSES.words].amax(-1),
        }.items():
            recorded = capped(getattr(logits, name)[i, : len(tokens)], cap)
            deviation = (recorded - expected).abs().max() / own.abs().max()
            assert deviation <= 2e-6, f"{name}: {deviation:.1e}"
        if cap is None:
            deviation = (logits.mean_logit[i, : len(tokens)] - own.mean(-1)).abs().max()
            assert deviation <= 2e-6 * own.abs().max()
        assert logits.logit[i, len(tokens) :].isnan().all()
        assert (logits.word_token[i, len(tokens) :] == -1).all()


@pytest.mark.parametrize("row", ["llama", "gpt2"])
def test_answers_do_not_depend_on_the_batch(row: str) -> None:
    """Tokens are equal, residuals and logits within 5e-6 (measured 2.2e-6), alone or together."""
    model = tiny_model(row)
    classes = stopping(model)
    prompts = [*PROMPTS, *SHARED, *PROMPTS[:3]]
    together = run(model, prompts, classes, capture=True)
    for i, prompt in enumerate(prompts):
        alone = run(model, [prompt], classes, capture=True)
        assert together.tokens[i] == alone.tokens[0]
        assert together.stopped[i] == alone.stopped[0]
        n = len(alone.tokens[0])
        for name in ("embed", "head", "mlp", "scale"):
            mine = getattr(together.residuals.row(i, n), name)
            reference = getattr(alone.residuals.row(0, n), name)
            assert (mine - reference).abs().max() <= 5e-6 * reference.abs().max(), name
        difference = together.logits.logit[i, :n] - alone.logits.logit[0, :n]
        assert difference.abs().max() <= 5e-6


def test_rows_leave_the_batch_as_they_stop() -> None:
    """With limits 1, 2, …, 20 the forward passes shrink, and every row keeps its own answer."""
    model = tiny_model("llama")
    prompts = ragged_prompts(range(1, 21), seed=8)
    limits = list(range(1, 21))
    sizes, remaining = [], []

    def count(step: int, rows: int) -> None:
        remaining.append(rows)

    handle = model.lm_head.register_forward_hook(lambda m, a, out: sizes.append(len(out)))
    try:
        decoded = run(
            model,
            prompts,
            NO_STOP,
            limits,
            on_step=lambda step, n: remaining.append(n),
            capture=True,
        )
    finally:
        handle.remove()
    assert [len(tokens) for tokens in decoded.tokens] == limits
    assert decoded.stopped == [False] * 20
    assert remaining == list(range(19, -1, -1))
    passes = sizes[-20:]
    assert passes[0] == 20 and passes[-1] == 1
    for step, (size, alive) in enumerate(zip(passes, [20, *remaining], strict=False)):
        assert alive <= size < alive + max(1, size // 8) or step == 0
    for i in (0, 5, 13, 19):
        assert decoded.tokens[i] == generated(model, prompts[i], limits[i], stop=torch.tensor([]))
        alone = run(model, [prompts[i]], NO_STOP, limits[i], capture=True)
        mine, reference = decoded.residuals.row(i, limits[i]), alone.residuals.row(0, limits[i])
        assert (mine.head - reference.head).abs().max() <= 5e-6 * reference.head.abs().max()
        assert (mine.scale - reference.scale).abs().max() <= 5e-6 * reference.scale.max()


def test_any_token_of_the_stop_set_ends_an_answer() -> None:
    model = tiny_model("llama")
    free = run(model, PROMPTS, NO_STOP).tokens
    first, second = free[0][1], free[1][4]
    for stop in ([first], [second], [first, second]):
        classes = TokenClasses(torch.tensor(stop), torch.tensor(stop), CLASSES.words)
        decoded = run(model, PROMPTS, classes)
        for tokens, whole, stopped in zip(decoded.tokens, free, decoded.stopped, strict=True):
            ends = [step for step, token in enumerate(whole) if token in stop]
            assert stopped == bool(ends)
            assert tokens == (whole[: ends[0] + 1] if ends else whole)


@pytest.mark.parametrize("worth", [0, 10**9], ids=["shared", "apart"])
@pytest.mark.parametrize("lengths", [[6, 6, 6], [6, 9, 6, 7], [1, 1], [1, 4, 1], [2, 2]])
def test_a_shared_prefix_changes_nothing(lengths: list[int], worth: int, monkeypatch) -> None:
    """Prompts that share all, some or nothing, repeat each other, or are one token long."""
    monkeypatch.setattr(forward, "WORTH_A_PASS", worth)
    model = tiny_model("llama")
    for shared in {0, min(lengths) - 1, min(lengths)}:
        prompts = ragged_prompts(lengths, seed=5, shared=shared)
        for asked in (prompts, [*prompts, list(prompts[0])]):
            assert run(model, asked, NO_STOP).tokens == [
                generated(model, prompt, stop=torch.tensor([])) for prompt in asked
            ]


@pytest.mark.parametrize(
    ("prompts", "passes"),
    [
        (SHARED, [(1, 20), (5, 9), (5, 1)]),  # what they share, the rest of each, a step
        (
            [*SHARED, SHARED[0]],
            [(1, 20), (5, 8), (6, 1), (6, 1)],
        ),  # last tokens apart: one is twice
        (PROMPTS, [(len(PROMPTS), max(map(len, PROMPTS))), (len(PROMPTS), 1)]),
    ],
    ids=["shared", "twice", "distinct"],
)
def test_nothing_is_computed_twice(prompts, passes) -> None:
    model = tiny_model("llama")
    shapes = []
    handle = model.model.layers[0].mlp.register_forward_hook(
        lambda m, a, out: shapes.append(tuple(out.shape[:2]))
    )
    try:
        run(model, prompts, NO_STOP, 2)
    finally:
        handle.remove()
    assert shapes == passes


def test_common_prefix_leaves_every_prompt_a_token() -> None:
    assert common_prefix([[1, 2, 3], [1, 2, 4], [1, 2, 3, 5]]) == 2
    assert common_prefix([[1, 2, 3], [1, 2, 3]]) == 2
    assert common_prefix([[1], [1, 2]]) == 0
    assert common_prefix([[5, 2], [1, 2]]) == 0


@pytest.mark.parametrize("row", ["mistral", "gemma3_text", "gemma2"])
def test_sliding_windows_forget_alike(row: str) -> None:
    """Prompts longer than the window, sharing a prefix that partly falls out of it."""
    model = tiny_model(row, sliding_window=6)
    windows = {getattr(layer, "sliding_window", None) for layer in _new_cache(model).layers}
    assert 6 in windows
    wide = tiny_model(row, sliding_window=64)
    for prompts in (SHARED, ragged_prompts([20, 9, 3], seed=6)):
        decoded = run(model, prompts, NO_STOP)
        for prompt, tokens in zip(prompts, decoded.tokens, strict=True):
            expected = generated(model, prompt, stop=torch.tensor([]))
            assert same_or_tied(model, prompt, tokens, expected)
        assert run(wide, prompts, NO_STOP).tokens != decoded.tokens  # the window matters here


def _new_cache(model):
    from transformers.cache_utils import DynamicCache

    return DynamicCache(config=model.config)


def test_forced_answers_are_fed_and_scored() -> None:
    """Rows of very different lengths; logits are those of a plain pass over prompt and answer."""
    model = tiny_model("llama")
    rng = np.random.default_rng(1)
    lengths = [1, 2, *rng.integers(3, 20, 18).tolist()]
    answers = [rng.integers(8, VOCABULARY, n).tolist() for n in lengths]
    prompts = ragged_prompts(rng.integers(2, 9, 20).tolist(), seed=7)
    decoded = run(model, prompts, NO_STOP, lengths, choose=Forced(answers), capture=True)
    assert decoded.tokens == answers
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        own = own_logits(model, prompt, answer)
        expected = own.gather(1, torch.tensor(answer)[:, None])[:, 0]
        deviation = (decoded.logits.logit[i, : len(answer)] - expected).abs().max()
        assert deviation <= 2e-6 * own.abs().max()


def test_sampling_depends_on_seed_and_sample_alone() -> None:
    model = tiny_model("llama")
    ids = [f"p{i}#0" for i in range(len(PROMPTS))]

    def sampled(rows, seed=0, n_steps=STEPS):
        chooser = Sampler.seeded([ids[i] for i in rows], n_steps, seed, 1.0, 0.9)
        return run(model, [PROMPTS[i] for i in rows], NO_STOP, n_steps, choose=chooser).tokens

    every = sampled(range(len(ids)))
    for rows in ([2], [4, 0], [5, 3, 1]):
        assert sampled(rows) == [every[i] for i in rows]
    assert sampled([0], n_steps=5)[0] == every[0][:5]
    assert sampled(range(len(ids)), seed=1) != every
    repeated = Sampler.seeded(["a#0", "a#1"], STEPS, 0, 1.0, 1.0)
    two = run(model, [PROMPTS[0]] * 2, NO_STOP, choose=repeated).tokens
    assert two[0] != two[1]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.7), (2.0, 0.3)])
def test_sampling_follows_its_distribution(temperature: float, top_p: float) -> None:
    """Frequencies of 20,000 draws lie within 5 standard errors of softmax(z / T), cut at top-p."""
    logits = torch.tensor([1.0, 3.0, 0.5, 2.5, -4.0])
    p = torch.softmax(logits.double() / temperature, -1)
    order = p.argsort(descending=True).tolist()
    kept = [
        t for t, before in zip(order, np.cumsum([0, *p[order][:-1]]), strict=True) if before < top_p
    ]
    expected = np.zeros(5)
    expected[kept] = p[kept] / p[kept].sum()
    draws = 20_000
    sampler = Sampler.seeded([str(i) for i in range(draws)], 1, 0, temperature, top_p)
    tokens = sampler(0, torch.arange(draws), logits.expand(draws, -1))
    frequency = np.bincount(tokens, minlength=5) / draws
    assert set(np.flatnonzero(frequency)) <= set(kept)
    error = np.sqrt(expected * (1 - expected) / draws)
    assert (np.abs(frequency - expected) <= 5 * error).all()


def test_the_largest_uniform_number_stays_within_top_p() -> None:
    uniforms = torch.full((1, 1), float(np.nextafter(1.0, 0.0)), dtype=torch.float64)
    for offset in itertools.product((0.0, 0.1, 0.3), repeat=2):
        logits = torch.tensor([[0.0, *offset, -3.0, -5.0]])
        kept = logits[0].argsort(descending=True)[:3]
        token = Sampler(uniforms, 1.0, 0.9)(0, torch.tensor([0]), logits)
        assert token in kept


def test_sampling_many_samples_looks_up_the_right_row() -> None:
    """After compaction rows are no longer 0, 1, 2, …: numbers are looked up by row."""
    uniforms = torch.tensor([[0.01, 0.99], [0.99, 0.01], [0.5, 0.5]], dtype=torch.float64)
    logits = torch.log(torch.tensor([[0.2, 0.5, 0.3]]))
    tokens = Sampler(uniforms, 1.0, 1.0)(1, torch.tensor([0, 2]), logits.expand(2, -1))
    assert tokens.tolist() == [0, 1]  # by decreasing probability: 1 to .5, 2 to .8, 0 to 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("row", ["llama", "gemma2"])
def test_logits_that_are_not_finite_stop_everything(row: str, value: float) -> None:
    """Also behind a soft cap, which would make a finite number of an infinite logit."""
    model = tiny_model(row, tie_word_embeddings=False)
    model.lm_head.weight[11] = value
    with pytest.raises(LengthlensError, match=r"not finite, at step 0 of row 0 .*dtype: float32"):
        run(model, PROMPTS)


@pytest.mark.parametrize(
    ("prompts", "limits", "message"),
    [
        ([[5], []], 3, "prompt 1 of the batch has no tokens"),
        ([[5], [6]], [3, 0], "row 1 of the batch may produce 0 tokens"),
    ],
)
def test_empty_prompts_and_limits_are_refused(prompts, limits, message: str) -> None:
    with pytest.raises(LengthlensError, match=message):
        run(tiny_model("llama"), prompts, steps=limits)


def test_hooks_are_gone_after_decoding_and_after_an_error() -> None:
    model = tiny_model("llama")

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    before = hooks()
    run(model, PROMPTS, capture=True)
    assert hooks() == before

    def fail(step, rows, logits):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        run(model, PROMPTS, capture=True, choose=fail)
    assert hooks() == before


def test_the_logit_reader_undoes_neither_multiplier_nor_precision() -> None:
    """Granite divides its logits after the unembedding; bfloat16 logits are read as float32."""
    model = tiny_model("granite", torch.bfloat16)
    with LogitReader(dissect(model), torch.device("cpu")).attached() as reader:
        output = model(torch.tensor([[5, 6, 7]])).logits[:, -1]
    assert reader.last().dtype == torch.float32
    assert (reader.last() - output.float()).abs().max() <= 2**-8 * output.abs().max()
