"""Direct effect (DLA) of every component beside the total effect of removing it.

    PYTHONPATH=scripts python benchmarks/direct_and_total.py [--language en] [--prompts 12]

For both pocket models: at three steps of each answer (the first, the middle, the last) every head
and every MLP is removed on its own, at that position only (its output becomes zero). The total
effect is the fall of the produced token's logit, less the vocabulary mean; the direct effect is its
DLA for the target `token`. For the last layer's MLP the two must differ by nothing but the change
of the final norm's scale, which is computed exactly and checked. Printed by layer: the rank
correlation of direct and total effects over components and steps, with an interval clustered by
topic, and the mean of both.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from workload import generation

from lengthlens.attribution.dla import TARGETS, attribute_steps
from lengthlens.decoding.choose import Forced
from lengthlens.decoding.intervention import Intervention
from lengthlens.generation.answers import answer_row, record_batch, requests
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.language.languages import load_language
from lengthlens.language.prompts import build_prompts
from lengthlens.models.readout import readout_of
from lengthlens.statistics import spearman_interval
from lengthlens.weights.checkpoints import ModelSpec

SETTINGS = generation(max_new_tokens=64, batch_size=64, memory_gb=2, date="2026-01-01")


def one_by_one(loaded: LoadedModel) -> Intervention:
    """Row 0 removes nothing, every other row one head or one MLP; MLPs come last."""
    a = loaded.anatomy
    n_heads = a.n_layers * a.n_heads
    rows = 1 + n_heads + a.n_layers
    heads = torch.zeros(rows, n_heads, dtype=torch.bool)
    mlps = torch.zeros(rows, a.n_layers, dtype=torch.bool)
    heads[1 : 1 + n_heads] = torch.eye(n_heads).bool()
    mlps[1 + n_heads :] = torch.eye(a.n_layers).bool()
    return Intervention(heads.unflatten(1, (a.n_layers, a.n_heads)), mlps)


def effects(loaded: LoadedModel, readout, removed: Intervention, request, token: int):
    """Direct and total effects of all components on one token, and what the last MLP leaves.

    Returns:
        Two arrays over the components in the order of `removed`, and |total - direct - scale term|
        of the last layer's MLP over the token's largest logit.
    """
    rows = removed.n_rows
    decoded = loaded.decode(
        [request.tokens] * rows,
        1,
        choose=Forced([[token]] * rows),
        capture=True,
        intervention=removed,
    )
    steps = record_batch([request] * rows, decoded, loaded, "whitespace")
    scores = attribute_steps(readout, steps.steps, steps.residuals)
    target = TARGETS.index("token")
    direct = np.concatenate([scores.head[target, 0].ravel(), scores.mlp[target, 0]])
    logit = steps.steps.logit - steps.steps.mean_logit
    total = logit[0] - logit[1:]
    place = torch.tensor([token])
    constant = float(readout.constants(place)[0] - readout.mean_constant())
    scale = steps.steps.scale
    rescaled = (logit[-1] - constant) * (scale[-1] / scale[0] - 1)
    rest = abs(total[-1] - direct[-1] - rescaled) / np.abs(steps.steps.logit).max()
    return direct, total, rest


def measure(name: str, code: str, n_prompts: int) -> None:
    """Print the table of one model."""
    loaded = load(ModelSpec(name, name, path=f"resources/pocket/{name}"), device="cpu")
    readout, removed = readout_of(loaded.model), one_by_one(loaded)
    language = load_language(f"resources/languages/{code}.yaml")
    prompts = [p for n in (3, 6, 9) for p in build_prompts(language, n, 0, n_prompts, 0)]
    asked = requests(loaded, prompts, SETTINGS)
    answers = loaded.decode([r.tokens for r in asked], 64)
    found, topics = [], []
    for request, tokens, stopped in zip(asked, answers.tokens, answers.stopped, strict=True):
        topic = answer_row(request, tokens, stopped, loaded, "whitespace")["topic"]
        for step in sorted({0, len(tokens) // 2, len(tokens) - 1}):
            there = type(request)(request.sample_id, request.prompt, request.tokens + tokens[:step])
            found.append(effects(loaded, readout, removed, there, tokens[step]))
            topics.append(topic)
    direct, total, rests = map(np.stack, zip(*found, strict=True))
    a = loaded.anatomy
    layer = np.concatenate([np.repeat(np.arange(a.n_layers), a.n_heads), np.arange(a.n_layers)])
    is_mlp = np.arange(len(layer)) >= a.n_layers * a.n_heads
    print(f"\npocket-{name}, {code}: {len(topics)} steps of {len(asked)} answers")
    print(
        f"last MLP: direct + scale term misses the total by {rests.max():.1e} of the largest logit"
    )
    print("layer | kind | n | rank correlation | mean direct | mean total")
    for kind, chosen in (("heads", ~is_mlp), ("MLP", is_mlp)):
        for index in range(a.n_layers):
            columns = chosen & (layer == index)
            x, y = direct[:, columns].ravel(), total[:, columns].ravel()
            r = spearman_interval(x, y, np.repeat(topics, columns.sum()))
            interval = f"{float(r.estimate):.2f} [{float(r.low):.2f}, {float(r.high):.2f}]"
            print(f"{index} | {kind} | {len(x)} | {interval} | {x.mean():.2f} | {y.mean():.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--language", default="en")
    parser.add_argument("--prompts", type=int, default=12, help="for each of N = 3, 6, 9")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in ("base", "instruct"):
        measure(name, given.language, given.prompts)


if __name__ == "__main__":
    main()
