"""Tuning, on a tiny random model."""

import json
import math
from pathlib import Path
from random import Random

import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file

from lengthlens.errors import LengthlensError
from lengthlens.tuning.development import measure
from lengthlens.tuning.recipe import Recipe
from lengthlens.tuning.training import RESUME, Tuning, row_losses

ROOT = Path(__file__).parents[2]
RECIPES = yaml.safe_load((ROOT / "config/adapter.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tiny(tiny_llama_dir, tmp_path_factory):
    """A recipe for the random Llama, with few sentences."""
    sentences = tmp_path_factory.mktemp("data") / "sentences.txt"
    lines = (ROOT / RECIPES["tiny"]["sentences"]).read_text(encoding="utf-8").splitlines()
    sentences.write_text("\n".join(lines[::40]) + "\n", encoding="utf-8")
    values = RECIPES["tiny"] | {"base": str(tiny_llama_dir), "sentences": str(sentences)}
    return Recipe.read("tiny", values)


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, Tuning(tiny, ROOT, folder).run()


def encoded(tuning, count):
    return [tuning.encode(tuning.rows.draw(Random(i))[0]) for i in range(count)]


def test_a_killed_training_ends_with_the_same_adapter(tiny, whole, tmp_path, monkeypatch):
    """Killed after step 5 of 8, saved at 3: the steps 4 and 5 are done again, alike."""
    folder, progress = whole
    learn = Tuning._learn

    def killed(self):
        if self.step == 5:
            raise KeyboardInterrupt
        return learn(self)

    with monkeypatch.context() as patch:
        patch.setattr(Tuning, "_learn", killed)
        with pytest.raises(KeyboardInterrupt):
            Tuning(tiny, ROOT, tmp_path).run()
    assert not (tmp_path / "adapter").exists()
    again = Tuning(tiny, ROOT, tmp_path)
    assert again.step == 3
    resumed = again.run()
    assert resumed.losses == progress.losses and len(resumed.losses) == tiny.steps == 8
    assert resumed.developments == progress.developments
    for name in ("adapter", *(f"steps/{step}" for step in tiny.series)):
        mine, theirs = (f / name / "adapter_model.safetensors" for f in (tmp_path, folder))
        assert mine.read_bytes() == theirs.read_bytes()


def test_a_finished_training_is_not_done_again(tiny, whole):
    folder, progress = whole
    assert Tuning(tiny, ROOT, folder).step == tiny.steps


def test_another_recipe_does_not_go_on(tiny, whole):
    folder, _ = whole
    with pytest.raises(LengthlensError, match="is of a training by another recipe"):
        Tuning(tiny.model_copy(update={"learning_rate": 0.5}), ROOT, folder)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_save_is_told(tiny, whole, tmp_path, share):
    content = (whole[0] / RESUME).read_bytes()
    (tmp_path / RESUME).write_bytes(content[: int(share * len(content))])
    with pytest.raises(LengthlensError, match="resume.pt is damaged .*; delete it to begin anew"):
        Tuning(tiny, ROOT, tmp_path)


def test_the_adapter_loads_with_peft_and_gives_the_merged_model(tiny, whole, tmp_path):
    """logits(base + adapter by peft) = logits(merged), the adapter as stored."""
    folder, _ = whole
    tuning = Tuning(tiny, ROOT, folder)
    described = json.loads((folder / "adapter/adapter_config.json").read_text(encoding="utf-8"))
    assert described["base_model_name_or_path"] == Path(tiny.base).name
    weights = load_file(folder / "adapter/adapter_model.safetensors")
    assert all(value.dtype == torch.float16 for value in weights.values())
    merged = tuning.merged().model
    base = tuning.peft.unload()
    ids = torch.tensor([[5, 6, 7, 8]])
    before = base(input_ids=ids).logits
    again = PeftModel.from_pretrained(base, folder / "adapter")
    after = again(input_ids=ids).logits
    assert (after - before).abs().max() > 1e-3
    if tuning.progress.is_best(tiny.steps):
        assert torch.allclose(after, merged(input_ids=ids).logits, atol=1e-5)


def test_losses_are_those_of_each_row_alone(tiny, tmp_path):
    """Sharing the prompts' beginning and padding change no loss: cross-entropy and the end's bit

    -log p(token), and -log(y p_end + (1 - y) (1 - p_end)) with y = 1 at the full stop.
    """
    tuning = Tuning(tiny, ROOT, tmp_path)
    batch = encoded(tuning, 6)
    with torch.no_grad():
        answer, end = row_losses(tuning.model, batch)
        wanted = []
        for prompt, tokens in batch:
            logits = tuning.model(input_ids=torch.tensor([prompt + tokens])).logits
            scores = logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            ending = scores[:, tokens[-2]].exp()
            is_end = torch.tensor([token == tokens[-2] for token in tokens])
            bits = torch.where(is_end, ending, 1 - ending).log()
            wanted.append(torch.stack([scores[range(len(tokens)), tokens], bits]))
    expected = -torch.cat(wanted, 1).mean(1)
    assert torch.allclose(torch.stack([answer, end]), expected, atol=1e-5)
    assert len({len(prompt) + len(tokens) for prompt, tokens in batch}) > 3
    assert {tokens[-1] for _, tokens in batch} == {tuning.loaded.stops.turn_end}


def test_only_the_adapter_learns(tiny, tmp_path):
    tuning = Tuning(tiny, ROOT, tmp_path)
    start = {name: value.clone() for name, value in tuning.model.state_dict().items()}
    first, *_ = [tuning._learn() for _ in range(2)]
    assert all(map(math.isfinite, first))
    for name, value in tuning.model.state_dict().items():
        assert torch.equal(value, start[name]) == ("lora_" not in name), name
        # lora_A does not move while lora_B is 0, but B has moved after the first step.


def test_an_adapter_that_does_not_fit_is_refused(tiny, tmp_path):
    for lora in ({"target_modules": ["q_projection"]}, {"rank": 3}):
        with pytest.raises(LengthlensError, match="`lora` of .* does not fit .*: "):
            Tuning(tiny.model_copy(update={"lora": lora}), ROOT, tmp_path)


def test_a_loss_that_is_not_finite_stops_the_training(tiny, tmp_path):
    tuning = Tuning(tiny, ROOT, tmp_path)
    with torch.no_grad():
        tuning.model.lm_head.weight[0, 0] = math.nan
    with pytest.raises(LengthlensError, match="the loss is nan at step 0: lower `learning_rate`"):
        tuning.run()
    assert not (tmp_path / RESUME).exists()


def test_the_rate_warms_up_and_decays(tiny):
    values = {"steps": 100, "learning_rate": 1.0, "warmup": 10, "decay": 0.5}
    recipe = tiny.model_copy(update=values)
    assert [recipe.rate(step) for step in (0, 9, 50, 75, 99)] == [0.1, 1.0, 1.0, 0.5, 0.02]


def test_measured_numbers():
    """Chance is that of every answer with every n: here 3 of 9 pairs fit."""
    texts = {3: "The sea sleeps.", 4: "The seas sleep.", 5: "Look, a lake lies there."}
    rows = [
        {"n": n, "words": len(text.split()), "text": text, "topic": "sea", "stopped": n < 5}
        for n, text in texts.items()
    ]
    assert measure(rows, {"sea": ["sea", "seas"]}) == pytest.approx(
        {
            "exact": 2 / 3,
            "chance": 1 / 3,
            "error": -1 / 3,
            "absolute_error": 1 / 3,
            "slope": 1.0,
            "topic": 2 / 3,
            "distinct": 1,
            "stopped": 2 / 3,
        }
    )
