"""In which language a text is written, as far as that can be told, without the network.

The detector is py3langid, a naive Bayes classifier over byte sequences for 140 languages. Its
probabilities take the length of the text into account: of three words they are often too small to
say anything, and the answer is `UNDETERMINED`. The same text always gets the same answer.
"""

from __future__ import annotations

import functools
from collections.abc import Collection

from py3langid.langid import MODEL_FILE, LanguageIdentifier

OTHER, UNDETERMINED = "other", "undetermined"
CONFIDENT = 0.5  # a language that is likelier than all others together


@functools.cache
def _identifier() -> LanguageIdentifier:
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def known(code: str) -> bool:
    """Whether the detector knows a language."""
    return code in _identifier().labels


@functools.lru_cache(maxsize=65536)
def _likeliest(text: str) -> tuple[str, float]:
    code, probability = _identifier().classify(text)
    return code, float(probability)


def detect_language(text: str, languages: Collection[str]) -> str:
    """One of `languages`, `OTHER`, or `UNDETERMINED` where no language has a probability of .5.

    Args:
        text: any text.
        languages: codes of the languages that are told apart.
    """
    code, probability = _likeliest(text)
    if probability <= CONFIDENT or not text.strip():
        return UNDETERMINED
    return code if code in languages else OTHER
