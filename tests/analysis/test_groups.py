"""Groups of components: their layers, and their CWA beside what shifted signs give."""

import numpy as np
import pytest
from synthetic_attribution import make_attribution

from lengthlens.analysis.groups import FINAL_MLP, LATE_HEADS, Group


@pytest.mark.parametrize(
    ("group", "target"), [(LATE_HEADS, "token"), (FINAL_MLP, "end"), (Group("mlp", (0, 1)), "end")]
)
def test_sums_are_those_of_every_step(group: Group, target: str) -> None:
    """total = Σ_t s_t d_t; shifted = mean over all n shifts of the signs = (Σ s / n) Σ_t d_t."""
    made = make_attribution(5)
    sums, layers = group.sums(made.dataset, target), group.layers(3)
    place = ("token", "logit", "end").index(target)
    for sample, (scores, signs, boundary) in enumerate(
        zip(made.scores, made.signs, made.boundary, strict=True)
    ):
        used = boundary if target == "end" else np.ones_like(boundary)
        own = scores[group.kind][place][:, layers].reshape(len(signs), -1).sum(axis=1)[used]
        assert sums.total[sample] == pytest.approx((signs[used] * own).sum())
        assert sums.shifted[sample] == pytest.approx(signs[used].mean() * own.sum())
        assert sums.steps[sample] == used.sum() and sums.plus[sample] == (signs[used] > 0).sum()


def test_layers_of_a_group() -> None:
    assert LATE_HEADS.layers(32).tolist() == list(range(24, 32))
    assert FINAL_MLP.layers(6).tolist() == [5]
    assert Group("head", (0.4, 0.45)).layers(4).tolist() == []
