"""What patching costs: AtP and noising patches of every component, beside plain forward passes.

    PYTHONPATH=scripts python benchmarks/patching.py [--prompts 2]

The tuned pocket model answers English prompts; each answer is read under its own number and the
next larger one. CPU seconds on one thread, in turn text by text, as multiples of one forward pass
over the same text (one row, no cache):

- `atp`: all heads and MLPs by attribution patching, this one text; `atp, together`: the same texts
  in batches;
- `patches`: every head and MLP exchanged at all positions, ours;
- `atp, lens`: TransformerLens' own attribution patching, text by text, summed over positions;
- `lens`: the same patches by TransformerLens, one `run_with_hooks` a component, as its tutorials
  do. Both are left out, with a word, where it is not installed.

The last column is the largest difference: of AtP's batches from single texts, of ours from
TransformerLens. [logits]
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch
from workload import N_WORDS, english, generation, timed, transformer_lens

from lengthlens.generation.answers import answer_prompts
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.generation.swaps import Swap, swap_material
from lengthlens.language.languages import load_language
from lengthlens.patching.atp import attribute_swaps
from lengthlens.patching.runs import OTHER, POSITIONS, REACHED, SwapRuns, single_sets
from lengthlens.weights.checkpoints import ModelSpec

FOLDER = "resources/pocket/instruct"
DATE = "2026-01-01"
SETTINGS = generation(max_new_tokens=64, batch_size=64, memory_gb=2, date=DATE)
MEMORY_GB = 2.0
ALL = POSITIONS.index("all")


def texts(loaded: LoadedModel, per_n: int) -> list[Swap]:
    """The legal swaps +1 of the model's answers."""
    language = load_language("resources/languages/en.yaml")
    answered = answer_prompts(loaded, english(per_n), SETTINGS, "whitespace")
    rows = [row for part, _ in answered for row in part]
    material = swap_material(loaded, language, rows, Reading(N_WORDS, "whitespace", DATE), (1,))
    return [swap for _, swap in material.legal(1)]


def token_ids(swap: Swap) -> torch.Tensor:
    """Both runs of a swap."""
    return torch.tensor([[*prompt, *swap.answer] for prompt in (swap.reached, swap.other)])


def patches(loaded: LoadedModel, swap: Swap) -> np.ndarray:
    """Our noising patches at all positions: heads, then MLPs."""
    a = loaded.anatomy
    heads, mlps = np.ones((a.n_layers, a.n_heads), dtype=bool), np.ones(a.n_layers, dtype=bool)
    runs = SwapRuns(loaded, swap, MEMORY_GB)
    found = runs.patched(single_sets(heads, mlps, REACHED, "all", loaded.device))
    return runs.clean.fixed[REACHED] - found.fixed


class Lens:
    """The same by TransformerLens."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.bridge = loaded, transformer_lens(loaded, FOLDER)

    @torch.no_grad()
    def __call__(self, swap: Swap, pair: tuple[int, int]) -> np.ndarray:
        ids, a = token_ids(swap), self.loaded.anatomy
        sites = [
            (f"blocks.{layer}.attn.hook_z", h)
            for layer in range(a.n_layers)
            for h in range(a.n_heads)
        ]
        sites += [(f"blocks.{layer}.hook_mlp_out", None) for layer in range(a.n_layers)]
        names = {name for name, _ in sites}
        _, other = self.bridge.run_with_cache(ids[OTHER:], names_filter=lambda name: name in names)

        def margin(hooks: list) -> float:
            logits = self.bridge.run_with_hooks(ids[REACHED : REACHED + 1], fwd_hooks=hooks)[0, -1]
            return float(logits[pair[0]] - logits[pair[1]])

        def exchange(head: int | None):
            def hook(value, hook):
                if head is None:
                    return other[hook.name]
                value = value.clone()
                value[:, :, head] = other[hook.name][:, :, head]
                return value

            return hook

        clean = margin([])
        return np.array([clean - margin([(name, exchange(head))]) for name, head in sites])

    def attribute(self, swap: Swap, pair: tuple[int, int]) -> np.ndarray:
        """AtP of every head and MLP, from the gradient in the reached run."""
        from transformer_lens.tools.analysis.attribution_patching import attribution_patch

        ids, a = token_ids(swap), self.loaded.anatomy
        with torch.enable_grad():
            made = attribution_patch(
                self.bridge,
                ids[OTHER:],
                ids[REACHED : REACHED + 1],
                lambda logits: logits[0, -1, pair[0]] - logits[0, -1, pair[1]],
            )
        heads, mlps = np.zeros((a.n_layers, a.n_heads)), np.zeros(a.n_layers)
        for node, score in made.node_scores.items():
            if node.kind == "attn_head_out":
                heads[node.layer, node.head] -= score
            elif node.kind == "mlp_out":
                mlps[node.layer] -= score
        return np.concatenate([heads.ravel(), mlps])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=2, help="for each N")
    options = parser.parse_args()
    loaded = load(ModelSpec("pocket", "instruct", path=FOLDER), dtype="float32", threads=1)
    swaps = texts(loaded, options.prompts)
    try:
        lens = Lens(loaded)
    except ImportError:
        lens, _ = None, print("TransformerLens is not installed: left out")
    times, single, deviation = [], [], {"patches": 0.0, "atp": 0.0}
    for swap in swaps[:1] + swaps:  # the first one twice: the first time warms up
        ids = token_ids(swap)[:1]
        with torch.no_grad():
            taken = {"forward": timed(lambda ids=ids: loaded.model(ids, use_cache=False))[0]}
        taken["atp"], _, found = timed(attribute_swaps, loaded, [swap], MEMORY_GB)
        taken["patches"], _, ours = timed(patches, loaded, swap)
        runs = SwapRuns(loaded, swap, MEMORY_GB)
        if lens is not None:
            pair = runs.ender, runs.word
            taken["lens"], _, patched = timed(lens, swap, pair)
            taken["atp, lens"], _, estimated = timed(lens.attribute, swap, pair)
            own_atp = np.concatenate([found.head[ALL, 0].ravel(), found.mlp[ALL, 0]])
            sides = {"patches": (ours, patched), "atp": (own_atp, estimated)}
            for name, (own, theirs) in sides.items():
                deviation[name] = max(deviation[name], float(np.abs(own - theirs).max()))
        single.append(found.head)
        times.append(taken)
    together, _, found = timed(attribute_swaps, loaded, swaps, MEMORY_GB)
    batches = float(np.abs(found.head - np.concatenate(single[1:], 1)).max())
    spent = pd.DataFrame(times[1:]).sum()
    spent["atp, together"] = together
    components = loaded.anatomy.n_layers * (loaded.anatomy.n_heads + 1)
    print(
        f"{len(swaps)} texts, {components} components, {spent['forward']:.3f} s of forward passes"
    )
    print(f"{'method':16}{'forward passes a text':>24}{'difference':>14}")
    told = {"atp, together": batches} | (deviation if lens else {})
    for name in ("forward", "atp", "atp, together", "atp, lens", "patches", "lens"):
        if name in spent:
            ratio = spent[name] / spent["forward"]
            print(f"{name:16}{ratio:24.2f}{told.get(name, np.nan):14.2g}")


if __name__ == "__main__":
    main()
