"""Which hybrids of a pair are made: every part of the weights, both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lengthlens.ablation.conditions import matched_draws
from lengthlens.ablation.selection import component_name
from lengthlens.configuration.pairs import TUNINGS
from lengthlens.models.depth import LATE, layers_between
from lengthlens.settings.sections import Transplant
from lengthlens.statistics.blocks import Block
from lengthlens.transplant.parts import KINDS, Parts, Piece

NONE, WHOLE, HEADS, MLP = "none", "all", "heads", "mlp"


@dataclass(frozen=True)
class Hybrid:
    """One model with parts of the other's weights.

    Attributes:
        into: the model that is changed, `untuned` or `tuned`; the parts are of the other.
        what: `none`, `all`, `heads`, or a kind of parts.KINDS.
        layers: "" for the whole model, "4-5" for those layers.
        components: "L3H5;L4H0", of sets of heads or of single MLPs.
        kv: key-value groups that move with the heads, "L3G1".
        scale: 1 for the other's own weights.
        draw: 0, or the number of a random set beside a chosen one.
        answered: whether it answers prompts.
        pieces: what is transplanted.
    """

    into: str
    what: str = NONE
    layers: str = ""
    components: str = ""
    kv: str = ""
    scale: float = 1.0
    draw: int = 0
    answered: bool = True
    pieces: tuple[Piece, ...] = ()

    @property
    def control(self) -> bool:
        """Whether it is a random set beside a chosen one."""
        return self.draw > 0

    @property
    def label(self) -> str:
        """The part in words, for messages and the list of what does not differ."""
        return " ".join(filter(None, (self.what, self.layers, self.components)))


def plan_hybrids(parts: Parts, circuit: Sequence[str], plan: Transplant) -> list[Hybrid]:
    """Nothing transplanted into either model; then every part into one, then into the other.

    Args:
        parts: of the pair's shape.
        circuit: components of the tuned model's smallest circuit, "L3H5" and "L5M"; may be empty.
        plan: how many.
    """
    made = {(h.what, h.layers, h.components, h.draw): h for h in _parts(parts, circuit, plan)}
    dose = [replace(made[WHOLE, "", "", 0], scale=scale) for scale in plan.scales if scale != 1]
    untuned, tuned = ([replace(h, into=into) for h in made.values()] for into in TUNINGS)
    return [*(Hybrid(into) for into in TUNINGS), *untuned, *dose, *tuned]


def _parts(parts: Parts, circuit: Sequence[str], plan: Transplant) -> Iterator[Hybrid]:
    n_layers, to = parts.anatomy.n_layers, TUNINGS[0]
    yield Hybrid(to, WHOLE, pieces=parts.whole())
    late = len(layers_between(n_layers, *LATE))
    for first, last in layer_ranges(n_layers, plan.every):
        layers = range(first, last + 1)
        answered = plan.answer_layers or first < last or n_layers - first == late
        pieces = parts.of_layers(layers)
        yield Hybrid(to, WHOLE, f"{first}-{last}", answered=answered, pieces=pieces)
    for kind in KINDS:
        yield Hybrid(to, kind, pieces=parts.of_kind(kind))
    final = n_layers - 1
    yield Hybrid(to, MLP, f"{final}-{final}", pieces=parts.of_kind(MLP, [final]))
    yield from _circuit(parts, circuit, plan)


def layer_ranges(n_layers: int, every: int) -> list[tuple[int, int]]:
    """First and last layer of every single layer, and cumulative from the bottom and the top.

    The last quarter, and what is below it, is always among them.
    """
    late = layers_between(n_layers, *LATE)[:1].tolist()  # none of a single layer
    edges = sorted({*range(0, n_layers, every), *late} - {0})
    found = [(layer, layer) for layer in range(n_layers)]
    found += [(0, edge - 1) for edge in edges]
    found += [(edge, n_layers - 1) for edge in edges]
    return list(dict.fromkeys([*found, (0, n_layers - 1)]))


def _circuit(parts: Parts, circuit: Sequence[str], plan: Transplant) -> Iterator[Hybrid]:
    """The circuit's heads and its MLPs, each beside random sets.

    Controls of heads are as many heads of the same layers; an MLP has no like in its own layer, so
    those of MLPs are as many MLPs of any layers.
    """
    layout, to, found = parts.anatomy.layout, TUNINGS[0], []
    heads = sorted(tuple(map(int, name[1:].split("H"))) for name in circuit if "H" in name)
    if heads and not parts.why_no_heads():
        seed = f"{plan.seed}:transplant"
        draws = matched_draws(heads, layout.blocks, plan.controls, seed, "all")
        for draw, chosen in enumerate([heads, *draws]):
            components = ";".join(component_name(*head) for head in chosen)
            groups = ";".join(f"L{layer}G{group}" for layer, group in parts.groups_within(chosen))
            pieces = parts.of_heads(chosen)
            hybrid = Hybrid(to, HEADS, components=components, kv=groups, pieces=pieces)
            found.append((draw, hybrid))
    mlps = sorted(int(name[1:-1]) for name in circuit if name.endswith("M"))
    if mlps:
        # MLPs of all layers stand beside each other as the heads of one layer do.
        beside = [(0, layout.mlps.index(layer)) for layer in mlps]
        every = [Block(0, 0, len(layout.mlps))]
        draws = matched_draws(beside, every, plan.controls, f"{plan.seed}:mlps", "all")
        for draw, chosen in enumerate([beside, *draws]):
            layers = [layout.mlps[place] for _, place in chosen]
            components = ";".join(map(component_name, layers))
            pieces = parts.of_kind(MLP, layers)
            found.append((draw, Hybrid(to, MLP, components=components, pieces=pieces)))
    for draw, hybrid in found:
        yield replace(hybrid, draw=draw, answered=plan.answer_layers or draw == 0)
