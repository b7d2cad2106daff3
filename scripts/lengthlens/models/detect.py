"""Finding the components of an architecture that is not listed, by what its modules compute.

No name is guessed. A small random model of the same class and flags is run, and what its modules
take in and give out tells which they are:

1. the layers pass a stream on, the final norm takes it in and the unembedding takes in the norm;
2. the output projection is the first linear map of a layer in whose input one block of columns, and
   nothing else, becomes zero when one head is silenced: so the heads are told apart, too;
3. what a layer adds to the stream must be ``k * (attention + MLP)``, exactly: the attention is the
   projection's output, or that of a norm after it, the MLP is the module that fits, and k is 1 or a
   number of the config;
4. the model's logits must be the unembedding's output, times a number of the config, or under its
   soft cap.

Where one of these fails, something adds to the stream or to the logits that attribution would not
see, and the model is refused with the reason. `proof` then proves what was found.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import Tensor, nn

from lengthlens.errors import LengthlensError
from lengthlens.models.architectures import Architecture
from lengthlens.models.norms import NormKind, norm_kind
from lengthlens.models.small_model import VOCABULARY, small_model, text_config
from lengthlens.models.trace import Call, Trace, trace

TOLERANCE = 1e-5  # of the largest value compared, in float32; measured: at most 1.2e-6


class UnknownParts(LengthlensError):
    """A component was not found, for the reason given."""


def detect(model: nn.Module) -> Architecture:
    """The names of a model's parts, as a row of `architectures.ARCHITECTURES` would give them.

    Args:
        model: a causal language model of transformers; only its class and config are used.

    Raises:
        LengthlensError: a part was not found, or something else adds to the stream.
    """
    name = model.config.model_type
    try:
        return _Detection(_small(model), text_config(model.config)).row()
    except UnknownParts as reason:
        raise refusal(name, str(reason)) from None


def refusal(model_type: str, reason: str) -> LengthlensError:
    """The error for a model whose attribution could not be proven."""
    return LengthlensError(
        f"architecture {model_type!r} is not listed, and detecting its components failed, so that "
        f"its attribution could not be trusted: {reason}. To add it, see docs/architectures.md."
    )


def _small(model: nn.Module) -> nn.Module:
    try:
        return small_model(model)
    except Exception as error:  # whatever a config of unknown kind may raise
        raise UnknownParts(
            f"a small random model of its class ({type(model).__name__}) cannot be made "
            f"({type(error).__name__}: {error})"
        ) from error


@dataclass(frozen=True)
class _Branches:
    """The modules of a layer that add to the stream, by their names below it, and the factor."""

    projection: str
    attention_norm: str | None
    mlp: str
    multiplier: str | None  # name of the config's factor; None for 1
    norm_kind: NormKind | None


class _Detection:
    """The steps of the search on one small model."""

    def __init__(self, model: nn.Module, original) -> None:
        self.model, self.config, self.original = model, text_config(model.config), original
        generator = torch.Generator().manual_seed(1)
        self.ids = torch.randint(3, VOCABULARY, (2, 11), generator=generator)
        self.plain = self._trace()

    def row(self) -> Architecture:
        layers_name, layers = self._layers()
        norm, kind = self._final_norm(layers[-1])
        branches = [self._branches(index, layer) for index, layer in enumerate(layers)]
        first = branches[0]
        if any(other != first for other in branches):
            raise UnknownParts(
                f"its layers differ: {first} in one, {branches[1]} in another; only layers with "
                "the same parts are supported"
            )
        if first.norm_kind is not None and first.norm_kind != NormKind(False, kind.weight_offset):
            raise UnknownParts(
                f"the norm after attention, {first.attention_norm}, is of another kind than the "
                f"final norm, or centres: {first.norm_kind}"
            )
        unembedding, multiplier, soft_cap = self._logits()
        return Architecture(
            layers=layers_name,
            attention_output=first.projection,
            mlp=first.mlp,
            attention_norm=first.attention_norm,
            final_norm=norm,
            unembedding=unembedding,
            centred_norm=kind.centred,
            norm_weight_offset=kind.weight_offset,
            **({"residual_multiplier": attrgetter(first.multiplier)} if first.multiplier else {}),
            **({"logit_multiplier": multiplier} if multiplier else {}),
            soft_cap=soft_cap,
        )

    def _trace(self, layer: int = -1, head: int = -1) -> Trace:
        try:
            return trace(self.model, self.ids, layer, head)
        except Exception as error:  # whatever a model of unknown kind may raise
            raise UnknownParts(
                f"a small random model of its class cannot be run ({type(error).__name__}: {error})"
            ) from error

    def _layers(self) -> tuple[str, list[Call]]:
        """The outermost list of as many modules as there are layers, and the calls of its entries.

        What leaves one layer must be what enters the next.
        """
        n_layers = self.config.num_hidden_layers
        lists = [
            (name, module)
            for name, module in self.model.named_modules()
            if isinstance(module, nn.ModuleList) and len(module) == n_layers
        ]
        if not lists:
            raise UnknownParts(f"it has no list of {n_layers} layers")
        run = [entry for entry in lists if None not in map(self.plain.of, entry[1])]
        if not run:
            raise UnknownParts(f"not every layer of {lists[0][0]} is run exactly once")
        name, modules = min(run, key=lambda entry: entry[0].count("."))
        calls = [self.plain.of(module) for module in modules]
        for before, after in itertools.pairwise(calls):
            if not _equal(before.given, after.taken):
                raise UnknownParts(
                    f"something changes the stream between {before.name} and the next"
                )
        return name, calls

    def _final_norm(self, last: Call) -> tuple[str, NormKind]:
        """The norm between the last layer and the unembedding."""
        unembedding = self._unembedding()
        for call in self.plain.calls:
            if _equal(call.taken, last.given) and _equal(call.given, unembedding.taken):
                if self.plain.of(call.module) is None:
                    raise UnknownParts(f"its final norm, {call.name}, is run elsewhere, too")
                kind = norm_kind(call.module, call.taken, call.given)
                if kind is None:
                    raise UnknownParts(
                        f"{call.name} ({type(call.module).__name__}), between the last layer and "
                        "the unembedding, is neither LayerNorm nor RMSNorm"
                    )
                return call.name, kind
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

    def _branches(self, index: int, layer: Call) -> _Branches:
        """The output projection, norm after it, and MLP of a layer."""
        calls = self.plain.below(layer.name)
        projection = self._projection(index, layer.name)
        after = [
            call
            for call in calls
            if call is not projection
            and _equal(call.taken, projection.given)
            and not _equal(call.given, projection.given)
        ]
        added = layer.given - layer.taken
        ancestors = {projection.name[:i] for i, c in enumerate(projection.name) if c == "."}
        fits = []
        for attention, mlp in itertools.product([projection, *after], calls):
            if mlp in (projection, *after) or mlp.name in ancestors:
                continue
            if mlp.given.shape == added.shape == attention.given.shape:
                fits.append((_fit(added, attention.given, mlp.given), attention, mlp))
        best = min((fit.residue for fit, _, _ in fits), default=1.0)
        if best > TOLERANCE:
            raise UnknownParts(
                f"what {layer.name} adds to the stream is not the sum of its attention and one "
                f"other module's output: {best:.1e} of it is left unexplained"
            )
        # Several modules give out the same (an MLP, its last linear map): the outermost.
        good = [entry for entry in fits if entry[0].residue <= TOLERANCE]
        fit, attention, mlp = min(good, key=lambda entry: entry[2].name.count("."))
        norm = None if attention is projection else attention
        kind = None if norm is None else norm_kind(norm.module, norm.taken, norm.given)
        if norm is not None and kind is None:
            raise UnknownParts(f"{norm.name} follows the attention, but is no norm that is known")

        def below(call: Call) -> str:
            return call.name.removeprefix(f"{layer.name}.")

        return _Branches(
            below(projection),
            None if norm is None else below(norm),
            below(mlp),
            self._residual_multiplier(fit, layer.name),
            kind,
        )

    def _projection(self, index: int, layer: str) -> Call:
        """The linear map whose input falls into heads, in a layer."""
        n_heads = self.config.num_attention_heads
        n_layers = self.config.num_hidden_layers
        if self.plain.attentions != n_layers:
            raise UnknownParts(
                f"attention over {n_heads} heads was computed {self.plain.attentions} times in "
                f"{n_layers} layers; only one softmax attention a layer is supported"
            )
        silenced = [self._trace(index, head).below(layer) for head in range(n_heads)]
        for place, call in enumerate(self.plain.below(layer)):
            weight = getattr(call.module, "weight", None)
            if weight is None or weight.dim() != 2 or call.taken.shape[-1] % n_heads:
                continue
            others = [calls[place].taken for calls in silenced]
            if all(_only_block_vanishes(call.taken, x, h, n_heads) for h, x in enumerate(others)):
                return call
        raise UnknownParts(
            f"no linear map of {layer} takes in the heads side by side, each apart from the others"
        )

    def _residual_multiplier(self, fit: _Fit, layer: str) -> str | None:
        """Name of the config's number by which both branches are multiplied; None for 1."""
        if abs(fit.attention - fit.mlp) > 1e-4 * abs(fit.attention):
            raise UnknownParts(
                f"{layer} multiplies attention by {fit.attention:.5g}, but its MLP by {fit.mlp:.5g}"
            )
        if abs(fit.attention - 1) <= 1e-4:
            return None
        for name, value in self._numbers():
            if abs(value - fit.attention) <= 1e-4 * abs(value):
                return name
        raise UnknownParts(
            f"{layer} multiplies what it adds by {fit.attention:.5g}, a number that its config "
            "does not hold"
        )

    def _logits(self) -> tuple[str, object, str | None]:
        """Name of the unembedding, the logits' multiplier (None for 1), name of the soft cap."""
        unembedding = self._unembedding()
        name, raw, logits = unembedding.name, unembedding.given, self.plain.logits
        if _equal(raw, logits):
            return name, None, None
        for attribute, value in self._numbers():
            if "cap" in attribute and _equal(value * torch.tanh(raw / value), logits):
                return name, None, attribute
            if _equal(value * raw, logits):
                return name, attrgetter(attribute), None
            if value and _equal(raw / value, logits):
                return name, _inverse(attribute), None
        raise UnknownParts(
            "its logits are not its unembedding's output, times a number of its config or under a "
            "soft cap that it names"
        )

    def _numbers(self) -> list[tuple[str, float]]:
        """Numbers that the model's config and the small model's have in common, by name."""
        return [
            (name, value)
            for name, value in vars(self.config).items()
            if type(value) in (int, float) and getattr(self.original, name, None) == value
        ]


@dataclass(frozen=True)
class _Fit:
    """Factors of two branches whose sum comes nearest to what was added, and what is left of it."""

    attention: float
    mlp: float
    residue: float


def _fit(added: Tensor, attention: Tensor, mlp: Tensor) -> _Fit:
    columns = torch.stack([attention.flatten(), mlp.flatten()], -1).double()
    goal = added.flatten().double()
    factors = torch.linalg.lstsq(columns, goal[:, None]).solution[:, 0]
    left = (columns @ factors - goal).abs().max() / goal.abs().max()
    return _Fit(float(factors[0]), float(factors[1]), float(left))


def _inverse(attribute: str):
    def multiplier(config) -> float:
        return 1.0 / getattr(config, attribute)

    return multiplier


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    return bool((a - b).abs().max() <= TOLERANCE * b.abs().max())


def _only_block_vanishes(before: Tensor, after: Tensor, head: int, n_heads: int) -> bool:
    """Whether a head's block of columns became zero, was not before, and the others stayed."""
    if before.shape != after.shape:
        return False
    block = torch.zeros(n_heads, dtype=torch.bool)
    block[head] = True
    old, new = (x.unflatten(-1, (n_heads, -1)) for x in (before, after))
    return bool(
        (new[..., block, :] == 0).all()
        and (old[..., block, :] != 0).any()
        and _equal(new[..., ~block, :], old[..., ~block, :])
    )
