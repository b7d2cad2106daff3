"""The probes of all models and languages, and dips over N."""

from lengthlens.analysis.conventions import compare_conventions
from lengthlens.analysis.dips import find_dips
from lengthlens.analysis.extrapolation import extrapolate
from lengthlens.analysis.tokenization import separate_errors
from lengthlens.analysis.tokens_per_word import regress_errors


def tables(probes, generations, attributions, *, bootstrap, counting, references):
    return {
        "tokenization": separate_errors(probes, references, bootstrap),
        "tokens_per_word": regress_errors(probes, bootstrap),
        "counting": compare_conventions(probes, counting, bootstrap),
        "extrapolation": extrapolate(probes, bootstrap),
        "dip": find_dips(generations, attributions, bootstrap),
    }
