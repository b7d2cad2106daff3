"""The null of CWA: the signs of an answer, shifted in a circle along its steps.

CWA is the sum over an answer's n steps of sign times score, and says nothing of the link between
the two where other signs would give as much. Signs come in runs (they change seldom, and late), so
neighbouring steps cannot be exchanged one by one. The null keeps the sequence of signs, its runs
included, and the sequence of scores, and shifts one along the other: all n circular shifts are
equally likely, the observed one among them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from lengthlens.errors import LengthlensError


def sign_null_mean(
    n_plus: Num[np.ndarray, "..."] | float | int,
    n_steps: Num[np.ndarray, "..."] | float | int,
    total: Num[np.ndarray, "..."] | float | int,
) -> Float[np.ndarray, "..."]:
    """Mean of CWA over all circular shifts of the signs: the mean sign times the sum of scores.

    Every sign meets every score once in n shifts. (Any order of the signs has the same mean.)

    Args:
        n_plus: steps of sign +1; n_steps: steps; total: sum of scores. They broadcast.

    Returns:
        The mean; 0 for a sample without steps (an empty sum).

    Raises:
        LengthlensError: more signs of +1 than steps.
    """
    plus, steps = np.broadcast_arrays(np.asarray(n_plus, float), np.asarray(n_steps, float))
    wrong = (plus < 0) | (plus > steps)
    if wrong.any():
        few, many = (part[wrong][0] for part in (plus, steps))
        raise LengthlensError(f"{few:g} of {many:g} steps cannot have a sign of +1")
    mean_sign = (2 * plus - steps) / np.maximum(steps, 1)
    return np.asarray(mean_sign * np.asarray(total), dtype=float)


def shift_variance(
    signs: Num[np.ndarray, " step"], scores: Num[np.ndarray, "step ..."]
) -> Float[np.ndarray, "..."]:
    """Variance of CWA over all circular shifts of one sample's signs, exact.

    The sums of all shifts are a circular correlation, whose spectrum is the product of both
    spectra; by Parseval's theorem, with S and D the discrete Fourier transforms of n steps,

        variance = sum over f > 0 of |S_f|^2 |D_f|^2 / n^2.

    Args:
        signs: +1 or -1 at each step, in order.
        scores: of each step, one column a component.

    Returns:
        One number a component; 0 where all signs are alike, for then no shift changes anything.
    """
    size = len(signs)
    if size < 2 or np.all(signs == signs[0]):
        return np.zeros(scores.shape[1:])
    weight = np.abs(np.fft.fft(np.asarray(signs, dtype=float))[1:]) ** 2
    power = np.abs(np.fft.fft(np.asarray(scores, dtype=float), axis=0)[1:]) ** 2
    return np.tensordot(weight, power, axes=1) / size**2
