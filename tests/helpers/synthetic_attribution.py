"""Attribution files made by hand: scores and signs of every step are kept beside their sums."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

TARGETS = ("token", "logit", "end")


@dataclass(frozen=True)
class Synthetic:
    """The dataset and, for each sample, its steps' scores by component, signs and boundaries."""

    dataset: xr.Dataset
    scores: list[dict[str, np.ndarray]]  # component -> [target, step, layer?, head?]
    signs: list[np.ndarray]
    boundary: list[np.ndarray]


def shifted(score: np.ndarray, sign: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """Variance over all circular shifts of the signs, one by one; `end`: of boundary steps."""
    targets = []
    for target, values in enumerate(score):
        used = boundary if target == 2 else np.ones_like(boundary)
        steps = np.arange(used.sum())
        turned = sign[used][steps - steps[:, None]]  # a row a shift; negative places wrap around
        targets.append(np.var(np.tensordot(turned, values[used], axes=1), axis=0))
    return np.stack(targets)


def make_attribution(
    seed: int = 0,
    n_words: tuple[int, ...] = (3, 4, 5),
    per_n: int = 10,
    layers: int = 3,
    heads: int = 2,
    shift: dict[str, float] | None = None,
    plus_share: float = 0.7,
    topics: int = 12,
    noise: float = 1.0,
) -> Synthetic:
    """Random scores; `shift` adds to every step's score of a component (numbers or arrays)."""
    rng = np.random.default_rng(seed)
    shapes = {"head": (layers, heads), "mlp": (layers,), "embed": (), "bias": ()}
    dims = {"head": ("layer", "head"), "mlp": ("layer",), "embed": (), "bias": ()}
    n = np.repeat(n_words, per_n)
    sums: dict[str, list[np.ndarray]] = {}
    scores, signs, boundaries = [], [], []
    for number in n:
        steps = number + 1 + rng.integers(3)
        sign = np.where(rng.random(steps) < plus_share, 1, -1)
        boundary = rng.random(steps) < 0.6
        boundary[0] = True
        by_component = {}
        for kind, shape in shapes.items():
            score = noise * rng.standard_normal((3, steps, *shape)) + (shift or {}).get(kind, 0.0)
            score[2, ~boundary] = 0.0
            by_component[kind] = score
            wide = (None, slice(None)) + (None,) * len(shape)
            signed = score * sign[wide]
            plus = (signed * (sign > 0)[wide]).sum(axis=1)
            minus = (signed * (sign < 0)[wide]).sum(axis=1)
            parts = {"": plus + minus, "_plus": plus, "_minus": minus}
            for suffix, value in parts.items():
                sums.setdefault(f"cwa_{kind}{suffix}", []).append(value)
            sums.setdefault(f"null_variance_{kind}", []).append(shifted(score, sign, boundary))
            if kind == "head":
                layer = shifted(score.sum(axis=-1), sign, boundary)
                sums.setdefault("null_variance_head_layer", []).append(layer)
        scores.append(by_component)
        signs.append(sign)
        boundaries.append(boundary)
    data = {}
    for name, values in sums.items():
        kind = name.removeprefix("cwa_").removeprefix("null_variance_")
        kind = "mlp" if kind == "head_layer" else kind.split("_")[0]  # for its dimensions
        data[name] = (("target", "sample", *dims[kind]), np.stack(values, axis=1))
    pairs = list(zip(signs, boundaries, strict=True))
    counts = {
        "n_steps": [len(s) for s, _ in pairs],
        "n_negative": [(s < 0).sum() for s, _ in pairs],
        "n_boundary": [b.sum() for _, b in pairs],
        "n_boundary_negative": [(b & (s < 0)).sum() for s, b in pairs],
    }
    data |= {name: (("sample",), np.array(value)) for name, value in counts.items()}
    sizes = np.random.default_rng([seed, 1])
    for kind in ("head", "mlp"):
        norms = 1 + sizes.random((1, *shapes[kind])) + 0.1 * sizes.random((len(n), *shapes[kind]))
        data[f"norm_{kind}"] = (("sample", *dims[kind]), norms)
    names = np.array([f"topic-{i % topics:02d}" for i in range(len(n))])
    dataset = xr.Dataset(
        data,
        coords={
            "target": list(TARGETS),
            "layer": np.arange(layers),
            "head": np.arange(heads),
            "sample_id": ("sample", [f"s{i}" for i in range(len(n))]),
            "n": ("sample", n),
            "topic": ("sample", names),
        },
    )
    return Synthetic(dataset, scores, signs, boundaries)
