"""Analyse CWA by hand: from the answers' sums to a mean with an interval, and a ranking.

Run `python examples/analyse_cwa.py results/pocket` after the default study. It

1. takes the CWA of every head of one model from its attribution file, one number an answer;
2. averages it over answers and puts an interval around it that resamples topics, not answers;
3. compares the mean with the one in cwa.nc: they must be the same;
4. lists the heads whose interval lies farthest from zero.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))  # or: pip install -e .

import lengthlens  # noqa: E402


def mean_of_topics(values: np.ndarray, topics: np.ndarray, draws: int = 1000) -> np.ndarray:
    """Mean over answers with a plain percentile interval of resampled topics: value, low, high.

    Args:
        values: [answer, layer, head].
        topics: of each answer.

    The project's own intervals (docs/statistics.md) are a little wider, and cover better.
    """
    rng = np.random.default_rng(0)
    names, place = np.unique(topics, return_inverse=True)
    sums = np.stack([values[place == topic].sum(0) for topic in range(len(names))])
    counts = np.bincount(place).astype(float)
    picks = rng.integers(len(names), size=(draws, len(names)))
    means = sums[picks].sum(1) / counts[picks].sum(1)[:, None, None]
    return np.stack([values.mean(0), *np.quantile(means, [0.025, 0.975], axis=0)])


def main(run: Path, model: str, language: str) -> None:
    """Print the five heads whose CWA is surest to differ from zero, and check cwa.nc."""
    attribution = lengthlens.open_attribution(run / f"attribution/{model}.{language}.nc")
    cwa = attribution["cwa_head"].sel(target="token").transpose("sample", "layer", "head")
    value, low, high = mean_of_topics(cwa.to_numpy(), attribution["topic"].to_numpy())

    means = lengthlens.open_cwa(run / "cwa.nc")
    by_n = means["cwa_head"].sel(target="token", model=model, language=language)
    weights = means["n_samples"].sel(model=model, language=language)
    stored = (by_n * weights).sum("n") / weights.sum()
    difference = float(np.abs(stored.transpose("layer", "head").to_numpy() - value).max())
    print(
        f"{model}, {language}: {len(cwa)} answers; differs from cwa.nc by {difference:.1e} logits"
    )

    distance = np.maximum(low, -high)  # of the interval's nearer end from zero
    for place in np.argsort(-distance, axis=None)[:5]:
        layer, head = np.unravel_index(place, value.shape)
        at = layer, head
        print(f"L{layer}H{head}  {value[at]:+8.3f}  [{low[at]:+.3f}, {high[at]:+.3f}]")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Analyse CWA by hand.")
    parser.add_argument("run", type=Path, help="folder of a run, such as results/pocket")
    parser.add_argument("--model", default="pocket-instruct")
    parser.add_argument("--language", default="en")
    given = parser.parse_args()
    main(given.run, given.model, given.language)
