"""lengthlens: how does a language model know when to stop?

The readers of every file that the workflow writes are here; they load their packages when called::

    import lengthlens
    cwa = lengthlens.open_cwa("results/pocket/cwa.nc")
"""

from importlib import import_module

__version__ = "0.1.0"

_READERS = {
    "open_prompts",
    "open_generations",
    "open_probes",
    "open_activations",
    "open_attribution",
    "open_tokens",
    "open_cwa",
    "open_forced",
    "open_selection",
    "open_ablation",
    "open_repair",
    "open_claims",
    "open_table",
}
__all__ = [*sorted(_READERS), "__version__"]


def __getattr__(name: str):
    if name in _READERS:
        return getattr(import_module("lengthlens.readers"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
