"""Paths equal an independent computation, and are exactly those of a planted circuit."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from architectures import tiny_model
from linear import random_swap
from plain_attention import plain_scores
from toys import toy
from transformers import AttentionInterface

from lengthlens.circuits.orders import EMBEDDING, LOGITS, split_receiver
from lengthlens.decoding import inputs
from lengthlens.generation.loaded import LoadedModel
from lengthlens.tracing.path_runs import PathRuns, network_of, receivers_of

ARCHITECTURES = ["llama", "gpt2", "gemma2", "mixtral", "granite", "gpt_neox", "olmo2"]
PARALLEL = {"gpt_neox"}
SENDERS = ["L0H1", "L0M", "L1H2", "L1M", "L2H0", EMBEDDING]
RECEIVERS = receivers_of(["L1H2", "L2H3", "L0M", "L1M", "L2M"])


class Plain:
    """One text in one pass, one row, no cache; what is read and changed goes by layer and name."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded, self.a = loaded, loaded.anatomy

    @torch.no_grad()
    def run(self, text, changes: dict | None = None) -> dict:
        """Streams, x, MLP outputs, q, k, v and final residual; `changes` gives them new values."""
        found: dict = {}
        changes = changes or {}

        def meet(name, value):
            found[name] = value.detach().clone()
            return changes[name](value) if name in changes else value

        def attend(module, query, key, value, attention_mask, scaling=None, softcap=None, **_):
            layer = module.layer_idx
            query, key, value = (
                meet((layer, part), tensor)
                for part, tensor in (("q", query), ("k", key), ("v", value))
            )
            repeated = query.shape[1] // key.shape[1]
            key, value = (part.repeat_interleave(repeated, dim=1) for part in (key, value))
            weights = plain_scores(query, key, scaling, softcap).softmax(-1)
            return (weights @ value).transpose(1, 2).contiguous(), weights

        AttentionInterface.register("plain", attend)
        own = self.loaded.model.config._attn_implementation
        self.loaded.model.set_attn_implementation("plain")
        with contextlib.ExitStack() as hooks:
            for index, layer in enumerate(self.a.layers):

                def enter(module, args, kwargs, index=index):
                    if args:
                        return (meet((index, "stream"), args[0]), *args[1:]), kwargs
                    stream = meet((index, "stream"), kwargs["hidden_states"])
                    return args, kwargs | {"hidden_states": stream}

                def heads(module, args, index=index):
                    return (meet((index, "x"), args[0]), *args[1:])

                def mlp(module, args, output, index=index):
                    if isinstance(output, tuple):
                        return (meet((index, "mlp"), output[0]), *output[1:])
                    return meet((index, "mlp"), output)

                for handle in (
                    layer.first.register_forward_pre_hook(enter, with_kwargs=True),
                    layer.attention.module.register_forward_pre_hook(heads),
                    layer.mlp.last.register_forward_hook(mlp),
                ):
                    hooks.callback(handle.remove)
            final = self.a.final_norm.register_forward_pre_hook(
                lambda module, args: (meet("final", args[0]), *args[1:])
            )
            hooks.callback(final.remove)
            logits = self.loaded.model(torch.tensor([list(text)]), use_cache=False).logits[0, -1]
        self.loaded.model.set_attn_implementation(own)
        cap = self.a.soft_cap
        return found | {"logits": logits if cap is None else cap * torch.atanh(logits / cap)}

    @torch.no_grad()
    def added(self, found: dict, sender: str) -> torch.Tensor:
        """What a component adds to the stream in a run."""
        if sender == EMBEDDING:
            return found[0, "stream"]
        layer, multiplier = int(sender[1]), self.a.layers[0].mlp.factor
        if sender.endswith("M"):
            return found[layer, "mlp"] * multiplier
        sites, x = self.a.layers[layer], found[layer, "x"]
        columns = slice(int(sender[3]) * self.a.d_head, (int(sender[3]) + 1) * self.a.d_head)
        alone = torch.zeros_like(x)
        alone[..., columns] = x[..., columns]
        project = sites.attention.module
        given = project(alone) - project(torch.zeros_like(x))
        if sites.attention_norm is not None:
            given = given * sites.attention_norm(project(x)) / project(x)
        return given * multiplier

    def path(self, texts, runs: tuple[dict, dict], sender: str, receiver: str) -> torch.Tensor:
        """Logits of the reached run with one path from the other run; `runs` are the clean ones."""
        reached, other = runs
        change = self.added(other, sender) - self.added(reached, sender)
        change[:, :3] = 0  # before the numeral
        if receiver == LOGITS:

            def last(stream):
                stream = stream.clone()
                stream[:, -1] += change[:, -1]
                return stream

            return self.run(texts[0], {"final": last})["logits"]
        component, part = split_receiver(receiver)
        layer = int(component[1])
        shift = {(layer, "stream"): lambda stream: stream + change}
        if part == "mlp":
            kept = {(layer, "x"): lambda x: reached[layer, "x"]}
            given = self.run(texts[0], shift | kept)[layer, "mlp"]
            return self.run(texts[0], {(layer, "mlp"): lambda _: given})["logits"]
        head, changed = int(component[3]), self.run(texts[0], shift)[layer, part]
        if part == "q":
            place = (slice(None), head, -1)
        else:
            place = (slice(None), head // (self.a.n_heads // changed.shape[1]))

        def exchange(tensor):
            tensor = tensor.clone()
            tensor[place] = changed[place]
            return tensor

        alone = self.run(texts[0], {(layer, part): exchange})[layer, "x"]
        columns = slice(head * self.a.d_head, (head + 1) * self.a.d_head)

        def only_own(x):
            x = x.clone()
            x[..., columns] = alone[..., columns]
            return x

        return self.run(texts[0], {(layer, "x"): only_own})["logits"]


@pytest.mark.parametrize("row", ARCHITECTURES)
def test_paths_equal_plain_hooks(row: str) -> None:
    """m(reached) - m(path from the other run) to 1e-4, for every kind of sender and receiver."""
    loaded, entry = toy(tiny_model(row)), random_swap()
    network = network_of(loaded)
    assert network.sequential.all() == (row not in PARALLEL)
    runs = PathRuns(network, entry, 1.0)
    found = runs.paths(SENDERS, RECEIVERS)
    texts = [(*prompt, *entry.answer) for prompt in (entry.reached, entry.other)]
    plain = Plain(loaded)
    clean = plain.run(texts[0]), plain.run(texts[1])
    for i, sender in enumerate(SENDERS):
        for j, receiver in enumerate(RECEIVERS):
            if np.isnan(found[i, j]) or (i + j) % 2:
                continue
            logits = plain.path(texts, clean, sender, receiver)
            fall = runs.clean.fixed[0] - float(logits[runs.ender] - logits[runs.word])
            assert found[i, j] == pytest.approx(fall, abs=1e-4), (sender, receiver)
    assert np.nanmax(np.abs(found)) > 1e-3
    missing = {(SENDERS[i], RECEIVERS[j]) for i, j in np.argwhere(np.isnan(found))}
    same_layer = {("L0H1", "L0.mlp"), ("L1H2", "L1.mlp"), ("L2H0", "L2.mlp")}
    assert (same_layer <= missing) == (row in PARALLEL)
    assert ("L0M", "L0.mlp") in missing and ("L1M", "L1H2.q") in missing
    assert ("L1H2", "L1H2.k") in missing and (EMBEDDING, LOGITS) not in missing


@pytest.mark.parametrize("row", ["llama", "gemma2", "gpt_neox"])
def test_mediation_equals_plain_hooks(row: str) -> None:
    """Late heads in the final residual, in the final MLP's input, in both; and all the rest."""
    loaded, entry = toy(tiny_model(row)), random_swap()
    runs = PathRuns(network_of(loaded), entry, 1.0)
    found = runs.mediation()
    plain = Plain(loaded)
    texts = [(*prompt, *entry.answer) for prompt in (entry.reached, entry.other)]
    reached, other = (plain.run(text) for text in texts)
    late = [f"L2H{head}" for head in range(4)]
    assert runs._network.late_heads == late
    direct = sum(plain.added(other, name) - plain.added(reached, name) for name in late)
    everything = other[2, "stream"] - reached[2, "stream"]
    through = torch.zeros_like(direct) if row in PARALLEL else direct

    def mlp_with(change):
        values = {(2, "stream"): lambda s: s + change, (2, "x"): lambda x: reached[2, "x"]}
        given = plain.run(texts[0], values)[2, "mlp"]
        return (given - reached[2, "mlp"]) * loaded.anatomy.layers[0].mlp.factor

    def fall(change):
        logits = plain.run(texts[0], {"final": lambda stream: stream + change})["logits"]
        return runs.clean.fixed[0] - float(logits[runs.ender] - logits[runs.word])

    assert found["residual"] == pytest.approx(fall(direct), abs=1e-4)
    assert found["rest"] == pytest.approx(fall(mlp_with(everything)), abs=1e-4)
    if row in PARALLEL:
        assert np.isnan([found["mlp"], found["both"]]).all()
    else:
        assert found["mlp"] == pytest.approx(fall(mlp_with(through)), abs=1e-4)
        assert found["both"] == pytest.approx(fall(direct + mlp_with(through)), abs=1e-4)


def test_few_rows_give_the_same_and_attention_that_cannot_be_split_is_missing(monkeypatch) -> None:
    loaded, entry = toy(tiny_model("llama")), random_swap()
    network = network_of(loaded)
    whole = PathRuns(network, entry, 1.0).paths(SENDERS, RECEIVERS)
    monkeypatch.setattr("lengthlens.patching.runs.rows_at_once", lambda *_: 2)
    few = PathRuns(network, entry, 1.0).paths(SENDERS, RECEIVERS)
    assert np.nanmax(np.abs(whole - few)) <= 1e-5
    monkeypatch.setattr(inputs, "eager_attention", lambda model, name: contextlib.nullcontext())
    runs = PathRuns(network, entry, 1.0)
    fused = runs.paths(SENDERS, RECEIVERS)
    heads = np.array(["H" in receiver for receiver in RECEIVERS])
    assert runs.unsplit == {0, 1, 2} and np.isnan(fused[:, heads]).all()
    assert np.allclose(fused[:, ~heads], whole[:, ~heads], atol=1e-5, equal_nan=True)


def test_attention_with_something_behind_it_is_not_split() -> None:
    """A gate between the attention and the output projection: no parts rather than wrong ones."""
    loaded, entry = toy(tiny_model("llama")), random_swap()
    network = network_of(loaded)
    gate = loaded.anatomy.layers[1].attention.module
    handle = gate.register_forward_pre_hook(lambda module, args: (args[0] * 0.5,), prepend=True)
    runs = PathRuns(network, entry, 1.0)
    found = runs.paths(["L0M"], ["L1H2.v", "L2H3.v"])
    handle.remove()
    assert runs.unsplit == {1} and np.isnan(found[0, 0]) and np.isfinite(found[0, 1])
