"""Answers, rankings and ablations made by hand: test data, no results of any model."""

import numpy as np
import pandas as pd
import xarray as xr

TEST_TOPICS = tuple(f"topic-{index:02d}" for index in range(12))


def make_answers(
    models: dict[str, str],
    languages: tuple[str, ...] = ("en", "it"),
    n_words: tuple[int, ...] = (3, 5),
    per_n: int = 12,
    seed: int = 0,
) -> pd.DataFrame:
    """Base models overshoot, some of their answers are cut; tuned models are nearly exact."""
    rng = np.random.default_rng(seed)
    rows = []
    for model, tuning in models.items():
        for language in languages:
            for n in n_words:
                for index in range(per_n):
                    untuned = tuning == "untuned"
                    error = int(rng.integers(4, 20) if untuned else rng.choice([-1, 0, 0, 0]))
                    cut = untuned and index % 3 == 0
                    name = f"{language}-n{n}-{index:04d}"
                    rows.append(
                        {
                            "sample_id": f"{name}#0",
                            "prompt_id": name,
                            "language": language,
                            "n": n,
                            "topic": TEST_TOPICS[index % len(TEST_TOPICS)],
                            "template": "plain",
                            "split": ("select", "evaluate")[index % 2],
                            "text": " ".join(["word"] * (n + error)),
                            "tokens": list(range(n + error)),
                            "words": n + error,
                            "error": error,
                            "stopped": not cut,
                            "truncated": cut,
                            "thinking_tokens": 0,
                            "cut_thinking": False,
                            "model": model,
                        }
                    )
    return pd.DataFrame(rows)


def make_ranking(layers: int = 3, heads: int = 2, missing: bool = False) -> pd.DataFrame:
    """Heads ranked from the first to the last; `missing`: the end contrast has no scores."""
    rows = []
    for method in ("cwa", "end_contrast"):
        for place in range(layers * heads):
            layer, head = divmod(place, heads)
            none = missing and method == "end_contrast"
            rows.append(
                {
                    "component": f"L{layer}H{head}",
                    "kind": "head",
                    "layer": layer,
                    "head": head,
                    "method": method,
                    "score": np.nan if none else 1.0 - place,
                    "rank": pd.NA if none else place + 1,
                }
            )
    return pd.DataFrame(rows).astype({"head": "Int64", "rank": "Int64"})


def make_ablation(
    k: tuple[int, ...] = (1, 2),
    controls: int = 5,
    samples: int = 12,
    damage: float = 4.0,
    margins: bool = True,
    seed: int = 0,
) -> xr.Dataset:
    """Chosen sets add `damage` words for every head removed, control sets one word."""
    rng = np.random.default_rng(seed)
    labels = [("none", "none", 0, False, 0, "")]
    labels += [
        (method, "zero", size, draw > 0, draw, "top")
        for method in ("cwa", "end_contrast")
        for size in k
        for draw in range(controls + 1)
    ]
    error = np.stack(
        [
            np.zeros(samples)
            if method == "none"
            else (1.0 if control else damage * size) + rng.integers(0, 2, samples)
            for method, _, size, control, *_ in labels
        ]
    )
    margin = 2.0 - error if margins else np.full_like(error, np.nan)
    dims = ("condition", "sample")
    names = ("method", "mode", "k", "control", "draw", "chosen_by")
    columns = dict(zip(names, zip(*labels, strict=True), strict=True))
    return xr.Dataset(
        {
            "error": (dims, error.astype(int)),
            "words": (dims, error.astype(int) + 5),
            "stopped": (dims, np.ones(error.shape, bool)),
            "truncated": (dims, np.zeros(error.shape, bool)),
            "end_margin": (dims, margin.astype(np.float32)),
            "neutral_loglik": (("condition",), np.zeros(len(labels))),
            "sentence_loglik": (("condition", "sentence"), -2.0 - rng.random((len(labels), 6))),
            "sentence_tokens": (("sentence",), np.arange(5, 11)),
        },
        coords={name: ("condition", list(values)) for name, values in columns.items()}
        | {
            "components": (
                "condition",
                ["" if not size else "L0H0" for _, _, size, *_ in labels],
            ),
            "kind": ("condition", ["head" if size else "none" for _, _, size, *_ in labels]),
            "source_language": ("condition", ["en"] * len(labels)),
            "n_possible": ("condition", [50.0] * len(labels)),
            "test": ("condition", [""] * len(labels)),
            "pool": ("condition", ["disjoint" if size else "" for _, _, size, *_ in labels]),
            "topic": ("sample", [TEST_TOPICS[i % len(TEST_TOPICS)] for i in range(samples)]),
            "n": ("sample", np.repeat(5, samples)),
            "sample_id": ("sample", [f"s{i}#0" for i in range(samples)]),
        },
    )
