"""How intervals are made: one object that is built from the section `statistics` and passed on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lengthlens.errors import LengthlensError

INTERVAL_METHODS = ("guarded", "bootstrap_t", "bca", "student")  # module docstring of `intervals`
FEWEST_IN_TAIL = 2  # for a quick look; for figures take 2000 resamples


@dataclass(frozen=True)
class Bootstrap:
    """Confidence level, and the draws of topics (or permutations) behind an interval.

    Attributes:
        level: coverage of the intervals, between 0 and 1.
        resamples: number of draws.
        seed: of the draws; equal seeds give equal draws of equal topics.
        method: of intervals for means and ratios, one of INTERVAL_METHODS.

    Raises:
        LengthlensError: a value is out of its range, or there are too few draws for the level.
    """

    level: float = 0.95
    resamples: int = 2000
    seed: int | tuple[int, ...] | np.random.Generator = 0
    method: str = "guarded"

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise LengthlensError(f"level must lie between 0 and 1, but is {self.level}: try 0.95")
        if self.method not in INTERVAL_METHODS:
            raise LengthlensError(
                f"unknown method {self.method!r}: choose one of {', '.join(INTERVAL_METHODS)}"
            )
        if not self.enough_for(self.level) and self.method != "student":
            raise LengthlensError(
                f"{self.resamples} resamples leave fewer than {FEWEST_IN_TAIL} in each tail at "
                f"level {self.level}: use at least "
                f"{int(np.ceil(2 * FEWEST_IN_TAIL / (1 - self.level) - 1e-9))}"
            )

    def enough_for(self, level: float) -> bool:
        """Whether the draws have enough in each tail at a level."""
        return self.resamples * (1 - level) / 2 >= FEWEST_IN_TAIL

    @property
    def tails(self) -> list[float]:
        """The quantiles between which the central part of the draws lies."""
        return [(1 - self.level) / 2, (1 + self.level) / 2]

    def rng(self) -> np.random.Generator:
        """A generator at the beginning of the draws."""
        return np.random.default_rng(self.seed)

    def apart(self, number: int) -> Bootstrap:
        """The same with draws of its own: those of the seed (seed, number)."""
        return replace(self, seed=(self.seed, number))

    def at(self, level: float) -> Bootstrap:
        """The same draws for another level; `student` where they are too few for it."""
        method = self.method if self.enough_for(level) else "student"
        return replace(self, level=level, method=method)


DEFAULT = Bootstrap()
