"""Telling the routed experts of a mixture from its shared ones, by what its modules compute.

What an MLP with experts adds is the sum of two parts: that of the routed experts, which a router
chooses and weighs for every token, and that of the shared ones, which always run. Where the parts
are found is tried on a small random model of the same class and flags, in a layer of every kind:

1. routed experts are what holds a matrix for each of them, a parameter of three axes; their
   weights are all parameters of the module that holds it;
2. with these weights at zero, what is left of the MLP is the shared experts' part;
3. a module must give one part, exactly: the routed one if it becomes zero with the weights and what
   else the MLP adds stays, the shared one if it stays and all else becomes zero;
4. no parameter of the MLP may change both parts, and one beside the experts' own must change the
   routed part: a router's.

Where one of these fails, the parts are not apart, and the model is refused with the reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import Anatomy, Experts, LayerSites, bound
from lengthlens.models.architectures import structure
from lengthlens.models.norms import TOLERANCE
from lengthlens.models.small_model import VOCABULARY, small_model
from lengthlens.models.trace import trace


class _Inseparable(Exception):
    """The parts of one layer are not apart, for the reason given."""


def with_experts(model: nn.Module, anatomy: Anatomy) -> Anatomy:
    """A model's anatomy with its routed and its shared experts apart (`Anatomy.experts`).

    Args:
        model: a causal language model of transformers; only its class and config are used.
        anatomy: its components.

    Raises:
        LengthlensError: it has no experts, or their parts are not apart.
    """
    kind = model.config.model_type
    small = small_model(model)
    small_anatomy, found = bound(small, anatomy.architecture), {}
    for index, layer in enumerate(small_anatomy.layers):
        name = f"{anatomy.architecture.layers}.{index}"
        try:
            found[structure(layer.first)] = _told_apart(small, name, layer)
        except _Inseparable as reason:
            raise LengthlensError(
                f"the routed and the shared experts of {kind!r} cannot be told apart in {name} of "
                f"a small random model of its class: {reason}. Leave out experts=True: the whole "
                "mixture is then one component."
            ) from None
    experts = tuple(found[structure(layer.first)] for layer in anatomy.layers)
    if not any(experts):
        raise LengthlensError(
            f"{kind!r} has no experts to tell apart: no MLP of it holds a matrix for each of "
            "several experts, as a parameter of three axes. Leave out experts=True."
        )
    return replace(anatomy, experts=experts)


@dataclass(frozen=True)
class _Pass:
    """What a layer's MLPs add, and their modules: by MLP and name below the layer, the last call's.

    All are multiplied by the factor of their MLP.
    """

    total: Float[Tensor, "row position d_model"]
    given: dict[tuple[int, str], Float[Tensor, "row position d_model"]]

    def parts(self, key: tuple[int, str]) -> tuple[Tensor, Tensor]:
        """What a module gives, and what else the MLPs add."""
        return self.given[key], self.total - self.given[key]

    def same(self, one: Tensor, other: Tensor | float) -> bool:
        """Whether two values are equal but for rounding of what is added in all."""
        return bool((one - other).abs().max() <= TOLERANCE * self.total.abs().max())


def _told_apart(small: nn.Module, name: str, layer: LayerSites) -> Experts | None:
    """The experts of one layer of the small model; None where it has none."""
    own = _weights_of_experts(layer)
    if not own:
        return None
    run = functools.partial(_run, small, name, layer)
    plain, silent = run(), _run_with(own, torch.zeros_like, run)
    for key in plain.given:
        (part, rest), (left, beside) = plain.parts(key), silent.parts(key)
        routed = plain.same(left, 0.0) and plain.same(beside, rest)
        if routed or (plain.same(beside, 0.0) and plain.same(left, part)):
            break
    else:
        raise _Inseparable(
            "no module gives what either of them adds to the stream (as where a norm follows their "
            "sum)"
        )
    has_router = False
    for parameter, label in _parameters(layer):
        varied, beside = _run_with([parameter], _varied, run).parts(key)
        part_stays, rest_stays = plain.same(varied, part), plain.same(beside, rest)
        if not (part_stays or rest_stays):
            raise _Inseparable(f"{label} changes what both of them add")
        routed_stays = part_stays if routed else rest_stays
        has_router |= not routed_stays and all(parameter is not weight for weight in own)
    if not has_router:
        raise _Inseparable("no router chooses among them")
    place, module = key
    return Experts(module, place, routed, shared=not routed or not plain.same(rest, 0.0))


def _weights_of_experts(layer: LayerSites) -> list[nn.Parameter]:
    """All parameters of the modules that hold a matrix for every expert."""
    modules = (module for site in layer.mlps for module in site.module.modules())
    holders = [list(module.parameters(recurse=False)) for module in modules]
    return [weight for held in holders if any(x.dim() == 3 for x in held) for weight in held]


def _parameters(layer: LayerSites) -> list[tuple[nn.Parameter, str]]:
    """The parameters of a layer's MLPs, norms after them included, with their names."""
    modules = [(site.branch.module, site.module) for site in layer.mlps]
    modules += [(site.branch.norm, site.norm) for site in layer.mlps if site.norm is not None]
    return [
        (parameter, f"{name}.{inner}")
        for name, module in modules
        for inner, parameter in module.named_parameters()
    ]


def _varied(weight: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return weight * (0.5 + torch.rand(weight.shape, generator=generator))


def _run_with(
    weights: Sequence[Tensor], change: Callable[[Tensor], Tensor], run: Callable[[], _Pass]
) -> _Pass:
    """Run with other values of some weights."""
    before = [weight.clone() for weight in weights]
    try:
        for weight in weights:
            weight.copy_(change(weight))
        return run()
    finally:
        for weight, own in zip(weights, before, strict=True):
            weight.copy_(own)


def _run(small: nn.Module, name: str, layer: LayerSites) -> _Pass:
    """Run the small model and keep what the modules of a layer's MLPs give."""
    ids = torch.randint(3, VOCABULARY, (2, 11), generator=torch.Generator().manual_seed(1))
    found = trace(small, ids)
    stream = found.of(layer.first).given
    total, given = torch.zeros_like(stream), {}
    for place, site in enumerate(layer.mlps):
        inner = {id(module) for module in (*site.module.modules(), site.last)}
        for call in found.below(name):
            value = call.given_as(stream.shape) if id(call.module) in inner else None
            if value is not None:
                given[place, call.name.removeprefix(f"{name}.")] = value * site.factor
        total += found.of(site.last).given_as(stream.shape) * site.factor
    return _Pass(total, given)
