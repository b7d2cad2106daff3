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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

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
        scales = _AttentionScales(network.loaded.anatomy)
        with scales.attached():
            super().__init__(network.loaded, swap, memory_gb)
        self._scales = scales.found
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
                found[np.array(rows) + start, list(columns)] = self._fall(margins)
        if LOGITS in receivers:
            last = torch.stack([change[-1] for change in changes])
            found[:, list(receivers).index(LOGITS)] = self._fall(self._read_out(last))
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
        length = self._suffix.shape[1]
        device = self._suffix.device
        names = [name for name in components for _ in where]
        chosen = torch.from_numpy(np.tile(where, (len(components), 1))).to(device)
        entry = OTHER * length + torch.arange(length, device=device)
        place = torch.where(chosen, entry, -1)
        margins = np.empty(len(names))
        for below, members in self._batches(names):
            rows = torch.as_tensor(members, device=device)
            margins[members] = self._margins_with(
                [names[i] for i in members], placed(self._donors, place[rows]), below
            )
        return self._fall(margins).reshape(len(components), len(where))

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
        found = dict(zip(WAYS, self._fall(self._read_out(rows)).tolist(), strict=True))
        return found if reaching else found | {"mlp": np.nan, "both": np.nan}

    def _difference(self, runs: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return (runs[OTHER] - runs[REACHED]).to(self._loaded.device)

    def _fall(self, margins: Float[np.ndarray, " row"]) -> Float[np.ndarray, " row"]:
        return self.clean.fixed[REACHED] - margins

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
        length, margins = self._suffix.shape[1], np.empty(len(names))
        for below, members in self._batches(names):
            given = values[torch.as_tensor(members, device=values.device)].flatten(0, 1)
            place = torch.arange(len(given), device=values.device).unflatten(0, (-1, length))
            donors = self._donors_of(kind, given, place)
            margins[members] = self._margins_with([names[i] for i in members], donors, below)
        return margins

    def _donors_of(self, kind: str, given: Float[Tensor, "entry size"], place: Tensor) -> Donors:
        """Donors that hold the same in every layer and head; views, for they may be many."""
        a, n = self._loaded.anatomy, len(given)
        head, mlp = given[:, None, None], given[:, None]
        if kind == "head":
            mlp = given.new_zeros(1, 1, a.d_model)
        else:
            head = given.new_zeros(1, 1, 1, a.d_head)
        head = head.expand(n, a.n_layers, a.n_heads, a.d_head)
        return Donors(head, mlp.expand(n, a.n_layers, a.d_model), place)

    def _batches(self, names: Sequence[str]) -> Iterator[tuple[int, np.ndarray]]:
        first = np.array([self._network.places[name][0] for name in names])
        return batches(first, self._rows)

    def _margins_with(
        self, names: Sequence[str], donors: Donors, below: int
    ) -> Float[np.ndarray, " row"]:
        """Margins of the reached run with one component replaced by donors, a row each."""
        members = np.array(names)[:, None] == np.array(list(self._network.places))
        masks = self._loaded.anatomy.layout.spread(members, False)
        sets = alike_sets(masks, REACHED, "all", self._suffix.device)
        return self._margins(self._replaced(sets.heads, sets.mlps, sets.into, donors, below)).fixed

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


class _AttentionScales:
    """What norms on the attention's output divided by in the last pass of a block, by layer."""

    def __init__(self, anatomy: Anatomy) -> None:
        norms = enumerate(layer.attention_norm for layer in anatomy.layers)
        self._norms = {layer: norm for layer, norm in norms if norm is not None}
        self.found: dict[int, Float[Tensor, "row position"]] = {}

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        with contextlib.ExitStack() as hooks:
            for index, norm in self._norms.items():
                epsilon = norm_epsilon(norm)

                def read(module, args, index=index, epsilon=epsilon):
                    self.found[index] = rms(args[0], epsilon, centred=False)

                hooks.enter_context(norm.register_forward_pre_hook(read))
            yield
