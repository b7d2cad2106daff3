"""Chat templates with the structure of families that reason, in words of our own.

Only what decides where an answer begins and ends is as the families have it: the marks, who writes
them, and the switch. Each family brings the tokens that its tokenizer knows as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from architectures import tiny_model
from tiny_tokenizers import byte_level_tokenizer, with_added
from transformers import GenerationConfig

# A turn of the past keeps its answer alone; the last one shows its thinking, be it empty.
_PAST = """\
{%- set seen = namespace(last=0) %}
{%- for message in messages if message.role == 'user' %}
{%- set seen.last = seen.last + 1 %}
{%- endfor %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{%- set thought, said = '', message.content %}
{%- if '</think>' in said %}
{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
{%- set said = said.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{%- if loop.last or thought %}
{%- set said = '<think>\\n' + thought + '\\n</think>\\n\\n' + said %}
{%- endif %}
{{- '<|im_start|>assistant\\n' + said + '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}
{{- '<think>\\n\\n</think>\\n\\n' }}
"""
# Qwen 3 opens its thinking itself; for Qwen 3.5 the prompt does.
QWEN3 = _PAST + "{%- endif %}{%- endif %}"
QWEN35 = _PAST + "{%- else %}{{- '<think>\\n' }}{%- endif %}{%- endif %}"
# DeepSeek R1 cannot be told not to think; V3.1 is told by a closing mark alone.
_DEEPSEEK = """\
{{- bos_token }}
{%- for message in messages %}
{%- if message.role == 'user' %}{{- '<｜User｜>' + message.content }}{%- endif %}
{%- if message.role == 'assistant' %}
{{- '<｜Assistant｜>' + message.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}
{%- endif %}
{%- endfor %}
"""
R1 = _DEEPSEEK + "{%- if add_generation_prompt %}{{- '<｜Assistant｜><think>\\n' }}{%- endif %}"
V31 = (
    "{%- if not thinking is defined %}{%- set thinking = false %}{%- endif %}"
    + _DEEPSEEK
    + "{%- if add_generation_prompt %}"
    "{{- '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{%- endif %}"
)
# Harmony: a message names its channel, and the thinking is a message of its own. Its system turn
# is full of numbers.
HARMONY = """\
{%- macro preamble() -%}
{%- if effort is not defined %}{%- set effort = 'medium' %}{%- endif %}
{{- 'What I know ends in 2024-06.\\nToday: ' + strftime_now('%Y-%m-%d') + '\\n' }}
{{- 'Effort: ' + effort + '\\nChannels, 3 of them: analysis, commentary, final.' }}
{%- endmacro -%}
{{- '<|start|>system<|message|>' + preamble() + '<|end|>' }}
{%- for message in messages %}
{%- if message.role == 'user' %}
{{- '<|start|>user<|message|>' + message.content + '<|end|>' }}
{%- elif message.role == 'assistant' %}
{%- if message.thinking is defined %}
{{- '<|start|>assistant<|channel|>analysis<|message|>' + message.thinking + '<|end|>' }}
{%- endif %}
{{- '<|start|>assistant<|channel|>final<|message|>' + message.content }}
{{- '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}
"""

_IM = ("<|im_start|>", "<|im_end|>")
_BARS = ("<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>")
_CHANNELS = ("<|channel|>", "<|message|>", "<|return|>", "<|call|>")
_THINK = ("<think>", "</think>")


@dataclass(frozen=True)
class Family:
    """A template, the tokens that it is written in, and those that its checkpoint ends with.

    Attributes:
        special: left out of decoded text; `added` are not.
        declared: what generation_config names as the end.
        turn_end: what the template closes an answer with.
    """

    template: str
    special: tuple[str, ...]
    added: tuple[str, ...]
    declared: tuple[str, ...]
    turn_end: str


FAMILIES: Mapping[str, Family] = {
    "Qwen 3": Family(QWEN3, _IM, _THINK, ("<|im_end|>",), "<|im_end|>"),
    # Its base model's end alone, as fine-tuned copies have it.
    "Qwen 3.5": Family(QWEN35, _IM, _THINK, ("<|pad|>",), "<|im_end|>"),
    "DeepSeek R1": Family(R1, _BARS, _THINK, (_BARS[2],), _BARS[2]),
    "DeepSeek V3.1": Family(V31, _BARS, _THINK, (_BARS[2],), _BARS[2]),
    "gpt-oss": Family(HARMONY, _CHANNELS, (), ("<|return|>", "<|call|>"), "<|return|>"),
}


def reasoning_model(folder: Path, family: Family) -> Path:
    """A tiny llama with a family's template and tokens, saved to a folder."""
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(family.special)})
    tokenizer = with_added(tokenizer, *family.added)
    tokenizer.chat_template = family.template
    tokenizer.eos_token = family.declared[0]
    model = tiny_model("llama", vocab_size=len(tokenizer))
    ends = tokenizer.convert_tokens_to_ids(list(family.declared))
    model.generation_config = GenerationConfig(eos_token_id=ends)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
