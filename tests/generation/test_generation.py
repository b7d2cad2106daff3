"""Answers to prompts, the size of batches, and the order of samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_project import changed
from toys import SETTINGS, memory_for

from lengthlens.attribution.dla import attribute_batch
from lengthlens.attribution.proof import TOLERANCES
from lengthlens.decoding.capture import Recorder
from lengthlens.decoding.choose import greedy
from lengthlens.errors import LengthlensError
from lengthlens.generation.activations import ActivationWriter, open_activations
from lengthlens.generation.answers import (
    answer_prompts,
    chooser,
    requests,
    rows_per_batch,
)
from lengthlens.generation.loaded import load
from lengthlens.generation.steps import annotate_steps
from lengthlens.language.prompts import Prompt
from lengthlens.language.words import count_words
from lengthlens.models.readout import readout_of
from lengthlens.models.vocabulary import CONTINUATION, Vocabulary
from lengthlens.weights.checkpoints import ModelSpec
from lengthlens.weights.shape import MAX_ROWS

TEXTS = ["Write about the sea!", "Is it green?", "Il mare è calmo", "What a year!", "The wind"]
PROMPTS = [
    Prompt(f"en-n{2 + i}-{i:04d}", "en", 2 + i, f"topic{i}", "a", "select", text)
    for i, text in enumerate(TEXTS)
]


def test_answers_come_in_the_order_of_prompts_and_draws(loaded) -> None:
    settings = changed(SETTINGS, temperature=1.0, samples=2)
    batches = list(answer_prompts(loaded, PROMPTS, settings, "whitespace"))
    assert [len(rows) for rows, _ in batches] == [3, 3, 3, 1]
    rows = [row for part, _ in batches for row in part]
    expected = [f"{prompt.id}#{draw}" for prompt in PROMPTS for draw in (0, 1)]
    assert [row["sample_id"] for row in rows] == expected
    assert [sample for _, batch in batches for sample in batch.samples.sample_id] == expected
    assert [r.sample_id for r in requests(loaded, PROMPTS, settings)] == expected
    by_id = {prompt.id: prompt for prompt in PROMPTS}
    for row in rows:
        prompt = by_id[row["prompt_id"]]
        for name in ("language", "n", "topic", "template", "split"):
            assert row[name] == getattr(prompt, name)
    assert any(a["tokens"] != b["tokens"] for a, b in zip(rows[::2], rows[1::2], strict=True))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_the_batch_size_changes_nothing(loaded, temperature: float) -> None:
    settings = changed(SETTINGS, temperature=temperature)
    runs = []
    for size in (1, 2, 5):
        parts = answer_prompts(loaded, PROMPTS, changed(settings, batch_size=size), "whitespace")
        runs.append([row for rows, _ in parts for row in rows])
    assert runs[0] == runs[1] == runs[2]


def test_rows_and_steps_tell_the_same_story(loaded) -> None:
    """Text, words and flags of every row follow from its tokens, and its steps from both."""
    for rows, batch in answer_prompts(loaded, PROMPTS, SETTINGS, "whitespace"):
        steps, samples = batch.steps, batch.samples
        assert samples.n_steps.sum() == len(steps) == len(batch.residuals.embed)
        np.testing.assert_array_equal(
            steps.sample, np.repeat(np.arange(len(rows)), samples.n_steps)
        )
        for i, row in enumerate(rows):
            part = slice(samples.first_step[i], samples.first_step[i] + samples.n_steps[i])
            mine = steps[part]
            assert mine.token.tolist() == row["tokens"]
            assert row["stopped"] == bool(np.isin(row["tokens"][-1], loaded.classes.stop))
            assert row["truncated"] == (not row["stopped"])
            assert row["stopped"] or len(row["tokens"]) == SETTINGS.max_new_tokens
            assert row["words"] == count_words(row["text"], "whitespace") == mine.words_after[-1]
            assert row["error"] == row["words"] - row["n"]
            marks = annotate_steps(
                row["tokens"], row["n"], loaded.vocabulary, loaded.decode_text, "whitespace"
            )
            for name, values in vars(marks).items():
                np.testing.assert_array_equal(getattr(mine, name), values, name)
            assert (mine.logit >= mine.ender_logit).all()  # greedy
            assert (mine.logit >= mine.word_logit).all()
            assert np.isfinite(mine.mean_logit).all()


def test_batch_size_is_a_function_of_memory_and_shape(loaded) -> None:
    """More memory, shorter prompts or no capture never mean smaller batches."""

    def rows(memory: float, tokens: int = 50, capture: bool = True, steps: int = 64) -> int:
        settings = SETTINGS.model_copy(
            update=dict(batch_size="auto", memory_gb=memory, max_new_tokens=steps)
        )
        return rows_per_batch(loaded, tokens, settings, capture)

    sizes = [rows(memory) for memory in (0.0005, 0.001, 0.01, 0.05, 1.0, 100.0)]
    assert sizes == sorted(sizes)
    assert sizes[0] >= 1 and sizes[1] < sizes[2] and sizes[-1] == MAX_ROWS
    assert rows(0.005, tokens=190) < rows(0.005) < rows(0.005, capture=False)
    assert rows(0.005, steps=128) < rows(0.005)
    assert rows_per_batch(loaded, 50, SETTINGS, True) == 3
    with pytest.raises(LengthlensError, match=r"memory_gb is 0.0001, but one answer.*raise memory"):
        rows(0.0001)


def test_more_positions_than_the_model_knows_are_refused(loaded) -> None:
    """transformers would go on without a word, or fail inside."""
    assert loaded.model.config.max_position_embeddings == 256
    settings = changed(SETTINGS, max_new_tokens=200)
    assert rows_per_batch(loaded, 56, settings, True) == 3
    with pytest.raises(
        LengthlensError, match=r"57 tokens and an answer of 200 are more than the 256"
    ):
        rows_per_batch(loaded, 57, settings, True)


def test_declared_memory_covers_cache_and_buffers(loaded) -> None:
    """Rows x (cache + recorded buffers), as they really are, fit with room for one copy of them."""
    settings = SETTINGS.model_copy(
        update=dict(batch_size="auto", memory_gb=0.01, max_new_tokens=64)
    )
    anatomy, prompt = loaded.anatomy, 50
    rows = rows_per_batch(loaded, prompt, settings, True)
    recorder = Recorder(anatomy, rows, 64)
    buffers = recorder._allocate(torch.zeros(rows, 1, anatomy.d_model))
    recorded = sum(b.nbytes for b in (buffers.embed, buffers.head, buffers.mlp))
    assert recorded == rows * 64 * anatomy.shape("float32").step_bytes(4)
    heads = loaded.model.config.num_key_value_heads
    cache = 2 * rows * anatomy.n_layers * heads * anatomy.d_head * (prompt + 64) * 4
    assert 0.4e7 < 2 * (recorded + cache) < 1e7


def test_vocabularies_without_words_are_refused(tiny_llama_dir, monkeypatch) -> None:
    nothing = Vocabulary(np.full(480, CONTINUATION, dtype=np.uint8))
    monkeypatch.setattr(
        "lengthlens.generation.loaded.classify_vocabulary", lambda *arguments: nothing
    )
    with pytest.raises(LengthlensError, match="tiny: no token of its tokenizer begins a word"):
        load(ModelSpec(name="tiny", variant="instruct", path=str(tiny_llama_dir)))


def test_the_chooser_follows_the_temperature(loaded) -> None:
    part = requests(loaded, PROMPTS[:2], SETTINGS)
    assert chooser(part, SETTINGS) is greedy
    sampler = chooser(part, changed(SETTINGS, temperature=0.7, top_p=0.9))
    assert (sampler.temperature, sampler.top_p) == (0.7, 0.9)
    assert sampler.uniforms.shape == (2, SETTINGS.max_new_tokens)


# --- running out of memory ----------------------------------------------------------------------


def answers(loaded, settings):
    parts = list(answer_prompts(loaded, PROMPTS, settings, "whitespace"))
    return [row for rows, _ in parts for row in rows], [batch for _, batch in parts]


def test_answers_are_those_of_enough_memory_and_the_layout_is_recorded(loaded, tmp_path) -> None:
    settings = changed(SETTINGS, batch_size=5)
    expected, _ = answers(loaded, settings)
    with memory_for(loaded.model, 2) as sizes:
        rows, batches = answers(loaded, settings)
    assert rows == expected and max(sizes) == 2
    layout = [size for batch in batches for size in batch.layout]
    assert layout == [2, 1, 2]
    path = tmp_path / "a.h5"
    with ActivationWriter(path, {"schema": "activations"}) as writer:
        for batch in batches:
            writer.write(batch)
    with open_activations(path) as recorded:
        assert recorded.provenance["batches"] == layout


def test_buffers_that_do_not_fit_make_smaller_batches(loaded, monkeypatch) -> None:
    """What is preallocated for the whole batch can only shrink with the batch."""
    allocate = Recorder._allocate

    def short(self, stream):
        if self._shape[1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return allocate(self, stream)

    settings = changed(SETTINGS, batch_size=5)
    expected, _ = answers(loaded, settings)
    monkeypatch.setattr(Recorder, "_allocate", short)
    rows, batches = answers(loaded, settings)
    assert rows == expected
    assert [len(batch.samples) for batch in batches] == [2, 1, 2]
    assert [sum(batch.layout) for batch in batches] == [2, 1, 2]


def test_one_answer_that_does_not_fit_is_refused_with_the_cure(loaded) -> None:
    message = (
        r"tiny ran out of memory on cpu with a batch of one answer \(en-n2-0000#0: \d+ tokens of "
        r"prompt, up to 9 more; generation.memory_gb is 1, which only plans.*device: split"
    )
    with memory_for(loaded.model, 0), pytest.raises(LengthlensError, match=message):
        answers(loaded, SETTINGS)


# --- other precisions, several samples ------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_half_precision_and_several_samples_end_to_end(
    tiny_llama_dir, tmp_path, dtype: str, temperature: float
) -> None:
    """Load, answer, record and attribute on the CPU; every answer is one of its own.

    What was recorded is the model's own to the last bit, so completeness is that of the precision:
    measured 7.4e-3 of the largest logit in bfloat16, 8.2e-4 in float16.
    """
    spec = ModelSpec(name="tiny", variant="instruct", path=str(tiny_llama_dir))
    loaded = load(spec, dtype=dtype)
    assert loaded.dtype == dtype
    settings = changed(SETTINGS, temperature=temperature, samples=3, batch_size=4)
    path = tmp_path / "a.h5"
    rows = []
    with ActivationWriter(path, {"schema": "activations"}) as writer:
        for answers_, batch in answer_prompts(loaded, PROMPTS, settings, "whitespace"):
            rows += answers_
            writer.write(batch)
    assert [row["sample_id"][-2:] for row in rows] == ["#0", "#1", "#2"] * len(PROMPTS)
    draws = [{tuple(row["tokens"]) for row in rows[i : i + 3]} for i in range(0, len(rows), 3)]
    assert all(len(three) == (3 if temperature else 1) for three in draws)
    with open_activations(path) as recorded:
        batch = next(iter(recorded.batches()))
        assert batch.residuals.head.dtype == getattr(torch, dtype)
        scores = attribute_batch(readout_of(loaded.model), batch)
    deviation = float((scores.completeness_error / scores.logit_scale).max())
    assert deviation <= TOLERANCES[dtype] / 2
