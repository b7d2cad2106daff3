"""How often answers are exact by chance: the share if the answers knew nothing of N.

    chance = sum over n of P(N = n) P(words = n),

both shares over all answers. It is what pairing every answer with every N gives, and the mean over
all permutations of N among the answers.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def chance_terms(
    n: Int[np.ndarray, " answer"],
    words: Int[np.ndarray, " answer"],
    never: Bool[np.ndarray, " answer"] | None = None,
) -> tuple[Float[np.ndarray, " answer"], Float[np.ndarray, " answer"]]:
    """Each answer's influence on chance, and on exact - chance; their means are these two.

    Args:
        n: what was asked for; words: what was written.
        never: answers that count as exact under no N, such as cut ones.
    """
    same = words[:, None] == n[None, :]
    exact = words == n
    if never is not None:
        same, exact = same & ~never[:, None], exact & ~never
    asked = same.mean(axis=1)  # P(N = words of this answer), 0 if it can never be exact
    given = same.mean(axis=0)  # P(words = N of this answer)
    chance = asked + given - same.mean()
    return chance, exact - chance
