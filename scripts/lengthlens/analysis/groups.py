"""Groups of components: heads or MLPs of some layers, whose CWA is added up within each answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from lengthlens.models.depth import LATE, layers_between
from lengthlens.statistics import sign_null_mean

FINAL = "final"


@dataclass(frozen=True)
class Sums:
    """CWA of a group in every answer.

    Attributes:
        total: as observed.
        shifted: its mean over all circular shifts of the signs (the null).
        steps: all steps (target `end`: boundary steps); plus: those with the sign +1.
    """

    total: Float[np.ndarray, " sample"]
    shifted: Float[np.ndarray, " sample"]
    steps: Float[np.ndarray, " sample"]
    plus: Float[np.ndarray, " sample"]


@dataclass(frozen=True)
class Group:
    """Components of a kind (`head` or `mlp`) between two fractions of depth, or the `FINAL` one."""

    kind: str
    where: Sequence[float] | str

    def layers(self, n_layers: int) -> Int[np.ndarray, " layer"]:
        """The layers of a model that has so many; none where they are too far apart."""
        if self.where == FINAL:
            return np.array([n_layers - 1])
        return layers_between(n_layers, *map(float, self.where))

    def sums(self, data: xr.Dataset, target: str = "token") -> Sums:
        """Add up over the group's components, given the variables of an attribution file."""
        edge = "boundary" if target == "end" else "steps"
        steps = data[f"n_{edge}"].to_numpy().astype(float)
        negative = data["n_boundary_negative" if target == "end" else "n_negative"].to_numpy()
        layers = self.layers(data.sizes["layer"])

        def read(end: str) -> np.ndarray:
            values = data[f"cwa_{self.kind}{end}"].sel(target=target).isel(layer=layers)
            dims = [dim for dim in values.dims if dim != "sample"]
            # NOTE NaN where these layers have no such component, not 0.
            least = min(1, len(layers))
            return values.sum(dims, min_count=least).to_numpy().astype(float)

        shifted = sign_null_mean(steps - negative, steps, read("_plus") - read("_minus"))
        return Sums(read(""), shifted, steps, steps - negative)


LATE_HEADS, FINAL_MLP = Group("head", LATE), Group("mlp", FINAL)
