"""The recipe, with its tiny budget."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from lengthlens.errors import LengthlensError
from lengthlens.pocket.checkpoint import SUMS, checksums, install_pair, load_pair_model
from lengthlens.pocket.evaluate import Answer, Request, answer, develop_requests, measure
from lengthlens.pocket.tokenizer import SPECIALS, TURN_END, encode
from lengthlens.pocket.training import (
    Phase,
    Recipe,
    document_rows,
    make_model,
    optimise,
    rate_at,
    train_pair,
)

ROOT = Path(__file__).parents[2]
BUDGETS = yaml.safe_load((ROOT / "config/pocket.yaml").read_text(encoding="utf-8"))
TINY = Recipe.from_dict(BUDGETS["tiny"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return folder, train_pair(TINY, folder)


def test_the_losses_fall(trained):
    _, losses = trained
    for values in losses.values():
        assert all(map(math.isfinite, values))
        assert sum(values[-4:]) < sum(values[:4])


def test_the_pair_loads_with_the_auto_classes(trained):
    folder, _ = trained
    for variant in ("base", "instruct"):
        model = AutoModelForCausalLM.from_pretrained(folder / variant, dtype="auto")
        tokenizer = AutoTokenizer.from_pretrained(folder / variant)
        assert model.dtype == torch.float16
        assert (tokenizer.chat_template is None) == (variant == "base")
    assert model.generation_config.eos_token_id == [
        tokenizer.convert_tokens_to_ids(TURN_END),
        tokenizer.eos_token_id,
    ]


def test_the_chat_template_puts_the_turns_in_special_tokens(trained):
    _, tokenizer = load_pair_model(trained[0] / "instruct")
    messages = [{"role": "user", "content": " Hi "}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert text == "<|begin|><|user|>Hi<|turn_end|><|assistant|>"
    with pytest.raises(Exception, match="not system"):
        tokenizer.apply_chat_template([{"role": "system", "content": "x"}], tokenize=False)


def test_tuning_leaves_the_words_embeddings_alone(trained):
    base, tokenizer = load_pair_model(trained[0] / "base")
    tuned, _ = load_pair_model(trained[0] / "instruct")
    special = tokenizer.convert_tokens_to_ids(list(SPECIALS))
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        changed = (base.state_dict()[name] != tuned.state_dict()[name]).any(dim=1)
        assert set(changed.nonzero().flatten().tolist()) <= set(special)
        assert changed.any()
    before, after = (model.model.layers[0].mlp.up_proj.weight for model in (base, tuned))
    assert not torch.equal(before, after)


def test_installing_copies_every_file_and_its_hash(trained, tmp_path):
    install_pair(trained[0], tmp_path)
    assert (tmp_path / SUMS).read_text(encoding="utf-8") == checksums(trained[0])


def test_installing_an_unfinished_pair_is_refused(tmp_path):
    with pytest.raises(LengthlensError, match="is not a trained pair"):
        install_pair(tmp_path, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_loss_that_is_not_finite_stops_the_training(trained):
    _, tokenizer = load_pair_model(trained[0] / "base")
    model = make_model(TINY, tokenizer)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = math.nan
    rows = document_rows(TINY, tokenizer)
    with pytest.raises(LengthlensError, match="loss of test is nan at step 0"):
        optimise(model, rows, TINY.pretraining, tokenizer.pad_token_id, "test")


def test_the_rate_warms_up_and_decays():
    phase = Phase(steps=100, batch=1, learning_rate=1.0, warmup=10, decay=0.5)
    assert [rate_at(step, phase) for step in (0, 9, 50, 75, 99)] == [0.1, 1.0, 1.0, 0.5, 0.02]


def test_greedy_answers_do_not_depend_on_the_batch(trained):
    model, tokenizer = load_pair_model(trained[0] / "instruct")
    requests = develop_requests(["en"], per_n=2, numbers=[3, 5])
    together = answer(model, tokenizer, requests, chat=True, max_new_tokens=6)
    alone = [answer(model, tokenizer, [r], chat=True, max_new_tokens=6)[0] for r in requests]
    assert [a.tokens for a in together] == [a.tokens for a in alone]


def test_measured_numbers(trained):
    _, tokenizer = load_pair_model(trained[0] / "base")
    request = Request("en", 3, ("sea", "seas"), "")
    texts = ["The sea sleeps.", "The seas sleep again.", "Look, a lake lies there."]
    answers = [Answer(request, t, encode(tokenizer, t), i < 2) for i, t in enumerate(texts)]
    numbers = measure(answers, tokenizer)
    assert numbers["exact"] == pytest.approx(1 / 3)
    assert numbers["error"] == pytest.approx(1)
    assert numbers["topic"] == pytest.approx(2 / 3)
    assert numbers["distinct"] == 1 and numbers["split"] == 1
    assert numbers["token_counter"] == 0
    assert numbers["stopped"] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_the_same_seed_trains_the_same_pair_with_or_without_checkpoints(trained, tmp_path):
    train_pair(replace(TINY, checkpoints=(2, 40)), tmp_path)
    assert checksums(tmp_path) == checksums(trained[0])
    models = [
        load_pair_model(tmp_path / name)[0].model.layers[0].mlp.up_proj.weight
        for name in ("base", "steps/2", "steps/40", "instruct")
    ]
    ends = [float((model - models[0]).norm()) for model in models]
    assert ends == sorted(ends) and len(set(ends)) == 4
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "steps/2")
    assert tokenizer.chat_template is not None


def test_a_checkpoint_beyond_tuning_is_refused():
    with pytest.raises(LengthlensError, match="checkpoints holds 80, but tuning"):
        Recipe.from_dict(BUDGETS["tiny"] | {"checkpoints": [2, 80]})


def test_series_and_seeds_are_trained_by_the_recipe():
    """Their configurations name what the recipe makes, and the claims name their models."""
    shipped = BUDGETS["shipped"]
    for seed in (1, 2):
        assert BUDGETS[f"seed{seed}"] == shipped | {"seed": seed}
    series = Recipe.from_dict(BUDGETS["series"])
    assert replace(series, checkpoints=()) == Recipe.from_dict(shipped)
    study = yaml.safe_load((ROOT / "config/pocket-series.yaml").read_text(encoding="utf-8"))
    steps = [0, *series.checkpoints, series.tuning.steps]
    places = {model["step"]: Path(model["path"]).name for model in study["models"].values()}
    assert places == dict(
        zip(steps, ["base", *map(str, series.checkpoints), "instruct"], strict=True)
    )
    seeds = yaml.safe_load((ROOT / "config/pocket-seeds.yaml").read_text(encoding="utf-8"))
    claims = yaml.safe_load((ROOT / "resources/claims.yaml").read_text(encoding="utf-8"))
    named = {model for row in claims["claims"] + claims["tests"] for model in row.get("models", ())}
    of_pocket = {name for name in named if name.startswith("pocket")}
    assert of_pocket == {pair["tuned"] for pair in seeds["pairs"]}
    for name, model in seeds["models"].items():
        _, seed, kind = name.split("-")
        assert model["path"] == f"results/pocket-training/{seed}/{kind}"


def test_the_shipped_budget_is_what_was_shipped():
    shipped = Recipe.from_dict(BUDGETS["shipped"])
    assert (shipped.layers, shipped.heads, shipped.kv_heads) == (6, 8, 4)
