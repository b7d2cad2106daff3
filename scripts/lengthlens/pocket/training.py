"""Pre-training and tuning of the pocket pair: one model, two phases, all from one seed.

1. the tokenizer learns from a sample of both phases' texts;
2. the base model learns the documents of `corpus`, one a row, every token;
3. the instruct model starts from it and learns the answers of the tuning examples; the embeddings
   and the output layer stay frozen but for the chat's special tokens, so that nouns that tuning
   never shows are still copied.

On one thread the result depends on the recipe alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as functional
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lengthlens.errors import LengthlensError
from lengthlens.pocket.checkpoint import load_pair_model, save_model
from lengthlens.pocket.corpus import TUNED, Corpus, Mixture
from lengthlens.pocket.lexicon import load_lexicon
from lengthlens.pocket.tokenizer import (
    BEGIN,
    END,
    SPECIALS,
    TURN_END,
    chat_prompt,
    encode,
    train_tokenizer,
)

IGNORED = -100
LIST_SHARE = 0.1  # of the tuning rows
BUCKET_BATCHES = 8  # batches sorted together by length, so that little is padding


@dataclass(frozen=True)
class Phase:
    """One training phase: steps of `batch` rows, AdamW with warm-up and a final linear decay."""

    steps: int
    batch: int
    learning_rate: float
    warmup: int
    decay: float  # share of the steps, at the end, over which the rate falls to zero


@dataclass(frozen=True)
class Recipe:
    """Everything the pair depends on (see config/pocket.yaml)."""

    seed: int
    learnt_merges: int
    tokenizer_passages: int
    tokenizer_requests: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    pretraining: Phase
    tuning: Phase
    mixture: Mixture  # of the tuning examples
    checkpoints: tuple[int, ...] = ()  # steps of tuning after which the model is saved, too

    @classmethod
    def from_dict(cls, values: dict) -> Recipe:
        """From the budget's mapping in config/pocket.yaml."""
        phases = {name: Phase(**values[name]) for name in ("pretraining", "tuning")}
        saved = tuple(values.get("checkpoints", ()))
        late = [step for step in saved if not 0 < step < phases["tuning"].steps]
        if late:
            raise LengthlensError(
                f"checkpoints holds {late[0]}, but tuning has the steps 1 to "
                f"{phases['tuning'].steps}, the last of which is the tuned model itself"
            )
        made = {"mixture": Mixture(**values["mixture"]), "checkpoints": saved}
        return cls(**{**values, **phases, **made})


@dataclass(frozen=True)
class Row:
    """One training row: its tokens and the position from which on tokens are learnt."""

    tokens: list[int]
    first: int


def make_tokenizer(recipe: Recipe) -> PreTrainedTokenizerFast:
    """The tokenizer, learnt from natural-language texts of both phases."""
    lexicon = load_lexicon()
    corpus = Corpus(lexicon, recipe.seed + 1)
    texts = list(corpus.word_samples(recipe.tokenizer_passages))
    examples = [corpus.example() for _ in range(recipe.tokenizer_requests)]
    texts += [example.request for example in examples if example.language != "qaa"]
    return train_tokenizer(texts, lexicon, recipe.learnt_merges)


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh model."""
    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.1)
    return model


def document_rows(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[Row]:
    """Pre-training rows without end: begin, text, end; every token is learnt."""
    corpus = Corpus(load_lexicon(), recipe.seed + 2)
    begin, end = tokenizer.convert_tokens_to_ids([BEGIN, END])
    while True:
        tokens = [begin, *encode(tokenizer, corpus.document()), end]
        yield Row(tokens, 1)


def example_rows(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Iterator[Row]:
    """Tuning rows without end: chats, of which the answer and its end are learnt, and some lists.

    The lists are those of pre-training: they keep alive what no chat shows, copying any noun.
    """
    corpus = Corpus(load_lexicon(), recipe.seed + 3)
    begin, end, turn_end = tokenizer.convert_tokens_to_ids([BEGIN, END, TURN_END])
    while True:
        if corpus.random.random() < LIST_SHARE:
            listed = corpus.noun_list(corpus.random.choice(TUNED))
            yield Row([begin, *encode(tokenizer, listed), end], 1)
            continue
        example = corpus.example(recipe.mixture)
        before = encode(tokenizer, chat_prompt(tokenizer, example.request))
        yield Row([*before, *encode(tokenizer, example.answer), turn_end], len(before))


def batches(
    rows: Iterator[Row], phase: Phase, pad: int
) -> Iterator[tuple[Int[Tensor, "row token"], Int[Tensor, "row token"]]]:
    """Right-padded inputs and labels; rows of like length share a batch, batches come shuffled."""
    generator = torch.Generator().manual_seed(phase.steps)
    while True:
        pool = [next(rows) for _ in range(phase.batch * BUCKET_BATCHES)]
        pool.sort(key=lambda row: len(row.tokens))
        for index in torch.randperm(BUCKET_BATCHES, generator=generator).tolist():
            part = pool[index * phase.batch : (index + 1) * phase.batch]
            learnt = [[IGNORED] * row.first + row.tokens[row.first :] for row in part]
            yield _padded((row.tokens for row in part), pad), _padded(learnt, IGNORED)


def _padded(rows: Iterable[list[int]], value: int) -> Int[Tensor, "row token"]:
    return pad_sequence([torch.tensor(row) for row in rows], True, value)


def loss_of(model: LlamaForCausalLM, inputs, labels, tied: bool) -> Tensor:
    """Mean cross-entropy of the labelled tokens; logits are made only where there is a label.

    Rows are padded on the right, so that the causal mask alone keeps padding out. With `tied` the
    embedding takes the place of the output layer.
    """
    hidden = model.model(input_ids=inputs).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    kept = wanted != IGNORED
    output = model.model.embed_tokens if tied else model.lm_head
    return functional.cross_entropy(functional.linear(hidden[kept], output.weight), wanted[kept])


def rate_at(step: int, phase: Phase) -> float:
    """Factor of the learning rate: linear warm-up, plateau, linear decay to zero."""
    decay_steps = phase.decay * phase.steps
    return min(1.0, (step + 1) / phase.warmup, (phase.steps - step) / decay_steps)


def optimise(
    model,
    rows: Iterator[Row],
    phase: Phase,
    pad: int,
    name: str,
    tied: bool = False,
    after: Callable[[int], None] = lambda step: None,
) -> list[float]:
    """Run a phase in place and return the losses; `after` is told how many steps are done.

    Raises:
        LengthlensError: a loss is not finite.
    """
    decays = {p: p.ndim == 2 and "layers" in name for name, p in model.named_parameters()}
    groups = [
        {"params": [p for p, decayed in decays.items() if decayed == kind], "weight_decay": decay}
        for kind, decay in ((True, 0.01), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=phase.learning_rate, betas=(0.9, 0.95))
    losses = []
    model.train()
    stream = batches(rows, phase, pad)
    for step in tqdm(range(phase.steps), desc=name, mininterval=5):
        for group in optimizer.param_groups:
            group["lr"] = phase.learning_rate * rate_at(step, phase)
        loss = loss_of(model, *next(stream), tied)
        if not math.isfinite(loss.item()):
            raise LengthlensError(
                f"the loss of {name} is {loss.item()} at step {step}: training has diverged; "
                "lower `learning_rate` or lengthen `warmup` in config/pocket.yaml"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        after(step + 1)
    return losses


@contextlib.contextmanager
def frozen_words(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Iterator[None]:
    """Keep all rows of embedding and output layer but the special tokens' as they are."""
    trained = torch.zeros(len(tokenizer), 1)
    trained[tokenizer.convert_tokens_to_ids(list(SPECIALS))] = 1.0
    weights = (model.model.embed_tokens.weight, model.lm_head.weight)
    handles = [weight.register_hook(lambda gradient: gradient * trained) for weight in weights]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def pretrain(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast
) -> tuple[LlamaForCausalLM, list[float]]:
    """Train the base model; returns it with the losses.

    The output layer is the embedding until the end, when it becomes a copy of it: tied like this, a
    noun that is seldom written is copied as well as others.
    """
    model = make_model(recipe, tokenizer)
    rows, pad = document_rows(recipe, tokenizer), tokenizer.pad_token_id
    losses = optimise(model, rows, recipe.pretraining, pad, "pre-training", tied=True)
    with torch.no_grad():
        model.lm_head.weight.copy_(model.model.embed_tokens.weight)
    return model.eval(), losses


def tune(
    model: LlamaForCausalLM, recipe: Recipe, tokenizer: PreTrainedTokenizerFast, folder: Path
) -> list[float]:
    """Turn the base model, in place, into the instruct model; returns the losses.

    Its checkpoints go to `folder`/{step}.
    """

    def save(step: int) -> None:
        if step in recipe.checkpoints:
            save_model(model, tokenizer, folder / str(step), "instruct")

    rows, pad = example_rows(recipe, tokenizer), tokenizer.pad_token_id
    with frozen_words(model, tokenizer):
        losses = optimise(model, rows, recipe.tuning, pad, "tuning", after=save)
    model.eval()
    return losses


def train_pair(recipe: Recipe, folder: Path) -> dict[str, list[float]]:
    """Train both models, save them to `folder`/base and `folder`/instruct; returns the losses.

    Checkpoints of tuning, if the recipe names any, go to `folder`/steps/{step}. The instruct model
    starts from the base model as it was saved, rounded to float16.
    """
    torch.set_num_threads(1)
    tokenizer = make_tokenizer(recipe)
    model, pretraining = pretrain(recipe, tokenizer)
    save_model(model, tokenizer, folder / "base", "base")
    model = load_pair_model(folder / "base")[0]
    tuning = tune(model, recipe, tokenizer, folder / "steps")
    save_model(model, tokenizer, folder / "instruct", "instruct")
    return {"pre-training": pretraining, "tuning": tuning}
