"""Scores against causes, texts against models, N against its neighbours."""

from lengthlens.analysis.causes import compare_scores
from lengthlens.analysis.nswap import summarise_nswap
from lengthlens.analysis.text_comparison import compare_texts


def tables(attributions, forced, bootstrap, tunings, model_pairs):
    return {
        "scores": compare_scores(tunings, attributions, forced, bootstrap),
        "same_text": compare_texts(model_pairs, attributions, forced, bootstrap),
        "nswap": summarise_nswap(forced, bootstrap),
    }
