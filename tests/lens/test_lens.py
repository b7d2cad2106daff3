"""A Lens gives transformers' answers, the workflow's attributions, and plain hooks' ablations."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import xarray as xr
from lens_models import FAMILIES, POCKET, TEXTS, greedy, lens_of, pair, pocket, prompt_ids
from tiny_tokenizers import word_piece_tokenizer
from toys import SETTINGS

import lengthlens
from lengthlens.attribution.per_sample import attribute_batches
from lengthlens.generation.answers import answer_prompts
from lengthlens.generation.loaded import load
from lengthlens.language.prompts import Prompt
from lengthlens.lens.lens import Lens
from lengthlens.lens.show import show
from lengthlens.models.every_type import any_model
from lengthlens.models.readout import readout_of
from lengthlens.weights.checkpoints import ModelSpec

LIMIT = 12
WITHOUT = {
    "pocket": ["L5H3", "L2M"],
    "llama": ["L0H1", "L1H2", "L1M"],
    "gpt2": ["L0H2", "L2H0", "L1M"],
}
TASKS = (
    "Write a sentence about the sea in exactly 5 words.",
    "Write a sentence of exactly 7 words about the garden.",
    "Write a sentence about the train in exactly 4 words.",
)
NUMBERS = [5, 7, 4]


def answers(dataset: xr.Dataset) -> list[list[int]]:
    """The tokens of every answer, without padding."""
    return [row[row >= 0].tolist() for row in dataset["token_id"].to_numpy()]


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_those_of_transformers(family: str) -> None:
    found = lens_of(family).generate(TEXTS, max_new_tokens=LIMIT)
    assert answers(found) == [greedy(family, text, LIMIT) for text in TEXTS]
    assert found.sizes["step"] == max(found["n_steps"].to_numpy())


@pytest.mark.parametrize("family", FAMILIES)
def test_components_add_up_to_the_logits_of_a_plain_pass(family: str) -> None:
    """sum over components of dla(logit) = logit = the model's own output, at every step.

    Measured: 1.3e-6 of the largest logit.
    """
    model, _ = pair(family)
    found = lens_of(family).generate(TEXTS, max_new_tokens=LIMIT)
    raw = found.sel(target="logit")
    total = raw["dla_head"].sum(("layer", "head")) + raw["dla_mlp"].sum("layer")
    total = total + raw["dla_embed"] + raw["dla_bias"]
    for row, (text, tokens) in enumerate(zip(TEXTS, answers(found), strict=True)):
        prompt = prompt_ids(family, text)
        with torch.inference_mode():
            whole = model(torch.cat([prompt, torch.tensor([tokens])], 1)).logits[0]
        after = whole[prompt.shape[1] - 1 : -1]
        own = after.gather(1, torch.tensor(tokens)[:, None])[:, 0].numpy()
        size = float(after.abs().max())
        steps = slice(0, len(tokens))
        np.testing.assert_allclose(found["logit"][row, steps], own, atol=5e-6 * size)
        np.testing.assert_allclose(total[row, steps], own, atol=5e-6 * size)
        centred = own - after.mean(1).numpy()
        token = found.isel(sample=row, step=steps).sel(target="token")
        parts = token["dla_head"].sum(("layer", "head")) + token["dla_mlp"].sum("layer")
        parts = parts + token["dla_embed"] + token["dla_bias"]
        np.testing.assert_allclose(parts, centred, atol=5e-6 * size)
        assert 0 < found["completeness_error"][row] <= 5e-6 * size


@pytest.mark.parametrize("variant", ["instruct", "base"])
def test_attribution_is_that_of_the_workflow(variant: str) -> None:
    """Σ s · DLA over an answer's steps = CWA of the attribution stage, for every component."""
    loaded = load(ModelSpec(name="pocket", variant=variant, path=str(POCKET / variant)))
    prompts = [
        Prompt(str(i), "en", n, "t", "a", "select", text)
        for i, (text, n) in enumerate(zip(TASKS, NUMBERS, strict=True))
    ]
    recorded = list(answer_prompts(loaded, prompts, SETTINGS, "whitespace"))
    expected, sums, _ = attribute_batches(
        readout_of(loaded.model), (batch for _, batch in recorded), {f"{i}#0" for i in range(3)}
    )
    lens = Lens(*pocket(variant), chat=variant == "instruct")
    # The workflow's plain prompts end their line; a Lens reads them as they are.
    texts = [f"{text}\n" if variant == "base" else text for text in TASKS]
    found = lens.generate(texts, NUMBERS, max_new_tokens=SETTINGS.max_new_tokens)
    rows = [row for part, _ in recorded for row in part]
    assert answers(found) == [row["tokens"] for row in rows]
    assert found["answer"].to_numpy().tolist() == [row["text"] for row in rows]
    assert found["words"].to_numpy().tolist() == [row["words"] for row in rows]
    assert found["stopped"].to_numpy().tolist() == [row["stopped"] for row in rows]
    for kind in ("head", "mlp", "embed", "bias"):
        ours = (found["sign"] * found[f"dla_{kind}"]).sum("step")
        theirs = expected[f"cwa_{kind}"].transpose(*ours.dims)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4, err_msg=kind)
    assert float(abs(expected["cwa_head"]).max()) > 1
    np.testing.assert_allclose(
        found["completeness_error"], expected["completeness_error"], atol=1e-5
    )
    for name in ("sum_head", "sum_mlp", "count"):
        np.testing.assert_allclose(found[name], sums[name], rtol=1e-4, atol=1e-4)


@contextlib.contextmanager
def changed(family: str, head: Callable, mlp: Callable) -> Iterator[None]:
    """Plain hooks: `head(layer, head, x)` gives what goes into W_O, `mlp(layer, out)` what leaves.

    Only modules' names as transformers gives them are used.
    """
    model, _ = pair(family)
    layers = model.transformer.h if family == "gpt2" else model.model.layers
    n_heads = model.config.num_attention_heads
    handles = []
    for index, layer in enumerate(layers):
        projection = layer.attn.c_proj if family == "gpt2" else layer.self_attn.o_proj

        def before(module, args, index=index):
            blocks = list(args[0].clone().chunk(n_heads, -1))
            return (torch.cat([head(index, h, x) for h, x in enumerate(blocks)], -1),)

        def after(module, args, output, index=index):
            return mlp(index, output.clone())

        handles.append(projection.register_forward_pre_hook(before))
        handles.append(layer.mlp.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def parts(names: list[str]) -> tuple[set[tuple[int, int]], set[int]]:
    """The heads and MLPs of names, read in another way than the package does."""
    heads = {(int(n[1]), int(n[3])) for n in names if "H" in n}
    return heads, {int(n[1]) for n in names if n.endswith("M")}


@pytest.mark.parametrize("positions", ["generated", "all"])
@pytest.mark.parametrize("family", FAMILIES)
def test_ablated_answers_are_those_with_plain_hooks(family: str, positions: str) -> None:
    heads, mlps = parts(WITHOUT[family])

    def zeroed(x: torch.Tensor) -> torch.Tensor:
        if positions == "generated":
            x[:, -1] = 0  # the prompt's last position, or the one token of a later pass
            return x
        return torch.zeros_like(x)

    def head(layer: int, head: int, x: torch.Tensor) -> torch.Tensor:
        return zeroed(x) if (layer, head) in heads else x

    def mlp(layer: int, out: torch.Tensor) -> torch.Tensor:
        return zeroed(out) if layer in mlps else out

    plain = lens_of(family).generate(TEXTS, max_new_tokens=LIMIT)
    found = lens_of(family).generate(
        TEXTS, max_new_tokens=LIMIT, without=WITHOUT[family], positions=positions
    )
    with changed(family, head, mlp):
        expected = [greedy(family, text, LIMIT) for text in TEXTS]
    assert answers(found) == expected != answers(plain)
    assert found.attrs["without"] == ";".join(sorted(WITHOUT[family]))
    assert (found.attrs["mode"], found.attrs["positions"]) == ("zero", positions)
    shares = abs(found["dla_head"]).max(("sample", "step", "target"))
    for layer, h in heads:  # what is removed adds nothing
        assert float(shares[layer, h]) == 0
    assert int((shares == 0).sum()) == len(heads)
    assert answers(lens_of(family).generate(TEXTS, max_new_tokens=LIMIT)) == answers(plain)


@pytest.mark.parametrize("family", FAMILIES)
def test_means_are_those_of_the_given_answers(family: str) -> None:
    """Removed components give their mean over recorded answers, by class of position."""
    heads, mlps = parts(WITHOUT[family])
    seen: dict[tuple, list[list[torch.Tensor]]] = {}

    def keep(key: tuple, x: torch.Tensor) -> torch.Tensor:
        seen.setdefault(key, [[], []])[x.shape[1] == 1].append(x[0, -1].clone())
        return x

    with changed(family, lambda ly, h, x: keep((ly, h), x), lambda ly, x: keep((ly,), x)):
        clean = [greedy(family, text, LIMIT) for text in TEXTS]
    means = {key: [torch.stack(x).mean(0) for x in both] for key, both in seen.items()}

    def stand_in(key: tuple, x: torch.Tensor) -> torch.Tensor:
        x[:, -1] = means[key][x.shape[1] == 1]
        return x

    recorded = lens_of(family).generate(TEXTS, max_new_tokens=LIMIT)
    assert answers(recorded) == clean
    found = lens_of(family).generate(
        TEXTS, max_new_tokens=LIMIT, without=WITHOUT[family], means=recorded
    )
    with changed(
        family,
        lambda ly, h, x: stand_in((ly, h), x) if (ly, h) in heads else x,
        lambda ly, x: stand_in((ly,), x) if ly in mlps else x,
    ):
        expected = [greedy(family, text, LIMIT) for text in TEXTS]
    assert answers(found) == expected
    zeroed = lens_of(family).generate(TEXTS, max_new_tokens=LIMIT, without=WITHOUT[family])
    assert found.attrs["mode"] == "mean"
    assert float(abs(found["logit"] - zeroed["logit"]).max()) > 0.01


def test_what_follows_an_answer_is_padding() -> None:
    found = lens_of("pocket").generate(TASKS, NUMBERS)
    lengths = found["n_steps"].to_numpy()
    assert len(set(lengths)) > 1
    by_step = [name for name, values in found.variables.items() if "step" in values.dims]
    assert {"dla_head", "dla_mlp", "logit", "sign", "decision", "words_after"} <= set(by_step)
    for row, length in enumerate(lengths):
        for name in by_step:
            after = found[name].isel(sample=row, step=slice(length, None)).to_numpy()
            blank = {"token": after == "", "token_id": after == -1}
            assert (blank[name] if name in blank else np.isnan(after)).all(), name
            before = found[name].isel(sample=row, step=slice(0, length)).to_numpy()
            if name not in blank and not name.startswith("dla") and name != "end_margin":
                assert np.isfinite(before).all(), name
        texts = found["token"][row, :length].to_numpy().tolist()
        assert "".join(texts) == found["answer"][row]
        boundary = found["boundary"][row, :length].to_numpy() == 1
        for name in ("dla_head", "dla_embed"):
            end = found[name].isel(sample=row, step=slice(0, length)).sel(target="end")
            finite = np.isfinite(end.to_numpy().reshape(length, -1)).all(1)
            np.testing.assert_array_equal(finite, boundary)
    np.testing.assert_array_equal(found["decision"].sum("step"), [1, 1, 1])
    assert found["words"].to_numpy().tolist() == NUMBERS


def test_what_a_layer_lacks_is_nan() -> None:
    """A layer with a convolution has one component where one with attention has four heads."""
    found = Lens(any_model("lfm2"), word_piece_tokenizer()).generate("sea a b", max_new_tokens=3)
    assert found["kind"].to_numpy().tolist() == ["mixer", "attention", "mixer"]
    assert found["has_head"].sum("head").to_numpy().tolist() == [1, 4, 1]
    heads = found["dla_head"].sel(target="logit")
    assert bool((heads.notnull() == found["has_head"]).all())
    total = heads.sum(("layer", "head")) + found["dla_mlp"].sel(target="logit").sum("layer")
    total = total + found["dla_embed"].sel(target="logit")
    np.testing.assert_allclose(total, found["logit"], rtol=1e-5, atol=1e-5)
    assert found["dla_head"].attrs["units"] == found["dla_mlp"].attrs["units"] == "logits"


def test_without_a_number_there_are_no_signs() -> None:
    found = lens_of("pocket").generate(TASKS[:2])
    assert not {"sign", "decision", "n"} & set(found.coords)
    mixed = lens_of("pocket").generate(TASKS[:2], [5, None])
    assert np.isfinite(mixed["sign"][0, : int(mixed["n_steps"][0])]).all()
    assert np.isnan(mixed["sign"][1]).all() and np.isnan(mixed["decision"][1]).all()
    np.testing.assert_array_equal(mixed["n"], [5, np.nan])
    np.testing.assert_array_equal(mixed["dla_head"], found["dla_head"])


@pytest.mark.parametrize("without", [(), ("L5H3",)])
def test_given_text_is_attributed_as_if_it_had_been_written(without: tuple[str, ...]) -> None:
    lens = lens_of("pocket")
    found = lens.generate(TASKS, NUMBERS, without=without)
    _, tokenizer = pair("pocket")
    ends = tokenizer.convert_ids_to_tokens([tokens[-1] for tokens in answers(found)])
    texts = [text + end for text, end in zip(found["answer"].to_numpy(), ends, strict=True)]
    again = lens.attribute(TASKS, texts, NUMBERS, without=without)
    assert answers(again) == answers(found) and again["stopped"].all()
    for name in ("dla_head", "dla_mlp", "logit", "end_margin", "sign", "decision"):
        np.testing.assert_allclose(again[name], found[name], atol=1e-4, err_msg=name)


def test_given_text_goes_on_with_a_plain_prompt() -> None:
    """The answer's tokens are those that the whole text has after the prompt's."""
    _, tokenizer = pair("gpt2")
    found = lens_of("gpt2").attribute("The sea is", " calm in the morning.")
    whole = tokenizer("The sea is calm in the morning.")["input_ids"]
    before = len(tokenizer("The sea is")["input_ids"])
    assert answers(found) == [whole[before:]]
    assert found["answer"].item().strip() == "calm in the morning."
    assert not found["stopped"].item() and found["words"].item() == 4
    ended = lens_of("gpt2").attribute("The sea is", " calm.</s>")
    assert answers(ended)[0][-1] == tokenizer.eos_token_id and ended["stopped"].item()


def test_a_dataset_survives_a_file(tmp_path) -> None:
    found = lens_of("pocket").generate(TASKS[:2], NUMBERS[:2])
    found.to_netcdf(tmp_path / "found.nc")
    with xr.open_dataset(tmp_path / "found.nc") as again:
        xr.testing.assert_identical(again.load().drop_attrs(), found.drop_attrs())
        assert again.attrs == found.attrs
    assert not set(found.data_vars) & set(found.dims)  # R's ncdf4 would lose them
    assert all(found[name].dims == (name,) for name in set(found.coords) & set(found.dims))


def test_the_chat_template_is_used_unless_told_otherwise() -> None:
    model, tokenizer = pair("llama")
    plain = Lens(model, tokenizer, chat=False)
    ids = tokenizer("The sea is calm", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        whole = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False
        )
    found = plain.generate("The sea is calm", max_new_tokens=5)
    assert answers(found) == [whole[0, ids.shape[1] :].tolist()]
    templated = lens_of("llama").generate("The sea is calm", max_new_tokens=5)
    assert answers(templated) != answers(found)


def test_the_public_names_load_nothing_before_they_are_used() -> None:
    code = (
        "import sys, lengthlens; assert {'Lens', 'show'} <= set(lengthlens.__all__);"
        "assert {'Lens', 'show', 'open_cwa'} <= set(dir(lengthlens));"
        "heavy = {'torch', 'transformers', 'xarray', 'numpy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    folder = str(POCKET.parents[1] / "scripts")
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": folder})
    assert lengthlens.Lens is Lens and lengthlens.show is show
