"""Paths between components, in the two runs of a swap.

The path from a sender to a receiver is patched in three steps (Wang et al. 2023, arXiv 2211.00593;
Goldowsky-Dill et al. 2023, arXiv 2304.05969):

1. What the sender gives more in the other run than in the reached one is added to the receiver's
   input in the reached run, before the receiver's norm, which is computed anew. Everything between
   them is as in the reached run. Of a head the query is changed at the last position, key or value
   at all positions from the numeral on.
2. The receiver's output is computed from that input.
3. It replaces the receiver's output in the reached run; what follows runs freely.

A layer that reads the keys and values of an earlier one receives into them what that layer does.

The margin's fall is the path's effect, positive where it carries N. Senders are components and the
embedding; the receiver `logits` is the final norm, in step 1 alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lengthlens.ablation.conditions import heads_between
from lengthlens.circuits.orders import EMBEDDING, LOGITS, component_names, split_receiver
from lengthlens.decoding.donors import placed
from lengthlens.decoding.inputs import PARTS, ShiftedInputs, reads_attention, sources_of_keys
from lengthlens.decoding.intervention import Donors
from lengthlens.decoding.reuse import batches
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import Swap
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.depth import LATE
from lengthlens.models.hooks import held
from lengthlens.models.norms import norm_epsilon, rms
from lengthlens.models.readout import Readout, readout_of
from lengthlens.patching.runs import OTHER, REACHED, alike_sets
from lengthlens.tracing.stream import StreamRuns

WAYS = ("residual", "mlp", "both", "rest")

Cell = tuple[int, int, Tensor]  # sender, receiver, what the receiver puts out


@dataclass(frozen=True)
class Network:
    """What paths need to know of a model.

    Attributes:
        loaded: the model, in float32 or better.
        readout: its output projections.
        sequential: whether each layer's MLP reads the same layer's attention.
        places: layer and head of every component by its name; -1 instead of the head for an MLP.
        keys: the layer from whose stream each layer's keys and values are computed.
    """

    loaded: LoadedModel
    readout: Readout
    sequential: Bool[np.ndarray, " layer"]
    places: dict[str, tuple[int, int]]
    keys: list[int]

    @property
    def late_heads(self) -> list[str]:
        """All heads of the last quarter of layers: the ablation's `late_heads`."""
        late = set(heads_between(*LATE, self.loaded.anatomy.layout))
        return [name for name, place in self.places.items() if place in late]

    def may_send(self, sender: str, receiver: str) -> bool:
        """Whether there is a path: the sender comes first, and is in the receiver's stream."""
        if sender == EMBEDDING or receiver == LOGITS:
            return True
        component, part = split_receiver(receiver)
        (layer, head), (at, _) = self.places[sender], self.places[component]
        same = layer == at and head >= 0 and part == "mlp" and bool(self.sequential[at])
        return layer < (self.keys[at] if part in ("k", "v") else at) or same


def network_of(loaded: LoadedModel) -> Network:
    """The network of a model."""
    a = loaded.anatomy
    found = [*a.layout.heads, *((layer, -1) for layer in a.layout.mlps)]
    places = dict(zip(component_names(a.layout), found, strict=True))
    sequential = reads_attention(loaded.model, a)
    keys = sources_of_keys(loaded.model, a)
    return Network(loaded, readout_of(loaded.model), sequential, places, keys)


def receivers_of(components: Sequence[str]) -> list[str]:
    """Where components receive, and the logits: "L5H3.q", "L5H3.k", "L5H3.v", "L5.mlp"."""
    found = []
    for name in components:
        found += [f"{name}.{part}" for part in PARTS] if "H" in name else [f"{name[:-1]}.mlp"]
    return [*found, LOGITS]


class PathRuns(StreamRuns):
    """The two clean runs of a swap, with paths between their components.

    Attributes:
        unsplit: layers whose attention could not be split.
    """

    def __init__(self, network: Network, swap: Swap, memory_gb: float) -> None:
        self._network = network
        self.unsplit: set[int] = set()
        with _attention_scales(network.loaded.anatomy) as self._scales:  # of the pass of both runs
            super().__init__(network.loaded, swap, memory_gb)
        length = self._suffix.shape[1]
        self._x = self._donors.head.unflatten(0, (2, length))
        self._mlp = self._donors.mlp.unflatten(0, (2, length))

    def change(self, sender: str) -> Float[Tensor, "position d_model"]:
        """What a sender adds to the final stream in the other run beyond what it adds here."""
        if sender == EMBEDDING:
            return self._difference(self._streams[0]) * self._scale(0)
        layer, head = self._network.places[sender]
        if head < 0:
            return self._difference(self._mlp[:, :, layer])
        x = self._x[:, :, layer, head]
        if layer in self._scales:
            x = x / self._scales[layer].to(x)[..., None]
        width = x.shape[-1]
        output = self._network.readout.output[layer][:, head * width : (head + 1) * width]
        return (self._difference(x).to(output) @ output.T).to(x)

    def _scale(self, layer: int) -> float:
        """By how much the stream that enters a layer is multiplied until its end."""
        return self._network.loaded.anatomy.layers[layer].scale

    @torch.inference_mode()
    def paths(
        self, senders: Sequence[str], receivers: Sequence[str]
    ) -> Float[np.ndarray, "sender receiver"]:
        """The effect of every path; NaN where there is none, or attention cannot be split."""
        found = np.full((len(senders), len(receivers)), np.nan)
        changes = [self.change(sender) for sender in senders]
        size = max(1, self._rows - 1)
        for start in range(0, len(senders), size):
            part = slice(start, start + size)
            shifted = self._shifted(changes[part])
            self.unsplit |= {i for i, heads in enumerate(shifted.heads) if heads is None}
            received = self._received(shifted, senders[part], receivers)
            for kind, cells in received.items():
                if not cells:
                    continue
                rows, columns, values = zip(*cells, strict=True)
                names = [split_receiver(receivers[column])[0] for column in columns]
                margins = self._with_outputs(kind, names, torch.stack(values))
                found[np.array(rows) + start, list(columns)] = self.carried(margins)
        if LOGITS in receivers:
            last = torch.stack([change[-1] for change in changes])
            found[:, list(receivers).index(LOGITS)] = self.carried(self._read_out(last))
        return found

    def _received(
        self, shifted: ShiftedInputs, senders: Sequence[str], receivers: Sequence[str]
    ) -> dict[str, list[Cell]]:
        """What heads and MLPs put out on every path; row 0 of the pass is that without a change."""
        found: dict[str, list[Cell]] = {"head": [], "mlp": []}
        device = self._loaded.device
        for column, receiver in enumerate(receivers):
            if receiver == LOGITS:
                continue
            component, part = split_receiver(receiver)
            layer, head = self._network.places[component]
            for row, sender in enumerate(senders):
                if not self._network.may_send(sender, receiver):
                    continue
                if part == "mlp":
                    found["mlp"].append((row, column, shifted.mlps[layer][row + 1].to(device)))
                elif shifted.heads[layer] is not None:
                    values = shifted.heads[layer][PARTS.index(part), row + 1, :, head].to(device)
                    found["head"].append((row, column, values))
        return found

    @torch.inference_mode()
    def at_places(
        self, components: Sequence[str], where: Bool[np.ndarray, "place position"]
    ) -> Float[np.ndarray, "component place"]:
        """The effect of a component taken from the other run at some positions alone.

        Args:
            components: names.
            where: True at such positions, counted from the start on.
        """
        length, device = self._suffix.shape[1], self._suffix.device
        chosen = torch.from_numpy(np.tile(where, (len(components), 1))).to(device)
        entry = OTHER * length + torch.arange(length, device=device)
        place = torch.where(chosen, entry, -1)
        margins = self._with_donors(
            [name for name in components for _ in where],
            lambda rows: placed(self._donors, place[rows]),
        )
        return self.carried(margins).reshape(len(components), len(where))

    @torch.inference_mode()
    def mediation(self) -> dict[str, float]:
        """What late heads do through the final residual, the final MLP's input, and both.

        `rest`: through the final MLP's input, what reaches it from everything but the late heads.
        """
        network, last = self._network, self._loaded.anatomy.n_layers - 1
        if not network.late_heads:  # a single layer has no last quarter
            return dict.fromkeys(WAYS, np.nan)
        direct = sum(self.change(name) for name in network.late_heads)
        reaching = [name for name in network.late_heads if network.may_send(name, f"L{last}.mlp")]
        through = sum((self.change(name) for name in reaching), torch.zeros_like(direct))
        everything = self._difference(self._streams[last]) * self._scale(last)
        if network.sequential[last]:
            own = [n for n, (layer, head) in network.places.items() if layer == last and head >= 0]
            everything = everything + sum(self.change(name) for name in own)
        outputs = self._shifted([through, everything - through]).mlps[last][:, -1].to(direct)
        mlp, rest = outputs[1] - outputs[0], outputs[2] - outputs[0]
        rows = torch.stack([direct[-1], mlp, direct[-1] + mlp, rest])
        found = dict(zip(WAYS, self.carried(self._read_out(rows)).tolist(), strict=True))
        return found if reaching else found | {"mlp": np.nan, "both": np.nan}

    def _difference(self, runs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return (runs[OTHER] - runs[REACHED]).to(self._loaded.device)

    def _shifted(self, changes: Sequence[Float[Tensor, "position d_model"]]) -> ShiftedInputs:
        """A pass of the reached run with changed inputs; its first row has no change."""
        rows = torch.stack([torch.zeros_like(changes[0]), *changes])
        streams = [stream[REACHED] for stream in self._streams]
        shifted = ShiftedInputs(self._loaded.anatomy, streams, self._x[REACHED], rows)
        run = torch.full((len(rows),), REACHED, device=rows.device)
        self._pass(run, shifted.attached(self._loaded.model))
        return shifted

    def _with_outputs(
        self, kind: str, names: Sequence[str], values: Float[Tensor, "row position size"]
    ) -> Float[np.ndarray, " row"]:
        """Margins of the reached run with one component's output given, a row each."""
        a = self._loaded.anatomy

        def donors(rows: Tensor) -> Donors:
            """The same in every layer and head; views, for they may be many."""
            given = values[rows].flatten(0, 1)
            head, mlp, n = given[:, None, None], given[:, None], len(given)
            if kind == "head":
                mlp = given.new_zeros(1, 1, a.d_model)
            else:
                head = given.new_zeros(1, 1, 1, a.d_head)
            head = head.expand(n, a.n_layers, a.n_heads, a.d_head)
            place = torch.arange(n, device=given.device).unflatten(0, (len(rows), -1))
            return Donors(head, mlp.expand(n, a.n_layers, a.d_model), place)

        return self._with_donors(names, donors)

    def _with_donors(
        self, names: Sequence[str], donors_of: Callable[[Int[Tensor, " row"]], Donors]
    ) -> Float[np.ndarray, " row"]:
        """Margins of the reached run with one component a row replaced by the donors of the row."""
        places, device = self._network.places, self._suffix.device
        own = np.array(names)[:, None] == np.array(list(places))
        margins = np.empty(len(names))
        first = np.array([places[name][0] for name in names])
        for below, members in batches(first, self._rows):
            masks = self._loaded.anatomy.layout.spread(own[members], False)
            sets = alike_sets(masks, REACHED, "all", device)
            donors = donors_of(torch.as_tensor(members, device=device))
            margins[members] = self._margins(self._replaced(sets, donors, below)).fixed
        return margins

    def _read_out(self, changes: Float[Tensor, "row d_model"]) -> Float[np.ndarray, " row"]:
        """Margins of the reached run whose final residual is changed at the last position."""
        margins = np.empty(len(changes))
        for start in range(0, len(changes), self._rows):
            part = changes[start : start + self._rows]

            def add(module, args, part=part):
                stream = args[0].clone()
                stream[:, -1] += part.to(stream)
                return (stream, *args[1:])

            run = torch.full((len(part),), REACHED, device=part.device)
            reused = self._layers.reused(self._loaded.anatomy.n_layers, run)
            with self._loaded.anatomy.final_norm.register_forward_pre_hook(add):
                logits = self._pass(run, reused)
            margins[start : start + len(part)] = self._margins(logits).fixed
        return margins


@contextlib.contextmanager
def _attention_scales(anatomy: Anatomy) -> Iterator[dict[int, Float[Tensor, "row position"]]]:
    """What norms on the attention's output divided by in the last pass of a block, by layer."""
    found: dict[int, Float[Tensor, "row position"]] = {}

    def reader(index: int, norm: nn.Module) -> Callable:
        def read(module: nn.Module, args: tuple) -> None:
            found[index] = rms(args[0], norm_epsilon(norm), centred=False)

        return read

    norms = [(i, layer.attention_norm) for i, layer in enumerate(anatomy.layers)]
    with held(
        norm.register_forward_pre_hook(reader(i, norm)) for i, norm in norms if norm is not None
    ):
        yield found
