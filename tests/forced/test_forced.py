"""Teacher forcing: against the decode itself, plain passes, and edited weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny_model
from small_project import generation
from toys import CLASSES, own_logits, toy

import lengthlens
from lengthlens.attribution.dla import attribute_batch
from lengthlens.decoding.intervention import Replacement
from lengthlens.errors import LengthlensError
from lengthlens.files.formats import FORCED
from lengthlens.files.netcdf import write_dataset
from lengthlens.forced.measure import Effects, Other, force_answers
from lengthlens.forced.nswap import nswap_contrast
from lengthlens.forced.same_text import attribute_text, reading_as, why_not_shared
from lengthlens.forced.single_effects import OwnText, single_effects
from lengthlens.forced.texts import as_other, on_text
from lengthlens.generation.answers import Request, answer_prompts, requests
from lengthlens.generation.forcing import Forcing, forced_batches
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each
from lengthlens.generation.steps import StepAnnotations, annotate_steps
from lengthlens.generation.swaps import (
    ELSEWHERE,
    LENGTH,
    SWAPS,
    Swap,
    SwapMaterial,
    neighbour,
    read_step,
    swap_answer,
    swap_material,
)
from lengthlens.language.languages import Language, Template, Topic
from lengthlens.language.prompts import Prompt, build_prompts
from lengthlens.models.readout import readout_of
from lengthlens.weights.checkpoints import ModelSpec

SETTINGS = generation(
    max_new_tokens=12,
    batch_size=5,  # so that batches cut through the answers
    memory_gb=1.0,
    date="2024-07-26",
)
LANGUAGE = Language(
    code="en",
    name="English",
    topics=tuple(
        Topic(f"t{i}", {"name": name}, (name,))
        for i, name in enumerate(("the sea", "a year", "the garden", "the wind"))
    ),
    templates=(
        # NOTE the same for one word, so that a swap of 1 and 2 changes nothing but the number
        Template("write", "Write {n} words: {name}!", {"one": "Write {n} words: {name}!"}),
        Template("say", "Say {name} in {n} words.", {"one": "Say {name} in {n} words."}),
    ),
    neutral=(),
)
EFFECTS = Effects(["zero"], "generated", 2)
N_WORDS = (1, 2, 9)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Prompts for 1, 2 and 9 words."""
    return [prompt for n in (1, 2, 9) for prompt in build_prompts(LANGUAGE, n, 0, 3, 1)]


@pytest.fixture(scope="module")
def answered(loaded, prompts):
    """Rows of a generations file, and the recorded batches."""
    parts = list(answer_prompts(loaded, prompts, SETTINGS, "whitespace"))
    return [row for rows, _ in parts for row in rows], [batch for _, batch in parts]


@pytest.fixture(scope="module")
def forced(loaded, answered) -> xr.Dataset:
    return force_answers(forcing(loaded), LANGUAGE, answered[0], N_WORDS, EFFECTS, None)


def forcing(loaded: LoadedModel) -> Forcing:
    return Forcing(loaded, SETTINGS, "whitespace")


def test_forcing_a_models_own_answers_gives_what_the_decode_gave(loaded, prompts, answered):
    """Tokens, annotations, logits and residual terms; the batches are the same, so bit for bit."""
    rows, batches = answered
    made = forced_batches(
        forcing(loaded), requests(loaded, prompts, SETTINGS), [row["tokens"] for row in rows], ""
    )
    for ours, theirs in zip(made, batches, strict=True):
        assert ours.samples.sample_id == theirs.samples.sample_id
        for name, column in ours.steps.columns().items():
            np.testing.assert_array_equal(column, theirs.steps.columns()[name], err_msg=name)
        for name in ("embed", "head", "mlp", "scale"):
            assert torch.equal(getattr(ours.residuals, name), getattr(theirs.residuals, name))


def test_stop_tokens_inside_a_text_do_not_end_it(loaded, prompts):
    """The other variant may write what would end this model's answer."""
    wanted = requests(loaded, prompts[:2], SETTINGS)
    stop = int(loaded.classes.stop[0])
    texts = [[5, stop, 6, 7], [stop, 8]]
    (batch,) = forced_batches(forcing(loaded), wanted, texts, "")
    assert batch.samples.n_steps.tolist() == [4, 2]
    assert batch.steps.token.tolist() == [token for text in texts for token in text]


@dataclass(frozen=True)
class Text:
    """An answer with its own prompt and, by swap, those with other numbers, of whatever lengths."""

    request: Request
    swapped: dict[int, Request]
    answer: list[int]
    marks: StepAnnotations

    def step(self, swap: int) -> int:
        return read_step(self.marks, min(self.request.prompt.n, self.swapped[swap].prompt.n))

    def swap(self, swap: int) -> Swap:
        own, other = self.request, self.swapped[swap]
        reached, larger = (tuple(part.tokens) for part in (own, other)[::swap])
        before = tuple(self.answer[: self.step(swap)])
        return Swap(swap, own.prompt.n, other.prompt.n, reached, larger, before, 0)


def contrast_of(loaded: LoadedModel, texts: list[Text]) -> xr.Dataset:
    material = SwapMaterial({swap: [text.swap(swap) for text in texts] for swap in SWAPS})
    requests, answers = [text.request for text in texts], [text.answer for text in texts]
    return nswap_contrast(forcing(loaded), readout_of(loaded.model), requests, answers, material)


def swap_text(loaded: LoadedModel, n: int, lengths: tuple[int, int, int], seed: int) -> Text:
    """An answer of one-token words to random prompts of these lengths, for N and for N -+ 1."""
    rng = np.random.default_rng(seed)
    names = ("own", "less", "more")
    made = [
        Request(
            f"s{seed}#0",
            Prompt(f"s{seed}", "en", number, "t", "a", "select", name),
            rng.integers(8, 160, length).tolist(),
        )
        for name, number, length in zip(names, (n, n - 1, n + 1), lengths, strict=True)
    ]
    answer = [*rng.integers(40, 100, n).tolist(), 5, 2]
    marks = annotate_steps(answer, n, loaded.vocabulary, loaded.decode_text, "whitespace")
    swapped = {swap: request for swap, request in zip((-1, 1), made[1:], strict=True)}
    return Text(made[0], swapped, answer, marks)


@pytest.mark.parametrize("row", ["llama", "gemma2", "granite", "gpt2"])
def test_contrasts_add_up_to_the_change_of_the_margin(row: str) -> None:
    """sum_c nswap(c) = change of logit(ender) - logit(word), for the pair of the own prompt.

    From plain passes without a cache; before a soft cap. Prompts have different
    lengths. Measured 3.6e-6.
    """
    model = tiny_model(row)
    loaded = toy(model)
    texts = [swap_text(loaded, n, lengths, n) for n, lengths in ((3, (9, 9, 8)), (4, (7, 8, 9)))]
    found = contrast_of(loaded, texts)
    cap = loaded.anatomy.soft_cap

    def logits(request: Request, text: Text, step: int) -> torch.Tensor:
        own = own_logits(model, request.tokens, [*text.answer[:step], 0])[-1].double()
        return own if cap is None else cap * torch.atanh(own / cap)

    for column, text in enumerate(texts):
        for place, swap in enumerate((-1, 1)):
            step = text.step(swap)
            assert step == text.request.prompt.n + min(swap, 0)
            own = logits(text.request, text, step)
            other = logits(text.swapped[swap], text, step)
            ender = CLASSES.enders[own[CLASSES.enders].argmax()]
            word = CLASSES.words[own[CLASSES.words].argmax()]
            change = swap * ((own[ender] - own[word]) - (other[ender] - other[word]))
            assert abs(change) > 0.02
            total = sum(float(found[f"nswap_{kind}"][place, column].sum()) for kind in KINDS)
            assert total == pytest.approx(float(change), abs=2e-5)
            assert float(found["nswap_margin"][place, column]) == pytest.approx(total, abs=1e-9)


KINDS = ("head", "mlp", "embed", "bias")


def planted_model():
    """One layer of four heads, of which head (0, 2) alone can read which number was asked for.

    Number tokens 20, 21, … differ along one direction only, and no other token has any of it. Keys
    and the values of the other heads are blind to it; head 2 writes it towards enders and away
    from words, in proportion to 9 - N: the larger the number, the less it ends.
    """
    model = tiny_model("llama", num_hidden_layers=1)
    layer, width = model.model.layers[0], 16
    made = torch.Generator().manual_seed(1)
    direction = torch.randn(48, generator=made)
    direction /= direction.norm()
    attention = layer.self_attn
    blind = torch.eye(48) - torch.outer(direction, direction)
    gain = layer.input_layernorm.weight
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight.copy_((projection.weight * gain) @ blind / gain)
    queries = slice(2 * width, 3 * width)  # without them head 2 looks everywhere alike
    attention.q_proj.weight[queries] = 0
    attention.q_proj.bias[queries] = 0
    attention.v_proj.weight[width] = 40 * direction / gain  # key-value head 1: heads 2 and 3
    attention.o_proj.weight[:, 3 * width] = 0
    ending = torch.randn(48, generator=made)  # what all enders have, and all words lack
    ending /= ending.norm()
    unembedding, norm = model.lm_head.weight, model.model.norm.weight
    unembedding[CLASSES.enders] += 4 * ending / norm
    unembedding[CLASSES.words] -= 4 * ending / norm
    attention.o_proj.weight[:, 2 * width] = -0.5 * ending
    layer.mlp.down_proj.weight.zero_()
    layer.mlp.down_proj.bias.zero_()
    embedding = model.model.embed_tokens.weight
    embedding.copy_(embedding @ blind)
    base = embedding[20].clone()
    for number in range(10):
        embedding[20 + number] = base + 0.05 * (number - 9) * direction
    return model


def planted_texts(loaded: LoadedModel) -> list[Text]:
    """The same prompt for N = 3, 4, 5 and its neighbours, and answers of N words."""
    texts = []
    for n in (3, 4, 5):
        text = swap_text(loaded, n, (6, 6, 6), n)
        before, after = text.request.tokens[:3], text.request.tokens[4:]

        def asked(number: int, old: Request, before=before, after=after) -> Request:
            return replace(old, tokens=[*before, 20 + number, *after])

        swapped = {swap: asked(n + swap, old) for swap, old in text.swapped.items()}
        texts.append(Text(asked(n, text.request), swapped, text.answer, text.marks))
    return texts


def test_a_planted_head_is_found_by_the_contrast_and_by_the_effect() -> None:
    """It has the largest contrast in every sample, positive on both sides, others near none."""
    loaded = toy(planted_model())
    texts = planted_texts(loaded)
    found = contrast_of(loaded, texts)
    heads = found["nswap_head"].to_numpy()[:, :, 0]
    assert heads[..., 2].min() > 0.5
    others = np.abs(np.delete(heads, 2, axis=-1)).max(-1)
    assert (others < 0.1 * heads[..., 2]).all()  # not 0: they share the norm's denominator
    own = [OwnText(text.request.tokens, text.answer, text.marks) for text in texts]
    used = np.ones(len(own), dtype=bool)
    effects = single_effects(loaded, own, used, ["zero"], "generated")
    assert (effects["effect_head"].to_numpy()[0, :, 0].argmax(-1) == 2).all()
    np.testing.assert_allclose(effects["effect_mlp"], 0, rtol=0, atol=1e-5)


def test_without_the_planted_head_there_is_no_contrast() -> None:
    """The null: with its output taken away, no head can tell the numbers apart."""
    loaded = toy(planted_model())
    with_it = contrast_of(loaded, planted_texts(loaded))["nswap_head"]
    loaded.model.model.layers[0].self_attn.o_proj.weight[:, 32] = 0
    without = contrast_of(loaded, planted_texts(loaded))["nswap_head"]
    assert float(np.abs(without).max()) < 0.1 * float(np.abs(with_it).max())


@pytest.mark.parametrize("row", ["llama", "gemma2"])
def test_effects_equal_edited_weights(row: str) -> None:
    """With positions `all`: margin - margin of the model with zeroed columns or MLP.

    Measured 4e-6 (margins up to 15), from plain passes; before a soft cap.
    """
    loaded = toy(tiny_model(row))
    text = swap_text(loaded, 3, (6, 6, 6), 3)
    own = OwnText(text.request.tokens, text.answer, text.marks)
    assert own.steps() == [0, 1, 2, 3]
    found = single_effects(loaded, [own], np.array([True]), ["zero"], "all")

    def margins(model) -> np.ndarray:
        logits = own_logits(model, own.prompt, [*own.answer[:3], 0]).double()
        if loaded.anatomy.soft_cap is not None:
            logits = loaded.anatomy.soft_cap * torch.atanh(logits / loaded.anatomy.soft_cap)
        best = [logits[:, part].amax(-1) for part in (CLASSES.enders, CLASSES.words)]
        return (best[0] - best[1]).numpy()

    clean = margins(loaded.model)
    assert float(found["margin"][0]) == pytest.approx(clean[3], abs=2e-5)
    assert float(found["margin_before"][0]) == pytest.approx(clean[:3].mean(), abs=2e-5)
    for kind, place in (("head", (1, 2)), ("head", (0, 3)), ("mlp", (2,))):
        edited = tiny_model(row)
        layer = edited.model.layers[place[0]]
        if kind == "head":
            layer.self_attn.o_proj.weight[:, 16 * place[1] : 16 * (place[1] + 1)] = 0
        else:
            for parameter in layer.mlp.down_proj.parameters():
                parameter.zero_()
        lost = clean - margins(edited)
        assert abs(lost[3]) > 1e-3
        effect = found[f"effect_{kind}"].to_numpy()[(0, 0, *place)]
        before = found[f"effect_before_{kind}"].to_numpy()[(0, 0, *place)]
        assert effect == pytest.approx(lost[3], abs=4e-5)
        assert before == pytest.approx(lost[:3].mean(), abs=4e-5)


def test_replacing_by_a_mean_needs_the_mean() -> None:
    """And a mean of zero is the mode `zero`."""
    loaded = toy(tiny_model("llama"))
    text = swap_text(loaded, 3, (6, 6, 6), 3)
    own = [OwnText(text.request.tokens, text.answer, text.marks)]
    used = np.array([True])
    with pytest.raises(LengthlensError, match="means, but none were given"):
        single_effects(loaded, own, used, ["mean"], "generated")
    a = loaded.anatomy
    nothing = Replacement(
        torch.zeros(2, a.n_layers, a.n_heads, a.d_head), torch.zeros(2, a.n_layers, a.d_model)
    )
    both = single_effects(loaded, own, used, ["zero", "mean"], "generated", nothing)
    for name in ("effect_head", "effect_mlp"):
        values = both[name].to_numpy()
        assert np.abs(values[0]).max() > 0.01
        np.testing.assert_allclose(values[0], values[1], rtol=0, atol=2e-6)


def test_own_text_has_the_own_attribution(loaded, tiny_llama_dir, prompts, answered) -> None:
    """A model that reads its own answers as another's: every variable as in its own file."""
    rows, batches = answered
    spec = ModelSpec(name="twin", variant="instruct", path=str(tiny_llama_dir))
    reader = reading_as(loaded, spec)
    assert why_not_shared(loaded, reader, rows) == ""
    readout = readout_of(loaded.model)
    twin = attribute_text(
        forcing(reader),
        readout,
        requests(loaded, prompts, SETTINGS),
        [row["tokens"] for row in rows],
    )
    own = xr.concat([attribute_batch(readout, batch) for batch in batches], dim="sample")
    assert set(twin.data_vars) == set(own.data_vars)
    for name in own.data_vars:
        np.testing.assert_array_equal(twin[name], own[name], err_msg=name)
    restored = on_text(own, as_other(twin), "untuned", "tuned")
    np.testing.assert_array_equal(restored["cwa_head"], own["cwa_head"])
    assert on_text(own, as_other(twin), "tuned", "tuned") is own
    assert on_text(own, xr.Dataset(), "untuned", "tuned") is None


def test_texts_of_another_vocabulary_are_refused(loaded, tiny_llama_dir, answered) -> None:
    reader = reading_as(loaded, ModelSpec(name="twin", variant="base", path=str(tiny_llama_dir)))
    row = answered[0][0]
    outside = row | {"tokens": [len(loaded.vocabulary)]}
    assert "outside of its" in why_not_shared(loaded, reader, [row, outside])
    other = row | {"text": "something else"}
    assert "reads en-n1-0000#0 as" in why_not_shared(loaded, reader, [other])


def test_a_forced_file_holds_every_answer_in_order(forced, answered, tmp_path: Path) -> None:
    rows, _ = answered
    assert forced["sample_id"].to_numpy().tolist() == [row["sample_id"] for row in rows]
    for label in ("n", "topic", "split", "words", "error", "truncated"):
        assert forced[label].to_numpy().tolist() == [row[label] for row in rows]
    assert forced.attrs["other_model"] == ""
    assert "no partner" in forced.attrs["other_absent"]
    assert all(variable.attrs["long_name"] for variable in forced.data_vars.values())
    path = tmp_path / "tiny.en.nc"
    write_dataset(forced, path, {"schema": FORCED})
    read = lengthlens.open_forced(path)
    assert read.attrs["provenance"] == {"schema": FORCED}
    np.testing.assert_array_equal(read["effect_head"], forced["effect_head"])


def test_n_is_swapped_among_the_numbers_of_the_study(forced) -> None:
    """With [1, 2, 9] the swap +1 of 2 is 9, and 9 has none: no model was asked for 10."""
    n = forced["n"].to_numpy()
    expected = {1: (0, 2), 2: (1, 9), 9: (2, 0)}
    for place, swap in enumerate(SWAPS):
        numbers = forced["n_swapped"].sel(swap=swap).to_numpy()
        assert numbers.tolist() == [expected[number][place] for number in n.tolist()]
        outside = numbers == 0
        assert (forced["nswap_reason"].sel(swap=swap).to_numpy()[outside] == "outside").all()
        assert np.isnan(forced["nswap_margin"].sel(swap=swap).to_numpy()[outside]).all()
        assert np.isnan(forced["nswap_longer"].sel(swap=swap).to_numpy()[outside]).all()
    for swap, number in ((1, 1), (-1, 2)):
        some = forced["nswap_margin"].sel(swap=swap).to_numpy()[n == number]
        assert np.isfinite(some).any()


def test_margins_are_there_exactly_where_a_swap_is_legal(loaded, forced, answered) -> None:
    """An answer cut after its first token never has two words: there is no step to read."""
    reason = forced["nswap_reason"].to_numpy()
    assert set(np.unique(reason)) == {"", "outside"}
    np.testing.assert_array_equal(np.isfinite(forced["nswap_margin"]), reason == "")
    cut = [row | {"tokens": row["tokens"][:1]} for row in answered[0] if row["n"] == 2]
    found = force_answers(forcing(loaded), LANGUAGE, cut, N_WORDS, EFFECTS, None)
    assert (found["nswap_reason"].sel(swap=1) == "step").all()
    assert np.isnan(found["nswap_margin"].sel(swap=1)).all()


def test_prompts_of_other_lengths_are_left_out_by_reason(loaded, answered) -> None:
    """9 and 10 differ in length under this tokenizer, so no position means the same in both."""
    rows = [row for row in answered[0] if row["n"] == 9]
    found = force_answers(forcing(loaded), LANGUAGE, rows, (9, 10), EFFECTS, None)
    assert (found["nswap_longer"].sel(swap=1) != 0).all()
    assert found["nswap_reason"].sel(swap=1).to_numpy().tolist() == ["length"] * len(rows)
    assert np.isnan(found["nswap_margin"]).all() and np.isnan(found["nswap_head"]).all()


def test_prompts_that_differ_in_other_words_are_left_out_by_reason(loaded, answered) -> None:
    """Nothing but the numeral may differ, however often it is there: "3 words, 3!" is legal."""
    say = loaded.tokenizer
    answer = [50, 60, 70, 2]
    words, none = np.array([3], dtype=np.int32), np.zeros(1, dtype=bool)
    marks = StepAnnotations(none, words, words, np.ones(1, dtype=np.int8), ~none, none)

    def differ(one: str, other: str) -> str:
        own, swapped = ((n, say(text)["input_ids"]) for n, text in ((3, one), (4, other)))
        found = swap_answer(own, swapped, answer, marks, loaded.decode_text)
        return found if isinstance(found, str) else ""

    assert differ("Write 3 words.", "Write 4 words.") == ""
    assert differ("Write 3 words, 3!", "Write 4 words, 4!") == ""
    assert differ("Write 3 words, 3!", "Write 4 words, 5!") == ELSEWHERE
    assert differ("Write 3 words.", "Write 4 words!") == ELSEWHERE
    assert differ("Write 3 words.", "Write 4 words now.") == LENGTH


def test_the_next_numbers_of_the_study() -> None:
    assert [neighbour(3, [5, 3], swap) for swap in SWAPS] == [None, 5]
    assert [neighbour(5, [9, 5, 3], swap) for swap in SWAPS] == [3, 9]
    assert neighbour(4, [4], 1) is None


def test_a_prompt_may_name_the_number_twice(loaded, answered) -> None:
    """Patches and contrasts go by one rule: a swap that one of them reads the other reads, too."""
    twice = replace(
        LANGUAGE,
        templates=tuple(
            replace(one, text=f"{one.text} {{n}}!", plurals={"one": f"{one.text} {{n}}!"})
            for one in LANGUAGE.templates
        ),
    )
    found = force_answers(forcing(loaded), twice, answered[0], N_WORDS, EFFECTS, None)
    legal = found["nswap_reason"].to_numpy() == ""
    reading = Reading(N_WORDS, "whitespace", SETTINGS.date)
    material = swap_material(loaded, twice, answered[0], reading)
    for place, swap in enumerate(SWAPS):
        entries = material.by_swap[swap]
        assert legal[place].tolist() == [isinstance(entry, Swap) for entry in entries]
        assert legal[place].any()
        np.testing.assert_array_equal(np.isfinite(found["nswap_margin"][place]), legal[place])


def test_without_a_legal_swap_the_rest_goes_on(loaded, answered) -> None:
    """One N alone: no contrast, but effects, a ranking by the others, and words that say so."""
    rows = [row for row in answered[0] if row["n"] == 2]
    found = force_answers(forcing(loaded), LANGUAGE, rows, (2,), EFFECTS, None)
    assert np.isnan(found["nswap_head"]).all() and np.isfinite(found["effect_head"]).any()
    assert (found["nswap_reason"] == "outside").all()


def test_measured_answers_are_drawn_by_the_seed() -> None:
    """So many of each N; more only add; other seeds draw others; languages draw the same."""
    rows = [
        {"n": n, "topic": f"t{i}", "template": "a", "sample_id": f"{code}-n{n}-{i:04d}#0"}
        for code in ("en", "it")
        for n in (3, 5)
        for i in range(12)
    ]
    english, italian = rows[:24], rows[24:]
    three = drawn_of_each(english, 3, 0)
    assert [three[:12].sum(), three[12:].sum()] == [3, 3]
    assert (drawn_of_each(english, 5, 0) >= three).all()
    np.testing.assert_array_equal(drawn_of_each(italian, 3, 0), three)
    others = [drawn_of_each(english, 3, seed) for seed in range(200)]
    share = np.mean(others, axis=0)  # each answer in a quarter of the draws: no first ones
    assert np.abs(share - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 200)
    assert drawn_of_each(english, 99, 0).all()


def test_effects_are_of_the_drawn_answers(forced, answered) -> None:
    decided = {
        sample
        for batch in answered[1]
        for sample in np.asarray(batch.samples.sample_id)[batch.steps.sample[batch.steps.decision]]
    }
    used = drawn_of_each(answered[0], 2, 0)
    expected = [name in decided for name in forced["sample_id"].to_numpy()] & used
    assert expected.sum() >= 3 and not expected.all()
    np.testing.assert_array_equal(np.isfinite(forced["margin"]), expected)
    np.testing.assert_array_equal(
        np.isfinite(forced["effect_head"]).all(("mode", "layer", "head")), expected
    )


def test_the_other_models_answers_are_forced(loaded, tiny_llama_dir, answered) -> None:
    rows, _ = answered
    twin = ModelSpec(name="twin", variant="base", path=str(tiny_llama_dir))
    other = [row | {"tokens": row["tokens"][:3], "text": None} for row in rows[::-1]]
    reader = reading_as(loaded, twin)
    for row in other:
        ids = np.asarray(row["tokens"])
        row["text"] = loaded.decode_text(ids[~reader.vocabulary.stop[ids]].tolist())
    found = force_answers(forcing(loaded), LANGUAGE, rows, N_WORDS, EFFECTS, Other(twin, other))
    assert found.attrs["other_model"] == "twin" and found.attrs["other_absent"] == ""
    lengths = [min(3, len(row["tokens"])) for row in rows]
    assert found["other_n_steps"].to_numpy().tolist() == lengths
    assert float(found["other_completeness_error"].max()) < 2e-5
    without = force_answers(
        forcing(loaded), LANGUAGE, rows, N_WORDS, EFFECTS, Other(twin, other[1:])
    )
    assert f"has no answer {rows[-1]['sample_id']}" in without.attrs["other_absent"]
    assert "other_n_steps" not in without


def test_unknown_topics_are_refused(loaded, answered) -> None:
    wrong = [answered[0][0] | {"topic": "sand"}]
    with pytest.raises(LengthlensError, match="'sand'.*generate the answers anew"):
        force_answers(forcing(loaded), LANGUAGE, wrong, N_WORDS, EFFECTS, None)
