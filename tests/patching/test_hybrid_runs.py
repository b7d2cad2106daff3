"""Runs of models whose layers differ equal plain ones: patches, gradients, margins, paths, streams.

The plain runs are of whole texts, one row each, without a cache, changed by hooks on the modules.
"""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import pytest
import torch
from linear import random_swap
from slow_params import some_slow
from toys import CLASSES, toy

from lengthlens.circuits.orders import EMBEDDING
from lengthlens.decoding.donors import PassRecorder
from lengthlens.decoding.forward import keeps_states
from lengthlens.decoding.intervention import Intervention
from lengthlens.decoding.reuse import CleanLayers
from lengthlens.decoding.scores import Knockouts
from lengthlens.decoding.streams import StreamSets, recorded_streams
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import answer_terms, step_margins
from lengthlens.models.every_type import any_model
from lengthlens.models.hooks import at_heads, at_mlp, entering, hooked, with_stream
from lengthlens.patching.atp import attribute_swaps
from lengthlens.patching.runs import OTHER, POSITIONS, REACHED, SwapRuns, join_sets, single_sets
from lengthlens.tracing.last_step import LastStep
from lengthlens.tracing.path_runs import PathRuns, network_of
from lengthlens.tracing.stream import StreamRuns

# Linear attention by head; convolutions, whole; a state space beside attention; scaled layers;
# layers that read the keys and values of earlier ones.
KINDS = ("qwen3_5_text", "lfm2", "falcon_h1", "gemma4_text", "gemma4")
LONG = ("falcon_h1", "gemma4")  # take seconds; the gate runs them
ALL = some_slow(KINDS, LONG)
SWAP = random_swap()
TEXTS = [(*prompt, *SWAP.answer) for prompt in (SWAP.reached, SWAP.other)]
PLACES = {"prompt": slice(3, 8), "generated": slice(8, None), "all": slice(3, None)}
CLOSE = 1e-4  # of the largest margin; measured: at most 1.5e-5


@functools.cache
def loaded_of(kind: str) -> LoadedModel:
    model = any_model(kind)
    if kind == "gemma4_text":
        for layer, scale in zip(model.model.layers, (1.3, 0.8, 1.1), strict=True):
            layer.layer_scalar.fill_(scale)
    return toy(model)


@pytest.fixture(params=ALL)
def loaded(request) -> LoadedModel:
    return loaded_of(request.param)


def read(loaded: LoadedModel, text, hooks=()) -> torch.Tensor:
    """Logits at every position of a plain run."""
    with contextlib.ExitStack() as stack, torch.no_grad():
        for hook in hooks:
            stack.enter_context(hook)
        return loaded.model(torch.tensor([list(text)]), use_cache=False).logits[0]


def recorded(loaded: LoadedModel, text):
    """All components of a plain run: heads [position, layer, head, width], MLPs."""
    recorder = PassRecorder(loaded.anatomy)
    read(loaded, text, [recorder.attached()])
    return recorder.donors(torch.device("cpu"))


def exchanged(loaded: LoadedModel, donors, layer: int, head: int | None, where: slice):
    """A hook that puts one component of another run into this one."""
    site = loaded.anatomy.layers[layer]
    if head is None:

        def mlp(added):
            new = added.clone()
            new[:, where] = donors.mlp[where, layer] / site.mlp.factor
            return new

        return at_mlp(site, mlp)

    def heads(x, places):
        if not places.start <= head < places.stop:
            return None
        new = x.clone()
        new[:, where, head - places.start] = donors.head[where, layer, head, : x.shape[-1]]
        return new

    return at_heads(site, heads)


def components(loaded: LoadedModel) -> list[tuple[int, int | None]]:
    layout = loaded.anatomy.layout
    return [*layout.heads, *((layer, None) for layer in layout.mlps)]


def test_patches_equal_plain_hooks(loaded: LoadedModel) -> None:
    layout = loaded.anatomy.layout
    runs = SwapRuns(loaded, SWAP, 1.0)
    assert runs.start == (0 if keeps_states(loaded.model) else 3)
    pair, donors = (runs.ender, runs.word), [recorded(loaded, text) for text in TEXTS]
    clean = [float(logits[-1, pair[0]] - logits[-1, pair[1]]) for logits in map_read(loaded)]
    close = CLOSE * np.abs(clean).max()
    assert runs.clean.fixed == pytest.approx(clean, abs=close)
    sets = [
        single_sets(layout.has_head, layout.has_mlp, into, name, loaded.device)
        for into in (REACHED, OTHER)
        for name in POSITIONS
    ]
    found = runs.patched(join_sets(sets)).fixed.reshape(2, len(POSITIONS), -1)
    for index, component in enumerate(components(loaded)):
        into, place = (index % 2, index % len(POSITIONS))
        hook = exchanged(loaded, donors[1 - into], *component, PLACES[POSITIONS[place]])
        logits = read(loaded, TEXTS[into], [hook])[-1]
        expected = float(logits[pair[0]] - logits[pair[1]])
        assert found[into, place, index] == pytest.approx(expected, abs=close), component
    assert np.abs(found[REACHED] - clean[REACHED]).max() > 100 * close


def map_read(loaded: LoadedModel) -> list[torch.Tensor]:
    return [read(loaded, text) for text in TEXTS]


@pytest.mark.parametrize("kind", ALL)
def test_atp_is_the_derivative_of_the_patch(kind: str) -> None:
    """As for the listed types: all differences small, patches and AtP agree to first order."""
    loaded = toy(any_model(kind))
    for table in loaded.model.modules():  # Gemma 4 has one for every layer beside that of all
        if isinstance(table, torch.nn.Embedding):
            table.weight[31] = table.weight[30] + 0.003 * (table.weight[31] - table.weight[30])
    layout = loaded.anatomy.layout
    found = attribute_swaps(loaded, [SWAP], 1.0)
    runs = SwapRuns(loaded, SWAP, 1.0)
    sets = single_sets(layout.has_head, layout.has_mlp, REACHED, "all", loaded.device)
    patches = runs.clean.fixed[REACHED] - runs.patched(sets).fixed
    heads, mlps = found.head[2, 0], found.mlp[2, 0]
    atp = np.concatenate([heads[layout.has_head], mlps[layout.has_mlp]])
    assert np.abs(atp - patches).max() <= 0.05 * np.abs(patches).max(), kind
    assert np.isnan(heads[~layout.has_head]).all() and np.isnan(mlps[~layout.has_mlp]).all()


@pytest.mark.parametrize("positions", ["generated", "all"])
def test_margins_of_given_answers_equal_plain_runs(loaded: LoadedModel, positions: str) -> None:
    """Every component removed alone, and none, at three steps of an answer."""
    layout, steps = loaded.anatomy.layout, [0, 2, len(SWAP.answer)]
    sets = single_sets(layout.has_head, layout.has_mlp, 0, "all", loaded.device)
    heads = torch.cat([sets.heads[:1] & False, sets.heads])
    mlps = torch.cat([sets.mlps[:1] & False, sets.mlps])

    def rows(chosen) -> Intervention:
        index = torch.as_tensor(list(chosen))
        return Intervention(heads[index], mlps[index], positions)

    found = step_margins(loaded, SWAP.reached, SWAP.answer, steps, rows, n_sets=len(heads))
    where = slice(8 if positions == "generated" else 0, None)
    nothing = recorded(loaded, TEXTS[0])
    nothing.head.zero_(), nothing.mlp.zero_()
    hooks = [[exchanged(loaded, nothing, *one, where)] for one in components(loaded)]
    for row, hook in enumerate([[], *hooks]):
        logits = read(loaded, TEXTS[0], hook)[8:][steps]
        expected = logits[:, CLASSES.enders].amax(-1) - logits[:, CLASSES.words].amax(-1)
        assert found[row] == pytest.approx(expected.numpy(), abs=1e-3), row
    terms, logits = answer_terms(loaded, SWAP.reached, SWAP.answer, rows, len(heads))
    whole = read(loaded, TEXTS[0])[-1]
    assert torch.allclose(logits[0], whole, atol=1e-3)
    assert (terms.head[1:][heads[1:]] == 0).all() and (terms.mlp[1:][mlps[1:]] == 0).all()


def test_exchanged_streams_equal_plain_runs(loaded: LoadedModel) -> None:
    runs, pair = StreamRuns(loaded, SWAP, 1.0), None
    pair = runs.ender, runs.word
    with recorded_streams(loaded.anatomy) as other:
        read(loaded, TEXTS[OTHER])
    for layer in range(1, loaded.anatomy.n_layers):
        where = torch.zeros(1, len(TEXTS[0]) - runs.start, dtype=torch.bool)
        where[0, -4:-2] = True
        found = runs.exchanged(StreamSets(torch.tensor([layer]), where, torch.tensor([REACHED])))

        def put(module, args, kwargs, layer=layer):
            stream = entering(args, kwargs).clone()
            stream[:, -4:-2] = other[layer][:, -4:-2]
            return with_stream(args, kwargs, stream)

        hook = hooked([(loaded.anatomy.layers[layer].first, put)])
        logits = read(loaded, TEXTS[REACHED], [hook])[-1]
        expected = float(logits[pair[0]] - logits[pair[1]])
        assert found[0] == pytest.approx(expected, abs=CLOSE * abs(runs.clean.fixed).max())


def test_changes_of_all_components_are_the_change_of_the_stream(loaded: LoadedModel) -> None:
    """sum over c of [c(other) - c(reached)], embedding included = r(other) - r(reached).

    And the final MLP that reads all of the other run's stream gives what it gives there.
    """
    network = network_of(loaded)
    runs = PathRuns(network, SWAP, 1.0)
    changes = sum(runs.change(name) for name in [*network.places, EMBEDDING])
    streams = runs._streams[-1]
    difference = streams[OTHER] - streams[REACHED]
    assert torch.allclose(changes, difference, atol=1e-4 * float(streams.abs().max()))
    last = loaded.anatomy.n_layers - 1
    own = [n for n, (layer, head) in network.places.items() if layer == last and head >= 0]
    everything = runs._difference(runs._streams[last]) * runs._scale(last)
    everything = everything + sum(runs.change(name) for name in own) * bool(
        network.sequential[last]
    )
    # At the last position, whose token is the same: Gemma 4 embeds tokens in every layer anew.
    given, there = runs._shifted([everything]).mlps[last][1, -1], runs._mlp[OTHER, -1, last]
    assert torch.allclose(given, there, atol=2e-4 * float(there.abs().max()))
    assert np.isfinite([runs.mediation()[way] for way in ("residual", "rest")]).all()


def test_paths_into_mlps_equal_plain_hooks(loaded: LoadedModel) -> None:
    """m(reached) - m(path), and NaN for what no attention receives."""
    network = network_of(loaded)
    runs, layers = PathRuns(network, SWAP, 1.0), loaded.anatomy.layers
    senders = [EMBEDDING, *(name for name in network.places if name.startswith("L0"))]
    last = loaded.anatomy.n_layers - 1
    heads = [f"L{layer}H{head}.q" for layer, head in loaded.anatomy.layout.heads]
    found = runs.paths(senders, [f"L{last}.mlp", *heads])
    own = recorded(loaded, TEXTS[REACHED])
    for row, sender in enumerate(senders):
        change = torch.zeros(len(TEXTS[0]), loaded.anatomy.d_model)
        change[runs.start :] = runs.change(sender) / layers[last].scale
        given = []

        def shift(module, args, kwargs, change=change):
            return with_stream(args, kwargs, entering(args, kwargs) + change)

        def hold(x, places):
            return own.head[None, :, last, places, : x.shape[-1]].clone()

        kept = hooked([(layers[last].first, shift)]), at_heads(layers[last], hold)
        read(loaded, TEXTS[REACHED], [*kept, at_mlp(layers[last], given.append)])
        put = at_mlp(layers[last], lambda _, given=given: given[0])
        logits = read(loaded, TEXTS[REACHED], [put])[-1]
        fall = runs.clean.fixed[REACHED] - float(logits[runs.ender] - logits[runs.word])
        close = CLOSE * np.abs(runs.clean.fixed).max()
        assert found[row, 0] == pytest.approx(fall, abs=close), sender
    without = [layers[int(name[1])].attention is None for name in heads]
    assert np.isnan(found[:, 1:][:, without]).all()


def test_what_does_not_attend_cannot_be_kept_from_anything(loaded: LoadedModel) -> None:
    """A knockout of a layer is NaN where it has no attention, and changes the margin elsewhere."""
    step, a = LastStep(loaded, TEXTS[0], 1.0), loaded.anatomy
    heads = torch.zeros(a.n_layers, a.n_layers, a.n_heads, dtype=torch.bool)
    heads[range(a.n_layers), range(a.n_layers)] = True
    keys = torch.zeros(a.n_layers, len(TEXTS[0]), dtype=torch.bool)
    keys[:, :3] = True
    fall = step.margin(step.pair) - step.without(Knockouts(heads, keys), step.pair)
    attends = [layer.attention is not None for layer in a.layers]
    assert (np.isfinite(fall) == attends).all()
    assert np.abs(fall[attends]).max() > 1e-3


def test_layers_without_attention_have_no_weights(loaded: LoadedModel) -> None:
    step = LastStep(loaded, TEXTS[0], 1.0)
    without = [i for i, layer in enumerate(loaded.anatomy.layers) if layer.attention is None]
    assert step.missing == without
    for layer, sites in enumerate(loaded.anatomy.layers):
        weights = step.weights[layer]
        if sites.attention is None:
            assert np.isnan(weights).all()
            continue
        own = weights[sites.attention.heads]
        assert own.sum(-1) == pytest.approx(np.ones(len(own)), abs=1e-4)
        assert np.isfinite(weights).any(1).sum() == len(own)


@pytest.mark.parametrize("kind", ["gemma4", "glm_moe_dsa"])
def test_layers_that_read_more_of_others_than_the_stream_are_computed_again(kind: str) -> None:
    """Reusing them would leave later layers without keys, or with the keys chosen for one row."""
    loaded = loaded_of(kind)
    layers = CleanLayers(loaded.anatomy)
    with layers.recorded():
        whole = read(loaded, TEXTS[0])
    with layers.reused(2, 1):
        assert all("forward" not in vars(layer.first) for layer in loaded.anatomy.layers)
        assert torch.equal(read(loaded, TEXTS[0]), whole)


def test_paths_lead_into_keys_where_they_are_computed() -> None:
    """L2 reads the keys of L0, L3 those of L1: only what stands before these reaches them.

    A path from the embedding equals a plain run in which that layer alone computes keys and values
    from another stream, while its own heads, and its MLP, are held.
    """
    loaded = loaded_of("gemma4")
    network = network_of(loaded)
    assert network.keys == [0, 1, 0, 1]
    runs, layers = PathRuns(network, SWAP, 1.0), loaded.anatomy.layers
    senders = [EMBEDDING, "L0H1", "L0M", "L1H0"]
    receivers = [f"L{layer}H2.{part}" for layer in (2, 3) for part in "qkv"]
    found = runs.paths(senders, receivers)
    reach = {"L2": [True, False, False, False], "L3": [True, True, True, False]}
    for column, name in enumerate(receivers):
        expected = [True] * 4 if name.endswith("q") else reach[name[:2]]
        assert np.isfinite(found[:, column]).tolist() == expected, name
    own = recorded(loaded, TEXTS[REACHED])
    for row, column in ((0, 1), (0, 2), (0, 4), (1, 4), (2, 5)):
        layer = int(receivers[column][1])
        source = layers[network.keys[layer]]
        part = source.attention.module  # the output projection; its neighbours project the stream
        projection = dict(zip("kv", ("k_proj", "v_proj"), strict=True))[receivers[column][-1]]
        holder = source.first.get_submodule(source.attention.branch.module.rpartition(".")[0])
        assert holder.o_proj is part
        change = torch.zeros(len(TEXTS[0]), loaded.anatomy.d_model)
        change[runs.start :] = runs.change(senders[row]) / source.scale
        streams, given = {}, []

        def keep(module, args, kwargs, streams=streams):
            streams["x"] = entering(args, kwargs)

        def other(module, args, kwargs, source=source, change=change, streams=streams):
            return (source.first.input_layernorm(streams["x"] + change),), kwargs

        def hold(x, places, layer=network.keys[layer]):
            return own.head[None, :, layer, places, : x.shape[-1]].clone()

        def keep_mlp(added, layer=network.keys[layer], factor=source.mlp.factor):
            return own.mlp[None, :, layer] / factor

        def take(x, places, given=given):
            given.append(x[:, :, 2].clone())

        hooks = [
            hooked([(source.first, keep), (getattr(holder, projection), other)]),
            at_heads(source, hold),
            at_mlp(source, keep_mlp),
        ]
        read(loaded, TEXTS[REACHED], [*hooks, at_heads(layers[layer], take)])

        def put(x, places, given=given):
            new = x.clone()
            new[:, :, 2] = given[0]
            return new

        logits = read(loaded, TEXTS[REACHED], [at_heads(layers[layer], put)])[-1]
        fall = runs.clean.fixed[REACHED] - float(logits[runs.ender] - logits[runs.word])
        close = CLOSE * np.abs(runs.clean.fixed).max()
        assert found[row, column] == pytest.approx(fall, abs=close), (senders[row], column)
    assert np.abs(found[:, [1, 2, 4, 5]][np.isfinite(found[:, [1, 2, 4, 5]])]).max() > 1e-3
