"""lengthlens: how does a language model know when to stop?

A `Lens` gives the answers of any decoder-only model of transformers with the attribution of every
token, and `show` colours them; docs/library.md has an example. The readers of every file that the
workflow writes are here, too. All load their packages when they are first used::

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
    "open_patching",
    "open_circuits",
    "open_tracing",
    "open_attention",
    "open_paths",
    "open_contrasts",
    "open_count",
    "open_selection",
    "open_ablation",
    "open_repair",
    "open_transplants",
    "open_claims",
    "open_table",
}
_HOMES = {
    "Lens": "lengthlens.lens.lens",
    "LengthlensError": "lengthlens.errors",
    "show": "lengthlens.lens.show",
    **dict.fromkeys(_READERS, "lengthlens.readers"),
}
__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
