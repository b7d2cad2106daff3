"""Tuning a chat model to keep to a word count with a LoRA adapter, on short human sentences.

`wordnet` finds and marks sentences, `sentences` reads them in all their lengths, `rows` asks for
them, `recipe` says how to tune, `training` tunes, `development` measures. See docs/smollm2.md.
"""
