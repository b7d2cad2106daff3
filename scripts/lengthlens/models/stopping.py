"""What ends an answer, and the settings of a checkpoint that are passed over.

The stop set is what the checkpoint declares, what the configuration adds, and the token with which
the chat template closes a turn: a model was tuned to end its answers with it, whether or not its
generation_config names it. Without it every answer would run on until it is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedTokenizerBase

from lengthlens.models.loading import stop_ids
from lengthlens.models.prompting import chat_prompt, render_chat
from lengthlens.models.thinking import ASKED, DATE, FINAL
from lengthlens.weights.chat_template import messages
from lengthlens.weights.checkpoints import ModelSpec
from lengthlens.weights.json_files import read_mapping

_ANSWERED = "The sea is calm."

# What a generation_config says besides how tokens are chosen: names of tokens, which are read, and
# what changes no token.
_OTHER = {
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "use_cache",
    "cache_implementation", "transformers_version", "return_dict_in_generate", "max_length",
    "max_new_tokens", "output_attentions", "output_hidden_states", "output_scores",
    "output_logits", "num_return_sequences", "trust_remote_code",
}  # fmt: skip


@dataclass(frozen=True)
class StopSet:
    """The tokens that end an answer.

    Attributes:
        ids: all of them, sorted.
        turn_end: id of the token that closes a turn of the chat template; None without one.
        added: whether it is in the set only because the template closes turns with it.
        note: what is to be told about the template's end of a turn; empty if nothing.
    """

    ids: tuple[int, ...]
    turn_end: int | None = None
    added: bool = False
    note: str = ""


def stop_set(
    spec: ModelSpec,
    tokenizer: PreTrainedTokenizerBase,
    generation_config: GenerationConfig | None,
) -> StopSet:
    """What ends a model's answers (`loading.stop_ids`), with its template's end of a turn.

    Raises:
        LengthlensError: nothing ends an answer, or the chat template makes no prompt.
    """
    declared = stop_ids(spec, tokenizer, generation_config)
    if spec.variant != "instruct":
        return StopSet(declared)
    turn_end, note = turn_end_of(spec, tokenizer)
    if turn_end is None or turn_end in declared:
        return StopSet(declared, turn_end, note=note)
    closes = f"its chat template closes turns with {tokenizer.convert_ids_to_tokens(turn_end)!r}, "
    if not spec.stop_at_turn_end:
        note = closes + "which does not end an answer here (stop_at_turn_end is false)"
        return StopSet(declared, turn_end, note=note)
    note = closes + "which its generation_config does not name: it ends answers, too"
    return StopSet(tuple(sorted({*declared, turn_end})), turn_end, added=True, note=note)


def turn_end_of(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> tuple[int | None, str]:
    """The token that a chat template writes after an answer, and what is to be told without one.

    It must be an added token, such as `<|im_end|>`: others may stand within an answer. And where
    thinking is a message of its own, it must not be the token that closes every message.
    """
    form, prompt = chat_prompt(spec, tokenizer, ASKED, DATE)
    try:
        turns = messages(form, ASKED, _ANSWERED)
        whole = render_chat(spec, tokenizer, turns, DATE, opens=False)
    except Exception as error:  # whatever a template raises
        told = f"its chat template writes no answers, so its end of a turn is unknown ({error})"
        return None, told
    before, found, after = whole.rpartition(_ANSWERED)
    if not found:
        return None, "its chat template leaves answers out, so its end of a turn is unknown"
    after = after.lstrip()
    if not after:
        return None, "its chat template closes turns with nothing"
    first = tokenizer(after, add_special_tokens=False)["input_ids"][0]
    if first in tokenizer.added_tokens_decoder:
        name = tokenizer.convert_ids_to_tokens(first)
        if before.endswith(FINAL) and prompt.rpartition(ASKED)[2].startswith(name):
            return None, (
                f"its chat template closes every message with {name!r}, that of its thinking, too, "
                "so that it does not end an answer here"
            )
        return int(first), ""
    shown = after.splitlines()[0][:40]
    return None, f"its chat template closes turns with {shown!r}, which is no token of its own"


def passed_over(folder: Path) -> dict[str, Any]:
    """Settings of generation that a checkpoint brings and the study does not use, by name.

    Sampling, penalties, suppressed tokens and the like: attribution explains the model's own
    logits, and the configuration says how tokens are chosen from them.
    """
    plain = GenerationConfig()
    return {
        name: value
        for name, value in read_mapping(folder / "generation_config.json").items()
        if not name.startswith("_")
        and name not in _OTHER
        and value not in (None, [], {}, False, getattr(plain, name, None))
    }
