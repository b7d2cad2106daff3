"""What a `Lens` refuses before it looks at a model's components, and what it reads from the model.

The objects come from transformers, loaded by whoever uses the library. So what the workflow checks
in a model's files is checked here on the objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from lengthlens.attribution.proof import TOLERANCES
from lengthlens.errors import LengthlensError
from lengthlens.models.loading import check_finite
from lengthlens.weights.checkpoints import ModelSpec
from lengthlens.weights.kinds import beside_text


def check_usable(model: object, tokenizer: object) -> None:
    """Refuse objects that attribution could not explain, or would explain wrongly.

    Raises:
        LengthlensError: with the reason and the cure.
    """
    if not isinstance(model, PreTrainedModel):
        raise LengthlensError(
            f"the model is a {type(model).__name__}, no model of transformers; give what "
            "AutoModelForCausalLM.from_pretrained returns (of a PEFT model, what "
            "merge_and_unload() returns)"
        )
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise LengthlensError(
            f"the tokenizer is a {type(tokenizer).__name__}, no tokenizer of transformers; give "
            "what AutoTokenizer.from_pretrained returns"
        )
    odd = beside_text(model.config.to_dict())
    if odd is None and model.config.is_encoder_decoder:
        odd = "it has an encoder beside its decoder; give a decoder-only language model"
    if odd is not None:
        raise LengthlensError(f"{type(model).__name__} cannot be attributed: {odd}")
    dtype = str(model.dtype).removeprefix("torch.")
    if getattr(model, "is_quantized", False) or dtype not in TOLERANCES:
        raise LengthlensError(
            f"{type(model).__name__} is quantized ({dtype}): the weights that attribution reads "
            f"are not those that run; load it in one of {', '.join(TOLERANCES)}"
        )
    if any(parameter.is_meta for parameter in model.parameters()):
        raise LengthlensError(
            f"weights of {type(model).__name__} are not in memory (they are on the meta device, "
            "or offloaded); load it onto devices that hold all of it"
        )
    check_evaluating(model)


def check_evaluating(model: PreTrainedModel) -> None:
    """Refuse a model whose dropout is on."""
    if model.training:
        raise LengthlensError(
            f"{type(model).__name__} is in training mode, in which dropout changes its answers; "
            "call model.eval()"
        )


def described(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    chat: bool | Mapping[str, Any] | None,
    stop_tokens: Sequence[str | int],
) -> ModelSpec:
    """How a model is called, prompted and stopped (`Lens` explains the arguments)."""
    if chat is None:
        chat = bool(tokenizer.chat_template)
    own = type(model).__name__
    known, named = (
        re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        for name in (Path(model.name_or_path or "").name, own)
    )
    spec = ModelSpec(
        name=known or named,
        variant="base" if chat is False else "instruct",
        path=model.name_or_path or own,
        stop_tokens=tuple(stop_tokens),
        template=dict(chat) if isinstance(chat, Mapping) else {},
    )
    check_finite(spec, model)
    return spec


def declared_generation(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> GenerationConfig | None:
    """What a model itself says about generation, or None where it says nothing.

    A config that its author left silent holds the end-of-sequence id of the architecture's class
    (2 for Llama), whatever the tokenizer. Where transformers made the generation config from such
    a config, and the tokenizer has another end, the tokenizer's counts.
    """
    config = model.generation_config
    made_up = getattr(config, "_from_model_config", False)
    end = tokenizer.eos_token_id
    if config is None or not made_up or end is None or config.eos_token_id == end:
        return config
    return None if config.eos_token_id == type(model.config)().eos_token_id else config
