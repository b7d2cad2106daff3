"""Removing components: exact, row by row, and without a trace afterwards."""

from __future__ import annotations

import copy

import pytest
import torch
from architectures import ROWS, tiny_model
from toys import NO_STOP, as_batch, ragged_prompts

from lengthlens.attribution.means import replacement, sum_activations
from lengthlens.decoding.choose import Forced
from lengthlens.decoding.decode import Decoded, Decoder
from lengthlens.decoding.intervention import Donors, Intervention, Replacement, Surgeon
from lengthlens.models.anatomy import dissect

PROMPTS = ragged_prompts([3, 9, 5, 7], seed=11, shared=2)
STEPS = 8
HEADS = ((0, 1), (1, 3), (2, 0))
LAYER = 1  # whose MLP is removed


def run(model, prompts=PROMPTS, **options) -> Decoded:
    return Decoder(model, dissect(model), NO_STOP).decode(prompts, STEPS, **options)


def removal(model, rows: int, heads=(), mlps=(), positions="all", **options) -> Intervention:
    """The same components removed in every row."""
    anatomy = dissect(model)
    head_mask = torch.zeros(rows, anatomy.n_layers, anatomy.n_heads, dtype=torch.bool)
    mlp_mask = torch.zeros(rows, anatomy.n_layers, dtype=torch.bool)
    for layer, head in heads:
        head_mask[:, layer, head] = True
    for layer in mlps:
        mlp_mask[:, layer] = True
    return Intervention(head_mask, mlp_mask, positions, **options)


def random_means(model, seed: int = 0) -> Replacement:
    """Means as large as activations are, different for the two position classes."""
    a = dissect(model)
    made = torch.Generator().manual_seed(seed)
    return Replacement(
        head=torch.randn(2, a.n_layers, a.n_heads, a.d_head, generator=made),
        mlp=torch.randn(2, a.n_layers, a.d_model, generator=made),
    )


def edited(model, heads=(), mlps=()):
    """A copy of the model whose weights make the components contribute nothing."""
    model = copy.deepcopy(model)
    anatomy = dissect(model)
    for layer, head in heads:
        module = anatomy.layers[layer].attention.module
        columns = slice(head * anatomy.d_head, (head + 1) * anatomy.d_head)
        transposed = not isinstance(module, torch.nn.Linear)  # GPT-2's Conv1D
        (module.weight.T if transposed else module.weight)[:, columns] = 0.0
    for layer in mlps:
        site = anatomy.layers[layer].mlp.last
        for parameter in site.parameters():
            parameter.zero_()
        if anatomy.layers[layer].mlp.norm is not None:
            parameter -= anatomy.architecture.norm_weight_offset
    return model


def assert_same(ours: Decoded, theirs: Decoded, tolerance: float = 1e-5) -> None:
    """Equal tokens; all recorded logits within `tolerance`."""
    assert ours.tokens == theirs.tokens
    for name in ("logit", "mean_logit", "ender_logit", "word_logit"):
        difference = getattr(ours.logits, name) - getattr(theirs.logits, name)
        assert difference.nan_to_num().abs().max() <= tolerance, name


@pytest.mark.parametrize("row", ROWS)
def test_removing_heads_everywhere_equals_editing_the_weights(row: str) -> None:
    """Zero at `all` positions = zeroed columns of o_proj: same tokens, logits within 1e-5.

    Measured: 3.4e-6, of logits up to 6.5.
    """
    model = tiny_model(row)
    ours = run(model, intervention=removal(model, 4, HEADS))
    assert_same(ours, run(edited(model, HEADS)))
    assert ours.tokens != run(model).tokens


@pytest.mark.parametrize("row", ROWS)
def test_removing_an_mlp_everywhere_equals_editing_the_weights(row: str) -> None:
    """Experts, norms after the MLP, parallel blocks and residual multipliers included."""
    model = tiny_model(row)
    ours = run(model, intervention=removal(model, 4, mlps=[LAYER]), capture=True)
    assert_same(ours, run(edited(model, mlps=[LAYER])))
    assert ours.tokens != run(model).tokens
    assert (ours.residuals.mlp[:, :, LAYER] == 0).all()
    assert (ours.residuals.mlp[:, :, LAYER - 1] != 0).any()


def test_what_is_left_is_what_is_recorded() -> None:
    model = tiny_model("llama")
    ours = run(model, intervention=removal(model, 4, HEADS, positions="generated"), capture=True)
    for layer, head in HEADS:
        assert (ours.residuals.head[:, :, layer, head] == 0).all()
        assert (ours.residuals.head[:, :, layer, head - 1] != 0).any()


def test_generated_positions_start_at_the_last_prompt_token() -> None:
    """`generated` = `all` for one-token prompts; for longer ones the prompt stays as it was."""
    model = tiny_model("llama")
    short = ragged_prompts([1, 1], seed=1)
    everywhere, generated = (
        run(model, short, intervention=removal(model, 2, HEADS, positions=positions))
        for positions in ("all", "generated")
    )
    assert_same(everywhere, generated)

    prompt, answer = PROMPTS[1], run(model).tokens[1]
    seen = []
    handle = model.model.layers[1].self_attn.o_proj.register_forward_pre_hook(
        lambda module, args: seen.append(args[0].clone())
    )
    try:
        for positions in ("generated", "all"):
            run(
                model,
                [prompt],
                choose=Forced([answer]),
                intervention=removal(model, 1, [(0, 1)], positions=positions),
            )
            nothing = removal(model, 1, positions=positions)
            run(model, [prompt], choose=Forced([answer]), intervention=nothing)
            passes = len(seen) // 2
            removed, clean = seen[:passes], seen[passes:]
            assert torch.equal(removed[0], clean[0]) == (positions == "generated")
            assert not torch.equal(removed[1], clean[1])  # the last prompt token
            seen.clear()
    finally:
        handle.remove()


@pytest.mark.parametrize("row", ["llama", "gemma2", "granite", "gpt2"])
def test_means_stand_in_for_removed_components(row: str) -> None:
    """Recorded terms of removed components are the means: class 0 first, class 1 afterwards."""
    model = tiny_model(row)
    means = random_means(model)
    replaced = torch.tensor([True, False, True, False])
    intervention = removal(
        model, 4, HEADS, [LAYER], "generated", replaced=replaced, replacement=means
    )
    residuals = run(model, intervention=intervention, capture=True).residuals
    for row_index, mean in enumerate(replaced.tolist()):
        for layer, head in HEADS:
            recorded = residuals.head[:, row_index, layer, head]
            expected = means.head[[0] + [1] * (STEPS - 1), layer, head] * mean
            assert torch.equal(recorded, expected)
        recorded = residuals.mlp[:, row_index, LAYER]
        expected = means.mlp[[0] + [1] * (STEPS - 1), LAYER] * mean
        assert (recorded - expected).abs().max() <= 1e-6


@pytest.mark.parametrize("row", ["llama", "gemma2", "granite"])
def test_donors_stand_in_for_removed_components(row: str) -> None:
    """Recorded terms of removed components are the entries that rows with a donor point at.

    The MLP's within 1e-6, for a residual multiplier is divided out and multiplied back.
    """
    model = tiny_model(row)
    a = dissect(model)
    made = torch.Generator().manual_seed(1)
    head = torch.randn(5, a.n_layers, a.n_heads, a.d_head, generator=made)
    mlp = torch.randn(5, a.n_layers, a.d_model, generator=made)
    donors = Donors(head, mlp, torch.tensor([[0], [1], [2], [4]]))
    follows = torch.tensor([True, True, False, True])
    intervention = removal(model, 4, HEADS, [LAYER], "generated", resampled=follows, donors=donors)
    residuals = run(model, intervention=intervention, capture=True).residuals
    for index, (place, follow) in enumerate(zip([0, 1, 2, 4], follows.tolist(), strict=True)):
        for layer, number in HEADS:
            recorded = residuals.head[:, index, layer, number]
            assert torch.equal(recorded, (head[place, layer, number] * follow).expand_as(recorded))
        difference = residuals.mlp[:, index, LAYER] - mlp[place, LAYER] * follow
        assert difference.abs().max() <= 1e-6


@pytest.mark.parametrize("positions", ["generated", "all"])
@pytest.mark.parametrize("row", ["gemma2", "mixtral"])
def test_conditions_in_one_batch_do_not_touch_each_other(row: str, positions: str) -> None:
    """Rows of many conditions, in a mixed order and of mixed prompts, equal each run alone."""
    model = tiny_model(row)
    means = random_means(model)
    sets = [((), ()), (HEADS, ()), ((), (LAYER,)), (HEADS[:1], (0, 2))]
    cases = [(s, p, m) for p in (0, 2) for s in range(len(sets)) for m in (False, True)][::-1]
    parts = [removal(model, 1, *sets[s], positions) for s, _, _ in cases]
    together = Intervention(
        torch.cat([part.heads for part in parts]),
        torch.cat([part.mlps for part in parts]),
        positions,
        torch.tensor([mean for _, _, mean in cases]),
        means,
    )
    limits = [STEPS - i % 4 for i in range(len(cases))]  # so that rows leave in between
    mixed = Decoder(model, dissect(model), NO_STOP).decode(
        [PROMPTS[p] for _, p, _ in cases], limits, intervention=together
    )
    answers = set()
    for i, ((s, p, mean), limit) in enumerate(zip(cases, limits, strict=True)):
        options = {"replaced": torch.tensor([mean]), "replacement": means}
        alone = Decoder(model, dissect(model), NO_STOP).decode(
            [PROMPTS[p]], limit, intervention=removal(model, 1, *sets[s], positions, **options)
        )
        assert mixed.tokens[i] == alone.tokens[0]
        difference = mixed.logits.logit[i, :limit] - alone.logits.logit[0]
        assert difference.abs().max() <= 1e-5
        answers.add(tuple(alone.tokens[0][:5]))
    assert len(answers) >= 8  # the conditions differ, else mixing them up could not show


def test_means_are_those_of_the_selected_steps() -> None:
    """Means over select samples by position class, against a loop over samples and steps."""
    model = tiny_model("llama")
    batch = as_batch(run(model, capture=True))
    selected = torch.tensor([True, False, True, False]).numpy()
    sums = sum_activations(batch, selected)
    doubled = sums + sums
    assert (doubled["count"] == 2 * sums["count"]).all()
    assert sums["count"].to_numpy().tolist() == [2, 2 * (STEPS - 1)]
    means = replacement(doubled)
    chosen = [0, 2]
    for name in ("head", "mlp"):
        values = getattr(batch.residuals, name).double()
        by_class = [
            torch.stack([values[i * STEPS] for i in chosen]),
            torch.cat([values[i * STEPS + 1 : (i + 1) * STEPS] for i in chosen]),
        ]
        for place, part in enumerate(by_class):
            difference = getattr(means, name)[place] - part.mean(0)
            assert difference.abs().max() <= 1e-6 * part.abs().max()


def test_hooks_are_gone_after_an_error() -> None:
    model = tiny_model("llama")
    surgeon = Surgeon(dissect(model), removal(model, 1, HEADS, [LAYER]))

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())

    before = hooks()
    with pytest.raises(KeyError, match="on purpose"), surgeon.attached():
        assert hooks() == before + 4  # three layers lose a head, one an MLP
        raise KeyError("on purpose")
    assert hooks() == before


def test_wrong_interventions_are_refused() -> None:
    model = tiny_model("llama")
    with pytest.raises(ValueError, match="'prompt'"):
        removal(model, 1, positions="prompt")
    with pytest.raises(ValueError, match="give both or neither"):
        removal(model, 1, replaced=torch.tensor([True]))
    with pytest.raises(ValueError, match="`resampled` and `donors`"):
        removal(model, 1, resampled=torch.tensor([True]))
    donors = Donors(torch.zeros(1, 3, 4, 16), torch.zeros(1, 3, 48), torch.zeros(1, 1).long())
    with pytest.raises(ValueError, match="positions 'generated'"):
        removal(model, 1, resampled=torch.tensor([True]), donors=donors)


def test_donors_are_placed_at_any_position_of_a_pass() -> None:
    """Entries where a donor is named, the model's own where none is, row by row."""
    model = tiny_model("llama")
    anatomy = dissect(model)
    made = torch.Generator().manual_seed(3)
    head = torch.randn(4, 3, anatomy.n_heads, anatomy.d_head, generator=made)
    mlp = torch.randn(4, 3, anatomy.d_model, generator=made)
    place = torch.tensor([[-1, 2, -1], [0, -1, 3]])
    everywhere = torch.ones(2, dtype=torch.bool)
    donors = Donors(head, mlp, place)
    removed = removal(model, 2, ((1, 2),), (LAYER,), "placed", resampled=everywhere, donors=donors)
    seen: dict[str, torch.Tensor] = {}
    sites = anatomy.layers[LAYER]
    surgeon = Surgeon(anatomy, removed)
    with surgeon.attached():
        handles = [
            sites.attention.module.register_forward_hook(
                lambda module, args, output: seen.update(head=args[0])
            ),
            sites.mlp.last.register_forward_hook(
                lambda module, args, output: seen.update(mlp=output)
            ),
        ]
        ids = torch.tensor([[9, 10, 11], [9, 10, 11]])
        for name, rows in (("own", None), ("patched", slice(None))):
            surgeon.at(rows)
            model(ids, use_cache=False)
            seen |= {f"{name}_{kind}": seen[kind].clone() for kind in ("head", "mlp")}
        surgeon.at(slice(None))
        with pytest.raises(ValueError, match="placed at 3 positions, but the forward pass has 2"):
            model(ids[:, :2], use_cache=False)
        for handle in handles:
            handle.remove()
    own, patched = (seen[f"{name}_head"].unflatten(-1, (4, -1)) for name in ("own", "patched"))
    for row, position in ((0, 1), (1, 0), (1, 2)):
        entry = int(place[row, position])
        assert torch.equal(patched[row, position, 2], head[entry, 1, 2])
        assert torch.allclose(seen["patched_mlp"][row, position], mlp[entry, 1], atol=1e-6)
    assert torch.equal(patched[:, :, [0, 1, 3]], own[:, :, [0, 1, 3]])
    assert torch.equal(patched[0, 0], own[0, 0])
    assert torch.equal(seen["patched_mlp"][0, 0], seen["own_mlp"][0, 0])


def test_placed_donors_are_needed_in_every_row() -> None:
    with pytest.raises(ValueError, match="'placed' need donors"):
        removal(tiny_model("llama"), 1, positions="placed")
