"""How a model is used in the study, in words: its prompt form, what ends its answers, what not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.architectures import ATTENTION, MIXER
from lengthlens.models.prompting import chat_prompt
from lengthlens.models.raw_tokenizer import FILE, TEXTS, difference
from lengthlens.models.small_model import text_config
from lengthlens.models.stopping import passed_over
from lengthlens.weights.checkpoints import model_folder
from lengthlens.weights.checks import quantized_notes
from lengthlens.weights.made import read_origin

_ASKED = ("Write a sentence of exactly 7 words.", "In 15 words: the sea.")


def describe(loaded: LoadedModel, date: str) -> dict[str, Any]:
    """What is told of a model, ready for JSON.

    Returns:
        `prompt_form`: plain, or how the chat template takes an instruction; `template`: its
        variables; `stop_tokens` as text and `added_stop_token`, the one that only the template
        names; `thinking`: its marks and whether prompts open it; `passed_over`: settings of its
        generation_config that are not used; `notes`.

    Raises:
        LengthlensError: an instruction does not arrive in a prompt, or a prompt's tokens are not
            those of the tokenizer's file.
    """
    spec, tokenizer, stops = loaded.spec, loaded.tokenizer, loaded.stops
    prompts = [tokenizer.decode(loaded.encode(text, date)) for text in _ASKED]
    folder = model_folder(spec)
    if found := difference(folder, tokenizer, (*TEXTS, *prompts)):
        raise LengthlensError(f"Model {spec.name}: its tokenizer reads {found}.")
    compared = (folder / FILE).is_file()
    form = "plain text"
    if spec.variant == "instruct":
        form, _ = chat_prompt(spec, tokenizer, _ASKED[0], date)
    thinking, own = None, loaded.thinking
    if own is not None:
        thinking = {"marks": [list(pair) for pair in own.marks], "opened": own.opened}
    added = tokenizer.convert_ids_to_tokens(stops.turn_end) if stops.added else None
    notes = (
        *(read_origin(folder)["notes"] if spec.is_made else ()),
        *quantized_notes(folder, loaded.dtype),
        stops.note,
        own.note if own is not None else "",
        getattr(tokenizer, "instead_of", ""),
        "" if compared else f"it has no {FILE}, so its tokenizer was not compared with its file",
        layers_told(loaded.anatomy),
        _embedded_anew(text_config(loaded.model.config)),
    )
    return {
        "prompt_form": form,
        "template": dict(spec.template),
        "stop_tokens": tokenizer.convert_ids_to_tokens(list(stops.ids)),
        "added_stop_token": added,
        "thinking": thinking,
        "passed_over": passed_over(folder),
        "notes": list(filter(None, notes)),
    }


def layers_told(anatomy: Anatomy) -> str:
    """What the layers of a model have in place of one attention and one MLP; empty of others."""
    told = []
    for kind in dict.fromkeys(layer.kind for layer in anatomy.layers):
        if kind == ATTENTION:
            continue
        layers = [i for i, layer in enumerate(anatomy.layers) if layer.kind == kind]
        sites = [site for site in anatomy.layers[layers[0]].mixing if site.branch.kind == MIXER]
        parts = " and ".join(
            "one component" if site.branch.whole else f"{site.n_heads} heads" for site in sites
        )
        beside = "beside attention" if ATTENTION in kind else "in place of attention"
        own = f"a mixer {beside}, of {parts}" if sites else "no attention"
        told.append(f"{_listed(layers)}: {own}")
    if lacking := sorted(set(range(anatomy.n_layers)) - set(anatomy.layout.mlps)):
        told.append(f"{_listed(lacking)}: no MLP")
    return "; ".join(told)


def _embedded_anew(config) -> str:
    """Whether tokens enter the stream in every layer; empty where they do not."""
    if not getattr(config, "hidden_size_per_layer_input", 0):
        return ""
    return (
        "every layer embeds the tokens anew, which counts as part of its MLP, so that the number "
        "enters at its own place in every layer"
    )


def _listed(layers: Sequence[int]) -> str:
    return f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"
