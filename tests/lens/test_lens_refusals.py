"""What a Lens cannot explain, or is asked wrongly, is refused with the reason and the cure."""

from __future__ import annotations

import copy

import pytest
import torch
from hidden import hidden_model
from lens_models import lens_of, pair, tiny_gpt2, tiny_llama
from tiny_tokenizers import byte_level_tokenizer
from transformers import T5Config, T5ForConditionalGeneration
from unlisted import REFUSED, unlisted_model

from lengthlens.errors import LengthlensError
from lengthlens.lens.lens import Lens
from lengthlens.lens.usable import check_usable


def refused(model, tokenizer, reason: str, **options) -> None:
    with pytest.raises(LengthlensError, match=reason):
        Lens(model, tokenizer, **options)


def test_objects_of_other_kinds() -> None:
    model, tokenizer = pair("llama")
    refused(torch.nn.Linear(2, 2), tokenizer, r"is a Linear, no model of transformers.*merge_and")
    refused(model, tokenizer.backend_tokenizer, r"is a Tokenizer, no tokenizer of transformers")
    config = T5Config(vocab_size=480, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    refused(T5ForConditionalGeneration(config).eval(), tokenizer, r"T5.*cannot be attributed.*enc")


def test_dropout() -> None:
    model, tokenizer = tiny_gpt2()
    refused(model.train(), tokenizer, r"training mode.*call model.eval\(\)")
    lens = Lens(model.eval(), tokenizer)
    model.train()
    with pytest.raises(LengthlensError, match=r"call model.eval\(\)"):
        lens.generate("The sea")


def test_weights_that_are_not_there_or_not_finite() -> None:
    model, tokenizer = tiny_llama()
    refused(copy.deepcopy(model).to("meta"), tokenizer, "not in memory")
    model.is_quantized = True
    refused(model, tokenizer, r"is quantized.*load it in one of float64, float32")
    model.is_quantized = False
    with torch.no_grad():
        model.lm_head.weight[3, 4] = torch.inf
    refused(model, tokenizer, r"1 of the \d+ numbers of 'lm_head.weight' are not finite")


def test_an_architecture_that_cannot_be_proven() -> None:
    values, reason = REFUSED["nanochat"]
    refused(unlisted_model("nanochat", values), byte_level_tokenizer(150), reason)


def test_a_model_that_does_more_than_its_modules_show() -> None:
    """Every part is found; only the proof on real texts or its small copy can tell."""
    model = hidden_model("shifted logits")
    with pytest.raises(LengthlensError, match="attribution could not be trusted|miss"):
        Lens(model, byte_level_tokenizer(150), chat=False)


def test_a_model_that_was_changed_since() -> None:
    model, tokenizer = tiny_llama()
    lens = Lens(model, tokenizer)
    before = lens.generate("The sea", max_new_tokens=4)

    def steer(module, args, output):
        return output + 1.0

    handle = model.model.layers[1].register_forward_hook(steer)
    with pytest.raises(LengthlensError, match=r"sample 0 miss the model's own logit.*hook"):
        lens.generate("The sea", max_new_tokens=4)
    handle.remove()
    with torch.no_grad():  # edited weights are read anew
        model.lm_head.weight *= 2
    after = lens.generate("The sea", max_new_tokens=4)
    torch.testing.assert_close(after["logit"].values, 2 * before["logit"].values)
    torch.testing.assert_close(
        after["dla_head"].values, 2 * before["dla_head"].values, equal_nan=True
    )


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"without": "5.3"}, r"'5.3' names no component: write L5H3"),
        ({"without": ["L0H1", "L2"]}, r"there is no L2: the model has layers 0 to 1 with heads 0"),
        ({"without": "L1H4"}, r"there is no L1H4"),
        ({"without": "L1", "positions": "prompt"}, r"positions is 'prompt'; write one of"),
        ({"n": 0}, r"n is 0; give a whole number"),
        ({"n": True}, r"n is True"),
        ({"n": [3, 4]}, r"1 prompts and 2 values of n"),
        ({"max_new_tokens": 0}, r"max_new_tokens is 0; allow at least 1"),
        ({"max_new_tokens": 1000}, r"more than the 256 positions"),
    ],
)
def test_arguments(options: dict, reason: str) -> None:
    with pytest.raises(LengthlensError, match=reason):
        lens_of("llama").generate("The sea", **options)


def test_prompts_and_answers() -> None:
    lens = lens_of("llama")
    for prompts, reason in (([], "prompts is empty"), ("  ", "empty"), (["The sea", ""], "empty")):
        with pytest.raises(LengthlensError, match=reason):
            lens.generate(prompts)
    with pytest.raises(LengthlensError, match="2 prompts and 1 answers"):
        lens.attribute(["The sea", "The wind"], ["is calm."])
    with pytest.raises(LengthlensError, match="answer '' has no tokens"):
        lens.attribute("The sea", "")
    with pytest.raises(LengthlensError, match=r"joins the end of the prompt 'The s' with.*'ea is"):
        lens_of("gpt2").attribute("The s", "ea is calm.")


def test_means_of_another_model_or_of_nothing() -> None:
    lens, other = lens_of("llama"), lens_of("gpt2").generate("The sea", max_new_tokens=3)
    own = lens.generate("The sea", max_new_tokens=3)
    with pytest.raises(LengthlensError, match=r"shape \(2, 3, 4, 12\), not \(2, 2, 4, 8"):
        lens.generate("The sea", without="L0", means=other)
    with pytest.raises(LengthlensError, match="shape None"):
        lens.generate("The sea", without="L0", means=own.drop_vars("sum_head"))
    with pytest.raises(LengthlensError, match="no component that they stand in for"):
        lens.generate("The sea", means=own)
    short = lens.generate("The sea", max_new_tokens=1)
    with pytest.raises(LengthlensError, match="answers of one token each"):
        lens.generate("The sea", without="L0", means=short)


def test_settings() -> None:
    model, tokenizer = pair("llama")
    refused(model, tokenizer, "counting is 'letters'; write one of", counting="letters")
    refused(model, tokenizer, "has no variable think", chat={"think": False})
    refused(*pair("gpt2"), "no chat template", chat=True)
    refused(model, tokenizer, "stop token 'the sea' is not one token", stop_tokens=["the sea"])


def test_the_end_of_a_config_that_nobody_wrote_gives_way_to_the_tokenizers() -> None:
    """LlamaConfig says 2, which is another token here; one that somebody wrote stays."""
    model, tokenizer = tiny_llama()
    assert tokenizer.eos_token_id == 1 and type(model.config)().eos_token_id == 2
    fresh = type(model)(type(model.config)(**{**model.config.to_dict(), "eos_token_id": 2})).eval()
    assert fresh.generation_config.eos_token_id == 2
    plain = Lens(fresh, tokenizer, chat=False)
    assert plain.stop_tokens == ["<|end|>"]
    fresh.generation_config.eos_token_id = 7
    assert Lens(fresh, tokenizer, chat=False).stop_tokens == tokenizer.convert_ids_to_tokens([7])
    more = Lens(model, tokenizer, stop_tokens=["<|pad|>"])
    assert set(more.stop_tokens) == {"<|end|>", "<|turn|>", "<|pad|>"}


def test_what_is_usable_is_let_through() -> None:
    for family in ("pocket", "llama", "gpt2"):
        check_usable(*pair(family))
