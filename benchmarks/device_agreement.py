"""How far a GPU in bfloat16 is from a CPU in float32: answers, attribution, patches, AtP.

    PYTHONPATH=scripts python benchmarks/device_agreement.py [--model FOLDER] [--dtype bfloat16]

The same model is loaded twice, on the CPU in float32 and on `--device` in `--dtype`. Both answer
the study's English prompts with everything recorded. Told are

- how many answers have the same tokens, and how many tokens agree before the first other one;
- the completeness error of either, as a share of the largest |logit|;
- for answers with the same tokens: what every component adds to the end margin at the decision;
- for the same legal swaps: the N effect, the noising patch of every component at all positions, and
  AtP, which the study computes in float32 on any device.

Of arrays are told the largest difference, as a share of the largest value in float32 on the CPU,
and Spearman's correlation over components.
"""

from __future__ import annotations

import argparse
from os.path import commonprefix

import numpy as np
import torch
import xarray as xr
from patching import ALL, DATE, FOLDER, MEMORY_GB, N_WORDS, patches
from scipy.stats import spearmanr
from workload import english, generation

from lengthlens.attribution.per_sample import attribute_batches
from lengthlens.generation.answers import answer_prompts
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.generation.swaps import swap_material
from lengthlens.language.languages import load_language
from lengthlens.models.readout import readout_of
from lengthlens.patching.atp import attribute_swaps
from lengthlens.patching.runs import SwapRuns
from lengthlens.weights.checkpoints import ModelSpec

SETTINGS = generation(max_new_tokens=64, batch_size=32, date=DATE)


def answered(loaded: LoadedModel, per_n: int) -> tuple[list[dict], xr.Dataset]:
    """The model's answers to English prompts, and their attribution."""
    parts = list(answer_prompts(loaded, english(per_n), SETTINGS, "whitespace"))
    scores, *_ = attribute_batches(readout_of(loaded.model), [batch for _, batch in parts], set())
    return [row for rows, _ in parts for row in rows], scores


def told(name: str, reference: np.ndarray, other: np.ndarray) -> None:
    """One line: the largest difference and the correlation, where there are components."""
    difference = np.abs(other - reference).max() / np.abs(reference).max()
    line = f"{name:44}{difference:12.2g}"
    print(line + (f"{spearmanr(reference, other).statistic:12.4f}" if reference.ndim == 1 else ""))


def compare_answers(cpu: tuple, device: tuple) -> None:
    """Tokens, completeness, and the decision's parts."""
    (rows, scores), (others, other_scores) = cpu, device
    tokens = [(one["tokens"], two["tokens"]) for one, two in zip(rows, others, strict=True)]
    same = np.array([one == two for one, two in tokens])
    before = sum(len(commonprefix(pair)) for pair in tokens)
    share = before / sum(len(one) for one, _ in tokens)
    print(
        f"{same.sum()} of {len(same)} answers have the same tokens; {share:.1%} of all tokens agree"
    )
    for name, found in (("CPU, float32", scores), ("device", other_scores)):
        error = float((found["completeness_error"] / found["logit_scale"]).max())
        print(f"{'completeness error, ' + name:44}{error:12.2g}")
    for kind in ("head", "mlp"):
        one, two = (found[f"decision_{kind}"].to_numpy()[same] for found in (scores, other_scores))
        decided = np.isfinite(one).all(tuple(range(1, one.ndim)))
        means = (part[decided].mean(0).ravel() for part in (one, two))
        told(f"decision, {kind}s, mean over answers", *means)


def compare_swaps(cpu: LoadedModel, device: LoadedModel, rows: list[dict]) -> None:
    """N effects, patches and AtP of the CPU's answers."""
    language = load_language("resources/languages/en.yaml")
    material = swap_material(cpu, language, rows, Reading(N_WORDS, "whitespace", DATE), (1,))
    swaps = [swap for _, swap in material.legal(1)]
    if not swaps:
        print("no answer has a legal swap, so nothing is patched")
        return
    models = (cpu, device)
    effects = [np.array([SwapRuns(m, s, MEMORY_GB).effect for s in swaps]) for m in models]
    told(f"N effect of {len(swaps)} answers", *effects)
    told(
        "patches of all components, mean",
        *(np.mean([patches(m, s) for s in swaps], 0) for m in models),
    )
    if next(device.model.parameters()).dtype != torch.float32:
        device = load(device.spec, dtype="float32", device=str(device.device.type))
    found = (attribute_swaps(m, swaps, MEMORY_GB) for m in (cpu, device))
    means = (np.concatenate([f.head[ALL].mean(0).ravel(), f.mlp[ALL].mean(0)]) for f in found)
    told("AtP of all components in float32, mean", *means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=FOLDER, help="folder of a model that follows a chat")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--per-n", type=int, default=2, help="prompts for each N")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    spec = ModelSpec("model", "instruct", path=given.model)
    cpu = load(spec, dtype="float32", device="cpu", threads=given.threads)
    device = load(spec, dtype=given.dtype, device=given.device, threads=given.threads)
    print(f"{given.model}: float32 on the CPU, beside {given.dtype} on {device.device}")
    rows, scores = answered(cpu, given.per_n)
    print(f"{'':44}{'difference':>12}{'correlation':>12}")
    compare_answers((rows, scores), answered(device, given.per_n))
    compare_swaps(cpu, device, rows)


if __name__ == "__main__":
    main()
