"""What jobs ask for follows the model's size; what a dump costs is what the files take."""

import json
from pathlib import Path

import pytest
from small_project import generation
from transformers import AutoConfig, AutoModelForCausalLM

from lengthlens.generation.answers import rows_per_batch
from lengthlens.generation.loaded import load
from lengthlens.models.anatomy import dissect
from lengthlens.weights.checkpoints import ModelSpec
from lengthlens.weights.shape import Shape
from lengthlens.workflow.footprint import (
    PROMPT_TOKENS,
    SHORTEST_MINUTES,
    _rows,
    attribution_need,
    decoding_need,
    joining_need,
)

ROOT = Path(__file__).parents[2]
LLAMA_8B = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "torch_dtype": "bfloat16",
}
GENERATION = {
    "max_new_tokens": 256,
    "batch_size": "auto",
    "memory_gb": 6,
    "dtype": "bfloat16",
    "threads": 4,
}


def manifest(config: dict = LLAMA_8B, size: int = 16_060_000_000) -> dict:
    return {"bytes": size, "shape": Shape.from_config(config).values()}


def test_a_recorded_token_of_llama_8b_takes_532_kilobytes():
    """32 layers of 32 × 128 head inputs and 4096 of the MLP, and the embedding, in two bytes."""
    shape = Shape.from_config(LLAMA_8B)
    assert shape.step_bytes(2) == 532_480
    assert shape.cache_bytes(1, 2) == 131_072
    assert 82_600 * shape.step_bytes(2) == pytest.approx(44e9, rel=0.01)


@pytest.mark.parametrize("folder", ["resources/pocket/base", "resources/pocket/instruct"])
def test_a_shape_agrees_with_the_model(folder: str):
    """The sizes that config.json tells are those of the model that is loaded."""
    shape = Shape.from_config(json.loads((ROOT / folder / "config.json").read_text()))
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(ROOT / folder))
    assert shape == dissect(model).shape(shape.dtype)


def test_other_names_and_odd_files():
    gpt2 = {"n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257}
    assert Shape.from_config(gpt2) == Shape(12, 768, 12, 12, 64, 50257, "float32")
    nested = {"text_config": LLAMA_8B | {"head_dim": 256}}
    assert Shape.from_config(nested).d_head == 256
    assert Shape.from_config({"hidden_size": 3}) is None


def test_what_a_generating_job_of_llama_8b_asks_for():
    need = decoding_need(manifest(), GENERATION, "cuda", 100, recorded=True)
    assert 16_000 < need.mem_mb < 32_000
    assert need.disk_mb == pytest.approx(100 * 256 * 0.53248, rel=0.02)
    assert SHORTEST_MINUTES <= need.runtime < 60
    without = decoding_need(manifest(), GENERATION, "cuda", 100, recorded=False)
    assert without.disk_mb == 100
    in_float32 = decoding_need(manifest(), GENERATION | {"dtype": "auto"}, "cpu", 100, False)
    assert in_float32.mem_mb > 32_000
    assert in_float32.runtime > 100 * need.runtime / 60


def test_needs_grow_with_work_and_with_attempts():
    few = decoding_need(manifest(), GENERATION, "cpu", 10, recorded=True)
    many = decoding_need(manifest(), GENERATION, "cpu", 1000, recorded=True)
    assert many.runtime > 50 * few.runtime
    assert many.mem_mb == few.mem_mb  # batches are cut to the declared memory
    assert few.times(3).mem_mb == 3 * few.mem_mb
    assert few.times(3).disk_mb == few.disk_mb


def test_attribution_never_needs_the_whole_model():
    need = attribution_need(manifest(), GENERATION, "cuda", 700)
    whole = decoding_need(manifest(), GENERATION, "cuda", 700, recorded=False)
    assert need.mem_mb < whole.mem_mb
    # Measured: 4.0 GB, for 4,000 tokens and for 8,000 (docs/cluster.md).
    assert 4_500 < need.mem_mb < 6_000
    assert attribution_need(manifest(), GENERATION, "cuda", 10 * 700).mem_mb == need.mem_mb
    pocket = json.loads((ROOT / "resources/pocket/base/config.json").read_text())
    small = attribution_need(manifest(pocket, 4_000_000), GENERATION, "cpu", 24)
    assert small.runtime == SHORTEST_MINUTES
    unknown = {"bytes": 10**9, "shape": None}
    assert attribution_need(unknown, GENERATION, "cpu", 24).mem_mb > 2000
    assert decoding_need(unknown, GENERATION, "cpu", 24, recorded=True).disk_mb == 100


def test_joining_scores_takes_little():
    """0.12 MB an answer, in three copies at most, and no weights."""
    few, many = (joining_need(manifest(), answers) for answers in (70, 7000))
    assert few.runtime == many.runtime == SHORTEST_MINUTES
    assert (many.mem_mb - few.mem_mb) / 6930 == pytest.approx(0.355, rel=0.05)
    assert few.mem_mb < 0.5 * attribution_need(manifest(), GENERATION, "cuda", 70).mem_mb


def test_time_follows_the_batches_that_memory_allows():
    """17 captured answers of Llama 3.1 8B share 6 GB, and 160 share 56 (docs/cluster.md)."""

    def minutes(answers: int, captured: bool = True, **changes) -> int:
        return decoding_need(
            manifest(), GENERATION | changes, "cuda", answers, False, captured
        ).runtime

    assert minutes(17 * 60) == pytest.approx(minutes(60, batch_size=1), abs=1)
    assert minutes(160 * 60, memory_gb=56) == pytest.approx(minutes(60, batch_size=1), abs=1)
    assert minutes(17 * 60, captured=False) < minutes(17 * 60) / 2


@pytest.mark.parametrize("captured", [True, False])
def test_batches_are_those_of_the_generating_code(captured: bool):
    """`footprint` has only the manifest, `generation` the loaded model; both say the same."""
    folder = ROOT / "resources/pocket/base"
    shape = Shape.from_config(json.loads((folder / "config.json").read_text()))
    loaded = load(ModelSpec("pocket", "base", path=str(folder)))
    settings = {"max_new_tokens": 64, "batch_size": "auto", "memory_gb": 0.1}
    found = rows_per_batch(loaded, PROMPT_TOKENS, generation(**settings), capture=captured)
    assert _rows(shape, settings, 4, captured) == found > 1
