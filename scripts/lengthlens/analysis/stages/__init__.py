"""Which tables are made together: a module a stage, whose function `tables` gives them by name.

What a function is given is in `analysis.registry`: files by model and language, as
`readers.open_source` opens them, and values of the configuration.
"""
