"""Where numbers stop being finite: sample, step and module are named, and nothing is repaired."""

import pytest
import torch
from architectures import tiny_model
from torch import nn
from toys import NO_STOP, ragged_prompts

from lengthlens.decoding.decode import Decoded, Decoder
from lengthlens.decoding.diagnosis import first_not_finite
from lengthlens.decoding.intervention import Donors, Intervention
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import dissect

PROMPTS = ragged_prompts([5, 9, 3])
NAMES = ["a#0", "b#0", "c#0"]
STEPS = 8


def run(model: nn.Module, **options) -> Decoded:
    return Decoder(model, dissect(model), NO_STOP).decode(PROMPTS, STEPS, names=NAMES, **options)


def first_use(decoded: Decoded) -> tuple[int, int, int]:
    """A token that is read for the first time after step 0: the token, its step and its row."""
    seen = {token for prompt in PROMPTS for token in prompt}
    for step in range(STEPS - 1):
        tokens = [row[step] for row in decoded.tokens]
        for row, token in enumerate(tokens):
            if token not in seen and tokens.count(token) == 1:
                return token, step, row
        seen |= set(tokens)
    raise AssertionError("every token was there before")


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("capture", [False, True])
def test_sample_step_and_module_are_named(architecture: str, capture: bool):
    """One row's own token is spoilt: the other rows of its batch are not blamed."""
    model = tiny_model(architecture, tie_word_embeddings=False)
    token, step, row = first_use(run(model))
    embedding = model.get_input_embeddings()
    embedding.weight[token] = torch.nan
    name = next(name for name, module in model.named_modules() if module is embedding)
    began = f"at step {step + 1} of {NAMES[row]}; it began in the output of {name}\\."
    with pytest.raises(LengthlensError, match=began):
        run(model, capture=capture)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("module", ["self_attn.v_proj", "mlp.up_proj", "mlp.down_proj"])
def test_the_first_module_is_named_and_not_those_it_spoils(layer: int, module: str):
    model = tiny_model("llama")
    name = f"model.layers.{layer}.{module}"
    model.get_submodule(name).weight[0, 0] = torch.inf
    with pytest.raises(
        LengthlensError, match=f"at step 0 of .#0; it began in the output of {name}"
    ):
        run(model)


def test_what_float16_cannot_hold_is_named_with_its_cure():
    model = tiny_model("llama").to(torch.float16)
    model.model.layers[1].mlp.down_proj.weight *= 60_000
    model.model.layers[1].mlp.up_proj.weight *= 1000
    assert all(bool(weight.isfinite().all()) for weight in model.parameters())
    with pytest.raises(LengthlensError, match=r"layers.1.mlp.*precision .float16.*dtype: bfloat16"):
        run(model)


def test_the_intervention_is_in_force_when_the_row_is_read_again():
    """The last MLP is spoilt: rows without it are sound, and the one that has it is named."""
    model = tiny_model("llama")
    mlps = torch.zeros(3, 3, dtype=torch.bool)
    mlps[[0, 2], 2] = True
    heads = torch.zeros(3, 3, _heads(model)[0], dtype=torch.bool)
    weight = model.model.layers[2].mlp.down_proj.weight
    sound, weight[0, 0] = weight[0, 0].clone(), torch.inf
    for positions in ("generated", "all"):
        words = "of b#0; it began in the output of model.layers.2.mlp.down_proj"
        with pytest.raises(LengthlensError, match=words):
            run(model, intervention=Intervention(heads, mlps, positions))
    # What replaces a component may also be what spoils; donors are not followed again.
    weight[0, 0] = sound
    mlp = torch.full((3, 3, model.config.hidden_size), torch.nan)
    donors = Donors(torch.zeros(3, 3, *_heads(model)), mlp, torch.zeros(1, 1, dtype=torch.long))
    resampled = Intervention(
        heads, mlps, resampled=torch.tensor([True, False, False]), donors=donors
    )
    with pytest.raises(LengthlensError, match="of a#0; it cannot be reproduced alone"):
        run(model, intervention=resampled)


def _heads(model: nn.Module) -> tuple[int, int]:
    anatomy = dissect(model)
    return anatomy.n_heads, anatomy.d_head


def test_a_sound_row_has_no_such_module_and_keeps_no_hook():
    model = tiny_model("llama")

    def hooks() -> int:
        return sum(len(module._forward_hooks) for module in model.modules())

    before = hooks()
    assert first_not_finite(model, PROMPTS[0], [5, 6]) is None
    model.lm_head.weight[3] = torch.nan
    assert first_not_finite(model, PROMPTS[0], []) == "lm_head"
    assert hooks() == before
