"""Tuning a LoRA adapter on sentences of known length.

1. The base model is loaded as the study loads models, and gets its adapter from `peft`.
2. Every step is a batch of `rows`. What all prompts share (the chat template's system prompt) is
   computed once; only the answer and its stop token are learnt.
3. The loss is the cross-entropy of the answer's tokens, plus `end_weight` times that of one bit at
   each of them: whether the sentence ends here. Counting shows in this bit alone, which most words
   of a sentence say nothing of. Both are proper scores, so the second biases no length.
4. Every `evaluate_every` steps the merged model answers the development prompts. The best adapter
   of these is the result: most answers exact, then the smallest error.
5. Every `save_every` steps everything that the next step depends on is written to one file, from
   which a training goes on that was killed. On the same number of threads it ends with the same
   adapter, bit for bit.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as functional
from jaxtyping import Float, Int
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import save
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from lengthlens.decoding.forward import common_prefix
from lengthlens.errors import LengthlensError
from lengthlens.files.whole import write_text, written_whole
from lengthlens.generation.loaded import LoadedModel, assemble, load
from lengthlens.models.loading import load_generation_config
from lengthlens.tuning.development import DATE, Numbers, answer_greedily, measure
from lengthlens.tuning.recipe import Recipe, check_base
from lengthlens.tuning.rows import Row, Rows, develop_prompts
from lengthlens.weights.checkpoints import ModelSpec

RESUME = "resume.pt"
IGNORED = -100


@dataclass
class Progress:
    """What was measured so far."""

    losses: list[tuple[float, float]] = field(default_factory=list)  # by step: answer, end
    developments: dict[int, Numbers] = field(default_factory=dict)  # by steps done
    best: dict[str, Tensor] = field(default_factory=dict)  # the best adapter, as it is stored

    def is_best(self, step: int) -> bool:
        """Whether no other development was better than that after `step`."""
        found = {i: (x["exact"], -x["absolute_error"]) for i, x in self.developments.items()}
        return found[step] == max(found.values())


class Tuning:
    """One training, from the beginning or from where it was killed.

    Args:
        recipe: what to do.
        root: where the recipe's relative paths start.
        folder: for what is made: `resume.pt`, `steps/{step}`, `adapter`.

    Raises:
        LengthlensError: base, sentences or wordings are missing; or the folder holds a training by
            another recipe.
    """

    def __init__(self, recipe: Recipe, root: Path, folder: Path) -> None:
        base = check_base(recipe, root)
        self.recipe, self.folder = recipe, folder
        self.rows = Rows.of(recipe, root)
        self.identity = identity(recipe, base, self.rows)
        self.prompts = develop_prompts(recipe, self.rows.wordings)
        spec = ModelSpec("base", "instruct", path=str(base.resolve()))
        self.loaded = load(spec, dtype=recipe.precision, device="cpu", threads=recipe.threads)
        self.turn_end = _turn_end(self.loaded)
        torch.manual_seed(recipe.seed)
        self.peft = with_adapter(self.loaded, recipe)
        self.model = self.peft.get_base_model()  # its linear maps are peft's from here on
        self.trained = [p for p in self.peft.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, weight_decay=0.0)
        self.progress = Progress()
        self.step = 0
        self._resume()

    def run(self) -> Progress:
        """Tune to the end."""
        recipe = self.recipe
        bar = tqdm(total=recipe.steps, initial=self.step, desc="tuning", mininterval=5)
        while self.step < recipe.steps:
            answer, end = self._learn()
            self.progress.losses.append((answer, end))
            self.step += 1
            last = self.step == recipe.steps
            if self.step in recipe.series:
                self._write(f"steps/{self.step}", self._stored())
            if last or self.step % recipe.evaluate_every == 0:
                self._develop()
            if last or self.step % recipe.save_every == 0:
                self._save()
            bar.set_postfix(answer=f"{answer:.2f}", end=f"{end:.3f}", refresh=False)
            bar.update()
        bar.close()
        self._write("adapter", self.progress.best)
        return self.progress

    def encode(self, row: Row) -> tuple[list[int], list[int]]:
        """Tokens of a row's prompt, and of its answer with what closes a turn of the template."""
        prompt = self.loaded.encode(row.request, DATE)
        answer = self.loaded.tokenizer(row.answer, add_special_tokens=False).input_ids
        return prompt, [*answer, self.turn_end]

    def _learn(self) -> tuple[float, float]:
        """One step of the optimizer; the two losses."""
        batch = self.rows.batch(self.step)
        answer, end = row_losses(self.model, [self.encode(row) for row in batch])
        loss = answer + self.recipe.end_weight * end
        if not torch.isfinite(loss):
            raise LengthlensError(
                f"the loss is {loss.item()} at step {self.step}: lower `learning_rate` in "
                "config/adapter.yaml"
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return answer.item(), end.item()

    def _stored(self) -> dict[str, Tensor]:
        """The adapter's weights, rounded to float16 as they are stored."""
        state = get_peft_model_state_dict(self.peft)
        return {name: value.detach().to(torch.float16) for name, value in state.items()}

    def merged(self) -> LoadedModel:
        """The model with the adapter, as stored, merged into a copy of its weights."""
        copied = copy.deepcopy(self.peft)
        rounded = {name: value.float() for name, value in self._stored().items()}
        set_peft_model_state_dict(copied, rounded)
        spec = self.loaded.spec
        declared = load_generation_config(spec)
        return assemble(spec, copied.merge_and_unload().eval(), self.loaded.tokenizer, declared)

    def _develop(self) -> None:
        """Answer the development prompts; keep the adapter if it is the best one so far."""
        rows = answer_greedily(self.merged(), self.prompts)
        numbers = measure(rows, self.rows.wordings.develop_topics)
        self.progress.developments[self.step] = numbers
        if self.progress.is_best(self.step):
            self.progress.best = self._stored()
        kept = [{key: row[key] for key in ("n", "words", "text")} for row in rows]
        lines = "".join(json.dumps(row) + "\n" for row in kept)
        write_text(self.folder / f"answers/{self.step}.jsonl", lines)
        told = ", ".join(f"{name} {value:.2f}" for name, value in numbers.items())
        tqdm.write(f"after {self.step} steps: {told}")

    def _save(self) -> None:
        """Write everything that the next step depends on."""
        state = {
            "identity": self.identity,
            "step": self.step,
            "adapter": get_peft_model_state_dict(self.peft),
            "optimizer": self.optimizer.state_dict(),
            **vars(self.progress),
        }
        # NOTE by way of bytes: a full disk then is an OSError, which the job tells in plain words.
        content = io.BytesIO()
        torch.save(state, content)
        with written_whole(self.folder / RESUME) as path:
            path.write_bytes(content.getbuffer())

    def _resume(self) -> None:
        """Go on where a killed training by the same recipe was saved last, if there is one."""
        path = self.folder / RESUME
        if not path.exists():
            return
        try:
            state = torch.load(path, weights_only=True)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            raise LengthlensError(
                f"{path} is damaged ({str(error).partition(chr(10))[0]}); delete it to begin anew"
            ) from error
        if state["identity"] != self.identity:
            raise LengthlensError(
                f"{path} is of a training by another recipe or code, or on another model or other "
                f"data; delete {self.folder} to begin anew, or undo the change to go on"
            )
        set_peft_model_state_dict(self.peft, state["adapter"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.progress = Progress(**{name: state[name] for name in vars(self.progress)})

    def _write(self, name: str, weights: dict[str, Tensor]) -> None:
        """Write an adapter as peft reads it."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        described = copy.deepcopy(self.peft.peft_config["default"])
        described.inference_mode = True
        # NOTE by name: a path of this machine means nothing on another.
        told = self.recipe.base_name or Path(self.recipe.base).name
        described.base_model_name_or_path = told
        described.save_pretrained(folder)
        with written_whole(folder / "adapter_model.safetensors") as path:
            path.write_bytes(save({key: weights[key].contiguous() for key in sorted(weights)}))


def with_adapter(loaded: LoadedModel, recipe: Recipe) -> PeftModel:
    """The base model with a fresh adapter, put into it by peft."""
    try:
        return get_peft_model(loaded.model, LoraConfig(task_type="CAUSAL_LM", **recipe.lora))
    except (TypeError, ValueError) as error:
        raise LengthlensError(
            f"`lora` of config/adapter.yaml does not fit {loaded.spec.source}: {error}"
        ) from error


def _turn_end(loaded: LoadedModel) -> int:
    """The token that ends an answer in the chat template."""
    turn_end = loaded.stops.turn_end if loaded.stops else None
    if turn_end is None:
        raise LengthlensError(
            f"the chat template of {loaded.spec.source} closes no turn with a token of its own, "
            "so an answer could not be taught to end; tune a model whose template does"
        )
    return turn_end


def identity(recipe: Recipe, base: Path, rows: Rows) -> str:
    """A hash of all that a training depends on: recipe, weights, sentences, wordings and code."""
    made = hashlib.sha256(
        recipe.model_dump_json(exclude={"base", "base_name", "sentences", "wordings"}).encode()
    )
    made.update(repr((rows.sentences, rows.wordings)).encode())
    own = Path(__file__).parent.glob("*.py")
    for path in (*sorted(base.glob("*.safetensors")), *sorted(own)):
        with path.open("rb") as file:
            made.update(hashlib.file_digest(file, "sha256").digest())
    return made.hexdigest()


def row_losses(
    model: torch.nn.Module, batch: list[tuple[list[int], list[int]]]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean losses over the answers' tokens: of the token, and of whether the sentence ends there.

    Args:
        model: a causal language model.
        batch: tokens of each row's prompt and of its answer; an answer's last two tokens are the
            mark that ends the sentence and the stop token.

    The prompts' common beginning is computed once. Rows are padded on the right, so that the
    causal mask alone keeps padding out, and logits are made only where some row has its answer.
    """
    shared = common_prefix([prompt for prompt, _ in batch])
    inputs, labels = padded_rows(batch, shared)
    cache = None
    if shared:
        prefix = torch.tensor([batch[0][0][:shared]])
        cache = model(input_ids=prefix, use_cache=True, logits_to_keep=1).past_key_values
        cache.batch_repeat_interleave(len(batch))
    learnt = (labels != IGNORED).any(0).nonzero()[:, 0]
    logits = model(input_ids=inputs, past_key_values=cache, logits_to_keep=learnt).logits
    labels = labels[:, learnt]
    kept = labels != IGNORED
    logits, labels = logits[kept].float(), labels[kept]
    enders = torch.tensor(sorted({answer[-2] for _, answer in batch}))
    scores = logits.log_softmax(-1)
    ending = scores[:, enders].logsumexp(-1).clamp(max=-1e-6)
    ends = torch.isin(labels, enders)
    going_on = torch.log1p(-ending.exp())
    return functional.nll_loss(scores, labels), -torch.where(ends, ending, going_on).mean()


def padded_rows(
    batch: list[tuple[list[int], list[int]]], shared: int
) -> tuple[Int[Tensor, "row token"], Int[Tensor, "row token"]]:
    """Inputs without the first `shared` tokens, and the token to be learnt after each of them."""
    inputs = [torch.tensor([*prompt[shared:], *answer[:-1]]) for prompt, answer in batch]
    labels = [
        torch.tensor([IGNORED] * (len(prompt) - shared - 1) + answer) for prompt, answer in batch
    ]
    return (
        pad_sequence(inputs, batch_first=True),
        pad_sequence(labels, batch_first=True, padding_value=IGNORED),
    )
