"""The pocket pair: two tiny Llama models trained here, on a grammar of our own.

`lexicon` and `morphology` say which words there are and how they inflect, `grammar` makes sentences
of an exact length, `instructions` words the requests, `corpus` puts both together, `tokenizer`
splits them, `training` learns and `evaluate` measures. See docs/pocket.md.
"""
