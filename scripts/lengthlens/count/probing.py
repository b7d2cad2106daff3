"""How well words left can be read from the stream, beyond what the text tells, and along what.

1. *Covariates*: the number of words before the step (a level of its own for each), the token's
   position, the template. Words left and the stream are replaced by what these leave of them.
2. *Ridge* from the stream to words left, fitted on the `select` topics. Its penalty is the one of
   `PENALTIES` with the least squared error on select topics that were held out in turn.
3. *Beyond*, on the `evaluate` topics: 1 - SSE(covariates and stream) / SSE(covariates), the share
   of what covariates leave that the stream explains.
4. *Control*: the same with n permuted among the versions of one text, several times. At each step
   the versions that are legal there exchange their n, so that words left keep their distribution.
5. *Direction* d: the coefficient of the stream on words left with the same covariates, in units of
   the stream for a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from lengthlens.count.crossed import Crossed

PENALTIES = tuple(10.0**power for power in range(-4, 5))  # times the mean variance of the stream
FOLDS = 5
_ROUNDING = 1e-5  # of the stream's size: what float32 passes leave of differences

Labels = Float[np.ndarray, "row label"]


@dataclass(frozen=True)
class Probes:
    """Squared errors summed over each text's rows; label 0 is the true n, the others permuted.

    Attributes:
        stream: of covariates and stream, by layer; NaN for texts of the select topics.
        covariates: of covariates alone; mean: of the mean of the select rows.
        select: `beyond` of the true n on held-out select topics, by layer.
    """

    stream: Float[np.ndarray, "label layer text"]
    covariates: Float[np.ndarray, "label text"]
    mean: Float[np.ndarray, "label text"]
    select: Float[np.ndarray, " layer"]


@dataclass(frozen=True)
class Design:
    """Rows with what they are probed for.

    Attributes:
        crossed: the rows.
        covariates: columns of step 1.
        labels: words left, true and permuted.
        select: True for rows of select topics; topic: of every row.
        n_texts: answers given, those without rows included.
    """

    crossed: Crossed
    covariates: Float[np.ndarray, "row covariate"]
    labels: Labels
    select: Bool[np.ndarray, " row"]
    topic: Shaped[np.ndarray, " row"]
    n_texts: int

    @property
    def missing(self) -> str:
        """Why there is nothing to probe; empty where there is."""
        if not len(self.topic):
            return "no answer has a boundary step with a number of words that the study asks for"
        if len(np.unique(self.crossed.n)) < 2:
            return "the study asks for one number of words only, so that words left follow the text"
        for split, used in (("select", self.select), ("evaluate", ~self.select)):
            if len(np.unique(self.topic[used])) < 2:
                return f"fewer than two topics of the split {split} have answers that are probed"
        return ""


def design(crossed: Crossed, answers: Sequence[Mapping], draws: int, seed: int) -> Design:
    """What rows are probed for, and with which covariates."""
    columns = {name: np.array([row[name] for row in answers]) for name in ("template", "split")}
    template, split = (columns[name][crossed.text] for name in ("template", "split"))
    rng = np.random.default_rng(seed)
    permuted = [permuted_numbers(crossed, rng) - crossed.words for _ in range(draws)]
    return Design(
        crossed,
        covariates=np.column_stack(
            [
                np.ones(len(template)),
                *(crossed.words == w for w in np.unique(crossed.words)[1:]),
                *(template == name for name in np.unique(template)[1:]),
                crossed.position,
            ]
        ).astype(float),
        labels=np.column_stack([crossed.left, *permuted]).astype(float),
        select=split == "select",
        topic=np.array([row["topic"] for row in answers])[crossed.text],
        n_texts=len(answers),
    )


def permuted_numbers(crossed: Crossed, rng: np.random.Generator) -> Int[np.ndarray, " row"]:
    """n permuted among the versions of each text, one order for all of its steps."""
    keys = rng.random((crossed.text.max(initial=0) + 1, crossed.n.max(initial=0) + 1))
    groups = (crossed.words, crossed.text)
    found = np.empty_like(crossed.n)
    by_key = np.lexsort((keys[crossed.text, crossed.n], *groups))
    found[by_key] = crossed.n[np.lexsort((crossed.n, *groups))]
    return found


def probe(made: Design) -> Probes:
    """Fit and judge the probes of all layers (module docstring); all NaN where any is `missing`."""
    if made.missing:
        labels, layers = made.labels.shape[1], len(made.crossed.layers)
        sizes = ((labels, layers, made.n_texts), (labels, made.n_texts), (labels, made.n_texts))
        return Probes(*(np.full(size, np.nan) for size in (*sizes, (layers,))))
    own = _Left(made, made.select, ~made.select)
    folds = [_Left(made, train, test) for train, test in _folds(made)]
    by_covariates = sum((fold.labels_test**2).sum(0) for fold in folds)
    number = made.n_texts
    text = made.crossed.text[~made.select]
    streams, selected = [], []
    for stream in made.crossed.streams:
        held_out = sum(_squared_errors(fold, stream).sum(1) for fold in folds)
        penalty = held_out.argmin(0)
        selected.append(1 - held_out[penalty[0], 0] / by_covariates[0])
        errors = _squared_errors(own, stream)
        chosen = np.take_along_axis(errors, penalty[None, None], 0)[0]
        streams.append(_by_text(chosen, text, number))
    mean = made.labels[made.select].mean(0)
    return Probes(
        np.stack(streams, 1),
        _by_text(own.labels_test**2, text, number),
        _by_text((made.labels[~made.select] - mean) ** 2, text, number),
        np.array(selected),
    )


def directions(made: Design, layer: int) -> Float[np.ndarray, "label d_model"]:
    """d on the select topics: of the true n, and of each permutation, as long as the true one."""
    left = _Left(made, made.select, ~made.select)
    x, _ = left.of(made.crossed.streams[layer])
    found = left.labels.T @ x / (left.labels**2).sum(0)[:, None]
    size = np.linalg.norm(found, axis=1, keepdims=True)
    return found * (size[:1] / np.where(size > 0, size, 1.0))


class _Left:
    """What covariates leave, their coefficients fitted on the rows `train`."""

    def __init__(
        self, made: Design, train: Bool[np.ndarray, " row"], test: Bool[np.ndarray, " row"]
    ) -> None:
        self._rows = train, test
        self._covariates = [made.covariates[rows] for rows in self._rows]
        self._inverse = np.linalg.pinv(self._covariates[0])
        self.labels, self.labels_test = self.of(made.labels)

    def of(self, values: Float[np.ndarray, "row value"]) -> list[Float[np.ndarray, "part value"]]:
        """What is left of the rows of the fit, and of the others."""
        parts = [values[rows].astype(float) for rows in self._rows]
        coefficients = self._inverse @ parts[0]
        left = [
            part - covariates @ coefficients
            for part, covariates in zip(parts, self._covariates, strict=True)
        ]
        if np.square(left[0]).sum() < _ROUNDING**2 * np.square(parts[0]).sum():
            return [np.zeros_like(part) for part in left]  # the versions differ by rounding alone
        return left


def _squared_errors(
    left: _Left, stream: Float[np.ndarray, "row d_model"]
) -> Float[np.ndarray, "penalty test label"]:
    """Of ridge from the stream with every penalty, from one decomposition."""
    x, x_test = left.of(stream)
    size = np.square(x).sum()
    if not size > 0:
        return np.stack([left.labels_test**2] * len(PENALTIES))
    if len(x) < x.shape[1]:  # fewer rows than dimensions: in their space
        values, vectors = np.linalg.eigh(x @ x.T)
        inner, projected = vectors.T @ left.labels, x_test @ (x.T @ vectors)
    else:
        values, vectors = np.linalg.eigh(x.T @ x)
        inner, projected = vectors.T @ (x.T @ left.labels), x_test @ vectors
    mean = size / x.shape[1]
    scaled = (inner / (values.clip(0) + penalty * mean)[:, None] for penalty in PENALTIES)
    return np.stack([(left.labels_test - projected @ part) ** 2 for part in scaled])


def _folds(made: Design) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of select topics that are fitted and those that are held out, topics in turn."""
    topics, place = np.unique(made.topic[made.select], return_inverse=True)
    number = min(FOLDS, len(topics))
    for fold in range(number):
        out = np.zeros(len(made.topic), dtype=bool)
        out[np.flatnonzero(made.select)[place % number == fold]] = True
        yield made.select & ~out, out


def _by_text(
    values: Float[np.ndarray, "row label"], text: Int[np.ndarray, " row"], number: int
) -> Float[np.ndarray, "label text"]:
    """Sums over the rows of each text; NaN for texts without rows."""
    found = np.zeros((number, values.shape[1]))
    np.add.at(found, text, values)
    found[np.bincount(text, minlength=number) == 0] = np.nan
    return found.T
