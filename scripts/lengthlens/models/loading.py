"""Loading a model and its tokenizer, its stop tokens, and the prompts as it expects them.

Only safetensors weights are read and no code that comes with a checkpoint is run. Where the files
lie is the business of `checkpoints`; where the components lie is the business of `anatomy`.
"""

import functools
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    FineGrainedFP8Config,
    GenerationConfig,
    Mxfp4Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from lengthlens.errors import LengthlensError
from lengthlens.models.memory import is_out_of_memory
from lengthlens.models.raw_tokenizer import as_in_file
from lengthlens.models.small_model import text_config
from lengthlens.weights.chat_template import read_template
from lengthlens.weights.checkpoints import ModelSpec, model_folder
from lengthlens.weights.json_files import read_mapping
from lengthlens.weights.quantized import FP8, MXFP4, method_problem, quantization_of
from lengthlens.weights.tensors import is_ignorable, is_of_tower

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def dtype_name(model: PreTrainedModel) -> str:
    """Name of a model's precision, such as "float32"."""
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def load_tokenizer(spec: ModelSpec) -> PreTrainedTokenizerBase:
    """The model's own tokenizer, padding on the left and decoding without any clean-up."""
    folder = model_folder(spec)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, padding_side="left"
        )
        tokenizer = as_in_file(folder, tokenizer)
    except LengthlensError as error:
        raise LengthlensError(f"Model {spec.name}: {error}.") from error
    except Exception as error:  # of many kinds: the tokenizers library raises plain ones
        raise LengthlensError(
            f"Model {spec.name}: transformers cannot load the tokenizer in {folder} "
            f"({_reason(error)}); copy or fetch its files again."
        ) from error
    # NOTE transformers' clean-up deletes the space in "word ." when it decodes: the text that is
    # counted would no longer be the text that was generated.
    tokenizer.clean_up_tokenization_spaces = False
    if tokenizer.chat_template is None and spec.variant == "instruct":
        # A file that transformers leaves to processors of images: chat_template.json.
        tokenizer.chat_template = read_template(folder)
    return tokenizer


def load_model(
    spec: ModelSpec,
    dtype: str = "auto",
    device: str = "auto",
    device_map: Mapping[str, str | int] | None = None,
) -> PreTrainedModel:
    """The model in evaluation mode, without gradients, on one device or over several GPUs.

    Args:
        spec: which model.
        dtype: `float32`, `float16`, `bfloat16`, or `auto`: the checkpoint's own on a GPU,
            float32 on a CPU.
        device: `cpu`, `cuda`, `cuda:1`, …, or `auto`: a GPU where there is one; `split`: its
            layers spread over all visible GPUs.
        device_map: which module goes where, as transformers takes it; overrides `device`.

    Raises:
        LengthlensError: the model cannot be used, for the reason given.
    """
    target = resolve_device(device)
    placement = device_map or ("balanced" if device == "split" else None)
    if dtype not in ("auto", *DTYPES):
        raise LengthlensError(f"dtype is {dtype!r}; write one of {['auto', *DTYPES]}.")
    wanted = DTYPES.get(dtype, torch.float32 if target.type == "cpu" else "auto")
    folder = model_folder(spec)
    dequantizing = _dequantizing(spec, folder)
    transformers_logging.disable_progress_bar()  # the jobs show their own
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model, report = auto_class(config).from_pretrained(
            folder,
            dtype=wanted,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            device_map=placement,
            **dequantizing,
        )
    except Exception as error:  # whatever transformers, torch or safetensors raise of a checkpoint
        if is_out_of_memory(error):
            raise
        raise LengthlensError(
            f"Model {spec.name}: transformers cannot load {folder} as a decoder-only language "
            f"model without code of its own ({_reason(error)})."
        ) from error
    if problem := _misread(folder, config, model, report):
        raise LengthlensError(f"Model {spec.name}: {problem}")
    if dequantizing:
        _make_plain(model, model.config.dtype if wanted == "auto" else wanted)
    if placement is None:
        model = model.to(target)
    elif device_map is None:
        # transformers notes no map where everything went to one place.
        _refuse_offloading(spec, getattr(model, "hf_device_map", {"": model.device.type}))
    check_finite(spec, model)
    return model.eval().requires_grad_(False)


def _dequantizing(spec: ModelSpec, folder: Path) -> dict[str, Any]:
    """Arguments with which transformers turns quantized weights into plain numbers."""
    found = quantization_of(read_mapping(folder / "config.json"))
    if found is None:
        return {}
    if problem := method_problem(found):
        raise LengthlensError(f"Model {spec.name}: {problem}")
    kinds = {FP8: FineGrainedFP8Config, MXFP4: Mxfp4Config}
    return {"quantization_config": kinds[found["quant_method"]](dequantize=True)}


def _make_plain(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Let nothing of a dequantized model tell that it was quantized.

    transformers leaves weights beside the quantized ones in the precision in which they are stored,
    and would quantize all of them when the model is saved.
    """
    kept = {*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ())}
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not any(part in name for part in kept):
            weight.data = weight.data.to(dtype)
    model._weight_conversions = None


def auto_class(config: PreTrainedConfig) -> type:
    """What loads a model of this config with its unembedding.

    Some types that read images have no class of their own for text (Mistral 3); theirs for both
    reads text alone just as well.
    """
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForCausalLM
    known = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    return AutoModelForImageTextToText if known else AutoModelForCausalLM


def _reason(error: Exception) -> str:
    """What transformers says, without its advice to run code that came with a checkpoint."""
    said = f"{type(error).__name__}: {error}"
    if "trust_remote_code" in said or "remote code" in said:
        return "it comes as code of its own, which is never run; give one that transformers knows"
    return said


def _misread(
    folder: Path, config: PreTrainedConfig, model: PreTrainedModel, report: Mapping[str, Any]
) -> str | None:
    """What transformers made up or left out of a checkpoint; it only warns of that, if it does."""
    if absent := sorted(report["missing_keys"]):  # filled with random numbers
        return (
            f"{folder} lacks {len(absent)} weights, such as {absent[0]!r}; the checkpoint is "
            "incomplete or its config.json belongs to another model."
        )
    towers = text_config(config) is not config  # of which text needs none
    left_out = sorted(
        name
        for name in report["unexpected_keys"]
        if not (is_ignorable(name) or (towers and is_of_tower(name)))
    )
    if left_out:
        return (
            f"{folder} holds {len(left_out)} tensors that its model has no place for, such as "
            f"{left_out[0]!r}: the model that runs would be another than the one that was saved. "
            "Its config.json belongs to another model, a setting in it is missing, or something "
            "was added to the weights and not merged into them."
        )
    ends = model.get_input_embeddings(), model.get_output_embeddings()
    tied = getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    if tied and None not in ends and ends[0].weight is not ends[1].weight:
        return (
            "config.json says that embedding and unembedding are the same (tie_word_embeddings), "
            f"but {folder} holds two that differ; correct tie_word_embeddings to false, or give "
            "the weights that belong to this config.json."
        )
    return None


def check_finite(spec: ModelSpec, model: torch.nn.Module) -> None:
    """Refuse weights that are not finite: what they spoil would look like a result.

    One pass over the weights, as they are in memory: a number may also have become infinite when
    it was rounded to `generation.dtype`. Takes 0.06 s for each GB on a CPU core; reading the
    checkpoint takes longer.

    Raises:
        LengthlensError: names the first such weight, how many of its numbers are not finite and
            how many other weights have some.
    """
    # Meta weights lie on disk until their layer's turn comes.
    here = [(n, w) for n, w in model.named_parameters() if w.numel() and not w.is_meta]
    spoilt = [(n, w) for n, w in here if not all(bool(edge.isfinite()) for edge in w.aminmax())]
    if not spoilt:
        return
    name, weight = spoilt[0]
    count, others = int((~weight.isfinite()).sum()), len(spoilt) - 1
    cure = (
        "the checkpoint is damaged: copy or fetch it again"
        if weight.dtype != torch.float16 or bool(weight.isnan().any())
        else "float16 ends at 65504: set generation.dtype to bfloat16 or float32"
    )
    raise LengthlensError(
        f"Model {spec.name}: {count} of the {weight.numel()} numbers of {name!r} are not finite"
        f"{f', and some of {others} other weights' if others else ''}; {cure}."
    )


def _refuse_offloading(spec: ModelSpec, placed: Mapping[str, object]) -> None:
    """A part that fits on no GPU would be moved there anew for every token."""
    outside = [module for module, place in placed.items() if place in ("cpu", "disk")]
    if outside:
        raise LengthlensError(
            f"Model {spec.name} does not fit into the memory of the {torch.cuda.device_count()} "
            f"visible GPUs: {outside[0] or 'all of it'} was left out, of {len(outside)} parts. "
            "Give the job more GPUs or set generation.dtype to bfloat16."
        )


def resolve_device(device: str) -> torch.device:
    """The torch device meant by `auto`, `cpu`, `cuda` or `cuda:i`; of `split`, the first."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "split":
        if not torch.cuda.is_available():
            raise LengthlensError(
                "device is 'split', but torch sees no CUDA device here; write auto or cpu, or "
                "install a torch built for this machine's GPUs."
            )
        if importlib.util.find_spec("accelerate") is None:
            raise LengthlensError(
                "device is 'split', which needs the package accelerate, and it is not installed; "
                "run pip install -r envs/requirements.txt (pip install accelerate without the "
                "repository), or write auto."
            )
        return torch.device("cuda:0")
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise LengthlensError(
            f"device is {device!r}; write auto, cpu, cuda, cuda:<number> or split."
        )
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise LengthlensError(
            f"device is {device!r}, but torch sees {torch.cuda.device_count()} CUDA devices here; "
            "write auto or cpu, or install a torch built for this machine's GPU."
        )
    return torch.device(device)


def load_generation_config(spec: ModelSpec) -> GenerationConfig | None:
    """What the checkpoint itself says about generation, or None where it says nothing.

    Read from generation_config.json, or from config.json where its author wrote an
    `eos_token_id` there. (`model.config` cannot tell: where config.json is silent it holds the
    default of the architecture's class, which is 2 for Llama whatever the tokenizer.)
    """
    folder = model_folder(spec)
    if (folder / "generation_config.json").is_file():
        try:
            return GenerationConfig.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # not JSON, or values that transformers refuses
            raise LengthlensError(
                f"Model {spec.name}: {folder / 'generation_config.json'} cannot be read "
                f"({type(error).__name__}: {error}); correct it or fetch it again."
            ) from error
    written = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("eos_token_id")
    return None if written is None else GenerationConfig(eos_token_id=written)


def stop_ids(
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    generation_config: GenerationConfig | None,
) -> tuple[int, ...]:
    """The stop set: ids that end an answer, sorted.

    All of `generation_config.eos_token_id` (one or a list) and of `spec.stop_tokens` (ids, or
    strings that are one token); the tokenizer's end-of-sequence token only where there is neither.
    """
    declared = getattr(generation_config, "eos_token_id", None)
    listed = declared if isinstance(declared, list | tuple) else [declared]
    found = {int(token) for token in listed if token is not None}
    found |= {_token_id(spec, tokenizer, token) for token in spec.stop_tokens}
    if not found and tokenizer.eos_token_id is not None:
        found = {int(tokenizer.eos_token_id)}
    if not found:
        raise LengthlensError(
            f"Model {spec.name}: nothing says which token ends an answer (no eos_token_id in its "
            "generation config, no end-of-sequence token in its tokenizer); "
            "add `stop_tokens:` to this model."
        )
    if min(found) < 0:
        raise LengthlensError(f"Model {spec.name}: {min(found)} is no token id; ids start at 0.")
    return tuple(sorted(found))


def _token_id(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, token: str | int) -> int:
    """The id of a configured stop token."""
    if isinstance(token, int):
        if not 0 <= token < len(tokenizer):
            raise LengthlensError(
                f"Model {spec.name}: stop token {token} is outside of the tokenizer's "
                f"{len(tokenizer)} ids."
            )
        return token
    vocabulary = tokenizer.get_vocab()
    if token in vocabulary:
        return int(vocabulary[token])
    pieces = tokenizer.encode(token, add_special_tokens=False)
    if len(pieces) == 1 and pieces[0] != tokenizer.unk_token_id:
        return int(pieces[0])
    raise LengthlensError(
        f"Model {spec.name}: stop token {token!r} is not one token but "
        f"{tokenizer.convert_ids_to_tokens(pieces)}; give a string that is, or the token's id."
    )


def text_decoder(
    tokenizer: PreTrainedTokenizerBase, special: bool = False
) -> Callable[[Sequence[int]], str]:
    """The function that turns generated ids into text, unedited; `special`: special tokens, too."""
    return functools.partial(
        tokenizer.decode, skip_special_tokens=not special, clean_up_tokenization_spaces=False
    )
