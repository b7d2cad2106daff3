"""Finding the components of an architecture that is not listed, by what its modules compute.

No name is guessed. A small random model of the same class and flags is run, and what its modules
take in and give out tells which they are:

1. the layers pass a stream on, the final norm takes it in and the unembedding takes in the norm;
2. what a layer adds to the stream must be the sum of a few of its modules' outputs, exactly, each
   times 1 or a number of the config. A module that works on each position alone is the MLP; the
   others mix positions;
3. of a softmax attention, the output projection is the first linear map in whose input one block of
   columns becomes zero when one head is silenced, while no other turns: so the heads are told
   apart, too. Its output, or that of a norm after it, must be one of the terms. Of another mixer
   (linear attention, a state space), the same is asked when the one number that a head has for
   itself is changed (a decay, say); a mixer that has none is one component;
4. the model's logits must be the unembedding's output, times a number of the config, or under its
   soft cap.

Where one of these fails, something adds to the stream or to the logits that attribution would not
see, and the model is refused with the reason. `proof` then proves what was found.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter, itemgetter
from typing import Any

import torch
from torch import Tensor, nn

from lengthlens.errors import LengthlensError
from lengthlens.models.architectures import (
    ATTENTION,
    MIXER,
    MLP,
    OF_CONFIG,
    Architecture,
    Branch,
    Layer,
    structure,
)
from lengthlens.models.hooks import entering, held, hooked, with_added, with_stream
from lengthlens.models.norms import TOLERANCE, equal, norm_kind
from lengthlens.models.small_model import (
    VOCABULARY,
    depth,
    layer_config,
    lists_of,
    n_attention_heads,
    small_model,
    text_config,
)
from lengthlens.models.trace import Call, Trace, trace

_MOST_TERMS = 3  # that a layer adds
_TRIED = 40  # sets of terms of one size, the best first


_FOUND: dict[tuple[type, str], Architecture] = {}  # by class and config, which are all that is used


class UnknownParts(LengthlensError):
    """A component was not found, for the reason given."""


def detect(model: nn.Module) -> Architecture:
    """The names of a model's parts, as a row of `architectures.ARCHITECTURES` would give them.

    Args:
        model: a causal language model of transformers; only its class and config are used.

    Raises:
        LengthlensError: a part was not found, or something else adds to the stream.
    """
    key = (type(model), model.config.to_json_string(use_diff=False))
    try:
        if key not in _FOUND:
            with _refusing(f"a small random model of its class ({key[0].__name__}) cannot be made"):
                small = small_model(model)
            _FOUND[key] = _Detection(small, text_config(model.config)).row()
        return _FOUND[key]
    except UnknownParts as reason:
        raise refusal(model.config.model_type, str(reason)) from None


def refusal(model_type: str, reason: str) -> LengthlensError:
    """The error for a model whose attribution could not be proven."""
    return LengthlensError(
        f"architecture {model_type!r} is not listed, and detecting its components failed, so that "
        f"its attribution could not be trusted: {reason}. To add it, see docs/architectures.md."
    )


@contextlib.contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Refuse a model with whatever a config or a model of unknown kind may raise."""
    try:
        yield
    except Exception as error:
        raise UnknownParts(f"{what} ({type(error).__name__}: {error})") from error


@dataclass(frozen=True, eq=False)
class _Term:
    """One of the terms that add up to what a layer adds: calls that give the same, or a parameter.

    Attributes:
        value: [row, position, d_model].
        calls: outermost first; none where the term is a parameter.
        parameter: its name below the layer.
    """

    value: Tensor
    calls: list[Call]
    parameter: str | None = None

    @property
    def call(self) -> Call:
        return self.calls[0]


class _Detection:
    """The steps of the search on one small model."""

    def __init__(self, model: nn.Module, original) -> None:
        self.model, self.config, self.original = model, text_config(model.config), original
        generator = torch.Generator().manual_seed(1)
        self.ids = torch.randint(3, VOCABULARY, (2, 11), generator=generator)
        self.layers: list[str] = []
        self.plain = self.trace()

    def row(self) -> Architecture:
        layers_name, layers = self._layers()
        self.layers = [layer.name for layer in layers]
        self.plain = self.trace()
        norm = self._final_norm(layers[-1])
        kinds: dict = {}
        for index, call in enumerate(layers):
            found = _Search(self, call, layer_config(self.config, index)).layer()
            if kinds.setdefault(structure(call.module), found) != found:
                raise UnknownParts(f"{call.name} looks like another layer, but adds other things")
        return Architecture(layers=layers_name, **norm, **self._logits(), kinds=kinds)

    def trace(self, layer: str | None = None, head: int = -1) -> Trace:
        with _refusing("a small random model of its class cannot be run"):
            return trace(self.model, self.ids, self.layers, layer, head)

    def silenced(self, layer: str, head: int) -> list[Call]:
        """The calls below a layer when one head of it sees nothing."""
        return self.trace(layer, head).below(layer)

    def moved(self, layer: str, tensor: Tensor, entry: int) -> list[Call]:
        """The calls below a layer when one number of a parameter is another one."""
        flat = tensor.data.view(-1)
        own = flat[entry].clone()
        try:
            flat[entry] -= 5.0  # a decay that leaves more of the state, so that it shows
            return self.trace().below(layer)
        finally:
            flat[entry] = own

    def _layers(self) -> tuple[str, list[Call]]:
        """The outermost list of as many modules as there are layers, and the calls of its entries.

        What leaves one layer must be what enters the next.
        """
        n_layers = depth(self.config)
        lists = lists_of(self.model, n_layers)
        if not lists:
            raise UnknownParts(f"it has no list of {n_layers} layers")
        run = [entry for entry in lists if None not in map(self.plain.of, entry[1])]
        if not run:
            raise UnknownParts(f"not every layer of {lists[0][0]} is run exactly once")
        name, modules = min(run, key=lambda entry: entry[0].count("."))
        calls = [self.plain.of(module) for module in modules]
        if calls[0].given.dim() > self.ids.dim() + 1:
            raise UnknownParts(
                f"{calls[0].name} hands on several streams side by side, of the shape "
                f"{list(calls[0].given.shape)}, and not one to which its components add"
            )
        for before, after in itertools.pairwise(calls):
            if not equal(before.given, after.taken):
                raise UnknownParts(
                    f"something changes the stream between {before.name} and the next"
                )
        return name, calls

    def _final_norm(self, last: Call) -> dict[str, Any]:
        """The norm between the last layer and the unembedding, in fields of `Architecture`."""
        unembedding = self._unembedding()
        for call in self.plain.calls:
            if equal(call.taken, last.given) and equal(call.given, unembedding.taken):
                if self.plain.of(call.module) is None:
                    raise UnknownParts(f"its final norm, {call.name}, is run elsewhere, too")
                kind = norm_kind(call.module, call.taken, call.given)
                if kind is None:
                    raise UnknownParts(
                        f"{call.name} ({type(call.module).__name__}), between the last layer and "
                        "the unembedding, is neither LayerNorm nor RMSNorm"
                    )
                return {
                    "final_norm": call.name,
                    "centred_norm": kind.centred,
                    "norm_weight_offset": kind.weight_offset,
                }
        raise UnknownParts(
            f"no norm takes in what {last.name} gives out and gives out what the unembedding "
            "takes in"
        )

    def _unembedding(self) -> Call:
        module = self.model.get_output_embeddings()
        call = None if module is None else self.plain.of(module)
        if call is None or not isinstance(module, nn.Linear):
            raise UnknownParts("it has no linear unembedding that is run once")
        return call

    def _logits(self) -> dict[str, Any]:
        """The unembedding and what is done to its output, in fields of `Architecture`."""
        call, logits = self._unembedding(), self.plain.logits
        found, raw = {"unembedding": call.name}, call.given
        if equal(raw, logits):
            return found
        for attribute, value in self.numbers():
            if "cap" in attribute and equal(value * torch.tanh(raw / value), logits):
                return found | {"soft_cap": attribute}
            if equal(value * raw, logits):
                return found | {"logit_multiplier": attrgetter(attribute)}
            if value and equal(raw / value, logits):
                return found | {"logit_multiplier": functools.partial(_inverse, attribute)}
        raise UnknownParts(
            "its logits are not its unembedding's output, times a number of its config or under a "
            "soft cap that it names"
        )

    def numbers(self) -> list[tuple[str, float]]:
        """Numbers that the model's config and the small model's have in common, by name."""
        return [
            (name, value)
            for name, value in vars(self.config).items()
            if type(value) in (int, float) and vars(self.original).get(name) == value
        ]


class _Search:
    """The search for what one layer adds."""

    def __init__(self, detection: _Detection, layer: Call, config) -> None:
        self.detection, self.own, self.name, self.config = detection, layer, layer.name, config
        self.calls = detection.plain.below(layer.name)
        self.outermost = sorted(self.calls, key=lambda call: call.name.count("."))
        module = layer.module
        self.tensors = [*module.named_parameters(), *module.named_buffers()]
        self.added = layer.given - layer.taken

    def layer(self) -> Layer:
        """Its branches, in the order in which they are computed; biases that are added alone."""
        for call in self.calls:
            if equal(call.given, self.own.given) and norm_kind(call.module, call.taken, call.given):
                raise UnknownParts(
                    f"{self.name} ends with a norm of the stream itself ({call.name}), so that the "
                    "stream is no sum of what the layers add"
                )
        attention = self._attention()
        refusals: list[UnknownParts] = []
        for scale, number in self._scales():
            self.added = self.own.given / number - self.own.taken
            try:
                for terms, factors in self._sums():
                    try:
                        found = self._told_apart(terms, factors, attention)
                        return replace(found, scale=scale)
                    except UnknownParts as reason:
                        refusals.append(reason)
            except UnknownParts as reason:
                refusals.append(reason)
        raise refusals[0]

    def _scales(self) -> list[tuple[str | None, float]]:
        """What the layer may multiply the whole stream by: nothing, or one number that it has."""
        numbers = [(name, float(x)) for name, x in self.tensors if x.numel() == 1 and x]
        return [(None, 1.0), *numbers]

    # --- which terms add up -----------------------------------------------------------------------

    def _terms(self) -> list[_Term]:
        """Everything of the stream's shape that may be a term, each value once."""
        found: list[_Term] = []
        for call in self.outermost:
            value = call.given_as(self.added.shape)
            if value is None or not value.any() or not value.isfinite().all():
                continue
            same = next((term for term in found if equal(value, term.value)), None)
            if same is None:
                found.append(_Term(value, [call]))
            else:
                same.calls.append(call)
        width = self.added.shape[-1:]
        for name, parameter in self.own.module.named_parameters():
            if parameter.shape == width and name.rpartition(".")[2] != "weight":
                found.append(_Term(parameter.data.expand_as(self.added), [], name))
        return found

    def _sums(self) -> Iterator[tuple[list[_Term], list[float]]]:
        """Terms that add up to what the layer adds, and their factors; the fewest first.

        Raises:
            UnknownParts: none do.
        """
        terms = self._terms()
        if not terms or not self.added.any():
            raise UnknownParts(f"{self.name} adds nothing to the stream")
        columns = torch.stack([term.value.flatten() for term in terms]).double()
        goal = self.added.flatten().double()
        gram, products = columns @ columns.T, columns @ goal
        best, found = 1.0, False
        for size in range(1, _MOST_TERMS + 1):
            sets = torch.combinations(torch.arange(len(terms)), size)
            inner = gram[sets[:, :, None], sets[:, None, :]]
            scale = inner.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
            inner = inner + 1e-13 * scale * torch.eye(size, dtype=inner.dtype)
            factors = torch.linalg.solve(inner, products[sets])
            left = 1 - (factors * products[sets]).sum(1) / goal.square().sum()
            for place in left.argsort()[:_TRIED].tolist():
                chosen, weights = sets[place].tolist(), factors[place]
                rest = (columns[chosen].T @ weights - goal).abs().max() / goal.abs().max()
                best = min(best, float(rest))
                if rest <= TOLERANCE and (weights.abs() > 1e-4).all():
                    found = True
                    yield [terms[index] for index in chosen], weights.tolist()
        if not found:
            raise UnknownParts(
                f"what {self.name} adds to the stream is not the sum of up to {_MOST_TERMS} of its "
                f"modules' outputs: {best:.1e} of it is left unexplained"
            )

    # --- what the terms are -----------------------------------------------------------------------

    def _told_apart(
        self, terms: list[_Term], factors: list[float], attention: Call | None
    ) -> Layer:
        biases, told = [], []
        for term, factor in zip(terms, factors, strict=True):
            multiplier = self._multiplier(term, factor)
            if term.parameter is not None:
                if multiplier is not None:
                    raise UnknownParts(f"{self.name} adds a multiple of {term.parameter}")
                biases.append(term.parameter)
                continue
            others = [other for other in terms if other is not term and other.calls]
            branch = self._branch(term, others, attention)
            if multiplier is not None:
                branch = replace(branch, factor=attrgetter(multiplier))
            told.append((min(map(self.calls.index, term.calls)), term, branch))
        told.sort(key=itemgetter(0))
        found = [branch for *_, branch in told]
        if attention is not None and not any(branch.kind == ATTENTION for branch in found):
            raise UnknownParts(
                f"what {attention.name} gives, the output of the heads, is neither added to the "
                f"stream by {self.name} nor after a norm"
            )
        mlps = [term for _, term, branch in told if branch.kind == MLP]
        mixing = [term for _, term, branch in told if branch.kind != MLP]
        if len(mlps) > 1 and any(self._reads(*pair) for pair in itertools.product(mixing, mlps)):
            raise UnknownParts(f"{self.name} has several MLPs, with attention between them")
        if len(biases) + len(mixing) > 1 and any(
            branch.norm is not None and not branch.whole for branch in found
        ):
            raise UnknownParts(f"{self.name} adds other things beside heads with a norm after them")
        return Layer(tuple(found), tuple(biases))

    def _branch(self, term: _Term, others: list[_Term], attention: Call | None) -> Branch:
        """What gives a term."""
        norm, kind, inner = None, None, term.calls
        for call in term.calls:
            kind = norm_kind(call.module, call.taken, call.given)
            if kind is not None:
                norm, inner = call, [one for one in self.outermost if equal(one.given, call.taken)]
                break
        if not inner:  # the norm is of a sum, say, and a part of the branch, which is then whole
            norm, inner = None, term.calls
        projection, heads = None, None
        if attention in inner:
            name, projection, heads = ATTENTION, attention, self._count_of_heads()
        elif self._mixes(term, others):
            name, (projection, heads) = MIXER, self._mixer(inner)
        else:
            name = MLP
        offset = 0.0
        if projection is not None and norm is not None:
            offset = kind.weight_offset
            if kind.centred:
                raise UnknownParts(
                    f"the norm after the heads, {norm.name}, subtracts a mean, in which heads mix"
                )
        call, shape = projection or inner[0], self.added.shape
        return Branch(
            name,
            self._below(call),
            norm=norm and self._below(norm),
            norm_weight_offset=offset,
            heads=heads,
            whole=projection is None,
            flat=call.given.shape != shape and call.given_as(shape) is not None,
        )

    def _below(self, call: Call) -> str:
        return call.name.removeprefix(f"{self.name}.")

    def _multiplier(self, term: _Term, factor: float) -> str | None:
        """Name of the config's number by which a term is multiplied; None for 1."""
        if abs(factor - 1) <= 1e-4:
            return None
        for name, value in self.detection.numbers():
            if abs(value - factor) <= 1e-4 * abs(value):
                return name
        what = term.parameter or self._below(term.call)
        raise UnknownParts(
            f"{self.name} multiplies what {what} gives by {factor:.5g}, a number that its config "
            "does not hold"
        )

    def _mixes(self, term: _Term, others: list[_Term]) -> bool:
        """Whether a term's last position depends on the one before but through other terms."""

        def change(module: nn.Module, args: tuple, kwargs: dict):
            stream = entering(args, kwargs).clone()
            stream[:, -2] = -stream[:, -2].roll(1, -1)  # the nearest: states decay
            return with_stream(args, kwargs, stream)

        holding = held(_giving(other.call, other.call.given) for other in others)
        with holding, hooked([(self.own.module, change)]):
            found = self.detection.trace().of(term.call.module)
        if found is None:
            return True
        # NOTE not bit by bit: experts round otherwise where they are given other tokens, too.
        rows = (call.given.reshape(*self.added.shape[:2], -1) for call in (found, term.call))
        return not equal(*(row[:, -1] for row in rows))

    def _reads(self, one: _Term, other: _Term) -> bool:
        """Whether a term changes when another is zero."""
        with _giving(other.call, torch.zeros_like(other.call.given)):
            found = self.detection.trace().of(one.call.module)
        return found is None or not equal(found.given, one.call.given)

    # --- heads ------------------------------------------------------------------------------------

    def _attention(self) -> Call | None:
        """The output projection of the layer's softmax attention; None where it has none."""
        counts = self.detection.plain.attentions[self.name]
        if not counts:
            return None
        if len(counts) > 1:
            raise UnknownParts(
                f"softmax attention was computed {len(counts)} times in {self.name}; only one a "
                "layer is supported"
            )
        n_heads = counts[0]
        silenced = [self.detection.silenced(self.name, head) for head in range(n_heads)]
        for call in self.calls:
            fits = _is_linear(call) and call.taken.shape[-1] % n_heads == 0
            if fits and self._apart(call, silenced, n_heads, vanishes=True):
                return call
        raise UnknownParts(
            f"no linear map of {self.name} takes in the heads side by side, each apart from the "
            "others"
        )

    def _apart(
        self, call: Call, runs: Iterable[list[Call]], n_heads: int, vanishes: bool = False
    ) -> bool:
        """Whether run h changes head h's block of what a map takes in, and no other block."""
        place = self.calls.index(call)
        return all(
            _only_block(call.taken, calls[place].taken, head, n_heads, vanishes)
            for head, calls in enumerate(runs)
        )

    def _count_of_heads(self) -> str | None:
        """The config's name for the number of heads of this layer; None for the usual one.

        Layers with a window may have a number of their own.
        """
        (count,) = self.detection.plain.attentions[self.name]
        if n_attention_heads(self.config) == count:
            return None
        names = [
            name for name, value in vars(self.config).items() if "heads" in name and value == count
        ]
        if not names:
            raise UnknownParts(
                f"{self.name} has {count} heads, a number that its config does not hold"
            )
        return OF_CONFIG + names[0]

    def _mixer(self, inner: list[Call]) -> tuple[Call | None, str | None]:
        """The output projection of a mixer with heads, and the parameter that tells their number.

        It has one number a head: where that is another, one block of columns of the projection's
        input is, and no other turns.
        """
        projection = next((call for call in reversed(inner) if _is_linear(call)), None)
        if projection is None:
            return None, None
        width = projection.taken.shape[-1]
        holder = self._below(inner[0])
        if inner[0] is projection:
            holder = holder.rpartition(".")[0]
        for name, tensor in self.tensors:
            count = tensor.numel()
            divides = 1 < count <= width // 2 and width % count == 0
            if not (name.startswith(holder) and count in tensor.shape and divides):
                continue
            moved = (self.detection.moved(self.name, tensor, head) for head in range(count))
            if self._apart(projection, moved, count):
                return projection, name
        return None, None


def _inverse(name: str, config) -> float:
    return 1.0 / getattr(config, name)


def _giving(call: Call, value: Tensor) -> contextlib.AbstractContextManager:
    """Let a module give a value instead of its own, in a block."""
    return call.module.register_forward_hook(lambda module, args, output: with_added(output, value))


def _is_linear(call: Call) -> bool:
    weight = getattr(call.module, "weight", None)
    return weight is not None and weight.dim() == 2


def _only_block(
    before: Tensor, after: Tensor, head: int, n_heads: int, vanishes: bool = False
) -> bool:
    """Whether a head's block of columns became another one, or zero, and the others kept direction.

    A norm over all heads shares its scale among them, which counts as frozen, like every norm's.
    """
    if before.shape != after.shape:
        return False
    block = torch.arange(n_heads) == head
    old, new = (x.unflatten(-1, (n_heads, -1)).double() for x in (before, after))
    own, others = old[..., block, :], old[..., ~block, :]
    changed = new[..., block, :]
    if not own.any() or (changed.any() if vanishes else equal(changed, own)):
        return False
    scale = (new[..., ~block, :] * others).sum(-1) / others.square().sum(-1).clamp(min=1e-30)
    return equal(scale[..., None] * others, new[..., ~block, :])
