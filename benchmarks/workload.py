"""What the benchmark runs on: the study's prompts, the pocket pair's answers, random models.

The prompts are the study's own, for N = 3 … 9, as each pocket model is prompted (chat template or
plain text) and in its tokens. A random model would not know where to stop; the lengths of its
answers are therefore those of the pocket model's answers to the same prompts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM

from lengthlens.generation.answers import Request, requests
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.language.languages import load_language
from lengthlens.language.prompts import Prompt, build_prompts
from lengthlens.models.anatomy import dissect
from lengthlens.settings.sections import Generation
from lengthlens.weights.checkpoints import ModelSpec

ROOT = Path(__file__).parents[1]
N_WORDS = (3, 4, 5, 6, 7, 8, 9)
_SHAPE = (
    *("hidden_size", "intermediate_size"),
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
)
SIZES = {
    "1M": (128, 352, 6, 8, 4),
    "30M": (512, 1376, 8, 8, 4),
    "200M": (1024, 2752, 16, 16, 8),
}
SPECIAL = 3  # ids below are never produced, but for the token that ends an answer
STOP = 2


@dataclass(frozen=True)
class Work:
    """Batches of prompts of one N each, and how many tokens each answer has."""

    batches: list[list[Request]]
    lengths: list[list[int]]

    @property
    def tokens(self) -> int:
        return sum(map(sum, self.lengths))


def timed(work: Callable, *arguments: object) -> tuple[float, float, Any]:
    """CPU seconds, wall seconds and the result of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(*arguments)
    return time.process_time() - cpu, time.perf_counter() - wall, result


def english(per_n: int, n_words: Sequence[int] = N_WORDS) -> list[Prompt]:
    """The study's English prompts, as many for each N."""
    language = load_language(ROOT / "resources/languages/en.yaml")
    return [prompt for n in n_words for prompt in build_prompts(language, n, 0, per_n, 0)]


def pocket(variant: str) -> LoadedModel:
    """The pocket model of a variant."""
    folder = ROOT / "resources" / "pocket" / variant
    return load(ModelSpec(name=f"pocket-{variant}", variant=variant, path=str(folder)))


def generation(**changes: object) -> Generation:
    """The section `generation` of the defaults, with changes."""
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return Generation(**(defaults["generation"] | changes))


def study(loaded: LoadedModel, n_prompts: int, rows: int, cap: int) -> Work:
    """The study's English prompts, N by N, and the lengths of the model's answers.

    Args:
        loaded: the pocket model that answers.
        n_prompts: of all N together.
        rows: prompts in a batch, at most.
        cap: tokens of an answer, at most.
    """
    settings = generation(max_new_tokens=cap, batch_size=rows, memory_gb=1)
    language = load_language(ROOT / "resources" / "languages" / "en.yaml")
    batches, lengths = [], []
    for place, n in enumerate(N_WORDS):
        count = n_prompts * (place + 1) // len(N_WORDS) - n_prompts * place // len(N_WORDS)
        asked = requests(loaded, build_prompts(language, n, 0, count, 0), settings)
        for part in (asked[start : start + rows] for start in range(0, count, rows)):
            prompts = [request.tokens for request in part]
            answers = loaded.decode(prompts, cap).tokens
            batches.append(part)
            lengths.append([len(tokens) for tokens in answers])
    return Work(batches, lengths)


def random_llama(size: str, vocabulary: int) -> LlamaForCausalLM:
    """A random float32 Llama of the given size, in eval mode."""
    torch.manual_seed(0)
    shape = dict(zip(_SHAPE, SIZES[size], strict=True))
    special = {"eos_token_id": STOP, "bos_token_id": 1, "pad_token_id": 0}
    config = LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=False, **shape, **special)
    return LlamaForCausalLM(config).eval().requires_grad_(False)


def in_place_of(loaded: LoadedModel, model: LlamaForCausalLM) -> LoadedModel:
    """The pocket model's tokenizer and vocabulary with another model."""
    return dataclasses.replace(loaded, model=model, anatomy=dissect(model))


@contextlib.contextmanager
def saved(loaded: LoadedModel) -> Iterator[Path]:
    """A folder with the model and its tokenizer, for some tools want one."""
    with tempfile.TemporaryDirectory() as folder:
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        yield Path(folder)


def transformer_lens(loaded: LoadedModel, folder: Path | str):
    """TransformerLens' form of a copy of the model, which is saved in `folder`."""
    from transformer_lens.model_bridge import TransformerBridge

    copy = type(loaded.model)(loaded.model.config).eval()
    copy.load_state_dict(loaded.model.state_dict())
    bridge = TransformerBridge.boot_transformers(
        str(folder), hf_model=copy, tokenizer=loaded.tokenizer
    )
    bridge.enable_compatibility_mode(fold_value_biases=False)
    return bridge


def padded(prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Prompts padded on the left, and their mask."""
    width = max(map(len, prompts))
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids, mask


class ImposedLengths:
    """transformers' logits processor that ends row r after `lengths[r]` tokens, not before."""

    def __init__(self, lengths: list[int], prompt_tokens: int) -> None:
        self.lengths = torch.tensor(lengths)
        self.prompt_tokens = prompt_tokens

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        ends = self.lengths == ids.shape[1] - self.prompt_tokens + 1
        scores[:, :SPECIAL] = -torch.inf
        scores[ends] = -torch.inf
        scores[ends, STOP] = 0.0
        return scores


def imposed(lengths: list[int]):
    """The same for our decoding: how to choose a token."""
    ends = torch.tensor(lengths)

    def choose(step, rows, logits):
        best = logits[:, SPECIAL:].argmax(-1) + SPECIAL
        return torch.where(ends[rows] == step + 1, STOP, best)

    return choose
