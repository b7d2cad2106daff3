"""Ablation of a tiny random model: every measure against its plain definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import tiny_model
from small_project import changed, generation
from toys import CLASSES, own_logits, toy
from tqdm import tqdm

from lengthlens.ablation.ablate import AblationStudy, ablate
from lengthlens.ablation.conditions import Condition, matched_draws
from lengthlens.ablation.repair import measure_repair, repaired_conditions
from lengthlens.decoding.decode import Decoder
from lengthlens.decoding.intervention import Intervention, Replacement
from lengthlens.errors import LengthlensError
from lengthlens.generation.answers import answer_prompts
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import answer_margins, sentence_logliks
from lengthlens.language.prompts import Prompt
from lengthlens.statistics.blocks import even_blocks

SETTINGS = generation(
    max_new_tokens=10,
    batch_size=7,  # so that batches cut through prompts and conditions
    memory_gb=1.0,
    date="2024-07-26",
)
TEXTS = [
    "Write about the sea!",
    "The garden is green?",
    "He said: what a year!",
    "Il mare",
    "Is the garden calm?",
    "D'Meer ass roueg.",
]
HEADS = ((0, 1), (1, 2))
BLOCKS = even_blocks(2, 4, 4)
CONDITIONS = [
    Condition(),
    Condition(HEADS, "zero", "generated", "cwa", "en"),
    *(
        Condition(heads, "zero", "generated", "cwa", "en", draw)
        for draw, heads in enumerate(matched_draws(HEADS, BLOCKS, 4, "s", "disjoint"), start=1)
    ),
    Condition(HEADS, "mean", "generated", "cwa", "en"),
    Condition(HEADS, "zero", "generated", "end_contrast", "en"),  # a set that occurs twice
    Condition(HEADS, "resample", "generated", "cwa", "en"),
    Condition((), "zero", "generated", "final_mlp", "en", mlps=(1,)),
    Condition(HEADS, "resample", "generated", "mixed", "en", mlps=(0,)),
    Condition(HEADS[:1], "zero", "generated", "cwa", "en", 1, answered=False, neutral=False),
]
PLACE_OF_MEAN, PLACE_OF_RESAMPLE = 6, 8
FORCED = len(CONDITIONS) - 1  # whose answers are not generated
DOTTED = ["The sea. It is calm. It is blue.", "She smiled. He did not."]
NEUTRAL = ["The sea is calm in the morning.", "She smiled.", "It was 1984, on the 3rd of May"]


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    """Prompts for 1, 2 and 20 words, of which 20 are never reached."""
    return [
        Prompt(f"en-n{n}-{i:04d}", "en", n, f"t{i}", "a", "evaluate", text)
        for i, (n, text) in enumerate(zip((1, 2, 20) * 2, TEXTS, strict=True))
    ]


def means(loaded: LoadedModel) -> Replacement:
    a = loaded.anatomy
    made = torch.Generator().manual_seed(0)
    return Replacement(
        torch.randn(2, a.n_layers, a.n_heads, a.d_head, generator=made),
        torch.randn(2, a.n_layers, a.d_model, generator=made),
    )


def donors_of(prompts: list[Prompt]) -> list[Prompt]:
    """Each prompt with another N; the tiny model does not read the number anyway."""
    return [
        replace(p, n=20 if p.n == 1 else 1, text=TEXTS[(i + 1) % len(TEXTS)])
        for i, p in enumerate(prompts)
    ]


def run(loaded, prompts, conditions=CONDITIONS, neutral=NEUTRAL, **changes):
    settings = changed(SETTINGS, **changes)
    donors = donors_of(prompts)
    study = AblationStudy(loaded, prompts, settings, "whitespace", means(loaded), donors)
    with tqdm(disable=True) as bar:
        return ablate(study, conditions, neutral, bar)[0]


@pytest.fixture(scope="module")
def dataset(loaded, prompts):
    return run(loaded, prompts)


def test_removing_nothing_is_plain_generation(loaded, prompts, dataset) -> None:
    """Condition 0 = the answers of the generation stage."""
    answers = [
        row for rows, _ in answer_prompts(loaded, prompts, SETTINGS, "whitespace") for row in rows
    ]
    none = dataset.isel(condition=0)
    for name in ("words", "error", "stopped", "truncated", "sample_id", "n", "topic", "split"):
        assert none[name].to_numpy().tolist() == [row[name] for row in answers], name


def test_end_margins_are_those_of_the_decode(loaded, prompts, dataset) -> None:
    """Teacher-forced margin = recorded ender_logit - word_logit; measured 2.7e-6, logits up to 6.

    NaN exactly where an answer has no decision step.
    """
    recorded = []
    for _, batch in answer_prompts(loaded, prompts, SETTINGS, "whitespace"):
        steps = batch.steps
        for sample in range(len(batch.samples)):
            mine = np.flatnonzero((steps.sample == sample) & steps.decision)
            margin = steps.ender_logit[mine] - steps.word_logit[mine]
            recorded.append(margin[0] if len(mine) else np.nan)
    assert np.isfinite(recorded).sum() >= 3
    assert np.isnan(recorded).sum() >= 1
    np.testing.assert_allclose(dataset["end_margin"][0], recorded, rtol=0, atol=1e-5)


def test_conditions_are_independent_of_their_company(loaded, prompts, dataset) -> None:
    """Each condition beside `none` alone gives the same as in the whole sweep."""
    for place in (1, 3, *range(PLACE_OF_MEAN, FORCED)):
        alone = run(loaded, prompts, [CONDITIONS[0], CONDITIONS[place]], batch_size=64)
        for name in ("words", "stopped"):
            np.testing.assert_array_equal(alone[name][1], dataset[name][place])
        for name in ("end_margin", "neutral_loglik"):
            np.testing.assert_allclose(alone[name][1], dataset[name][place], rtol=0, atol=1e-5)


def test_sets_by_position_share_batches_with_each_other(
    loaded, prompts, dataset, monkeypatch
) -> None:
    """They may never stop, and would hold up the others; only one batch is of both kinds."""
    marked = [
        replace(condition, chosen_by="position" if condition.mlps else "top")
        if place
        else condition
        for place, condition in enumerate(CONDITIONS)
    ]
    kinds = []

    decode = Decoder.decode

    def watched(*words, intervention=None, **options):
        if intervention is not None:
            kinds.append(set(intervention.mlps.any(1).tolist()))
        return decode(*words, intervention=intervention, **options)

    monkeypatch.setattr(Decoder, "decode", watched)
    found = run(loaded, prompts, marked)
    assert kinds == sorted(kinds, key=lambda kind: (True in kind, False not in kind))
    assert kinds.count({False, True}) <= 1
    assert kinds.count({False}) > 1 and kinds.count({True}) > 0
    for name in ("words", "stopped", "end_margin", "neutral_loglik"):
        np.testing.assert_allclose(found[name], dataset[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_conditions_differ_and_equal_sets_agree(dataset) -> None:
    loglik = dataset["neutral_loglik"].to_numpy()[:FORCED]
    assert len(np.unique(loglik.round(6))) == FORCED - 1
    again = PLACE_OF_MEAN + 1
    assert loglik[1] == loglik[again]  # the same heads chosen by another method
    np.testing.assert_array_equal(dataset["end_margin"][1], dataset["end_margin"][again])


def test_a_condition_that_is_not_answered_has_margins_only(dataset) -> None:
    for name in ("words", "error", "stopped", "truncated", "sentence_loglik", "neutral_loglik"):
        assert np.isnan(dataset[name][FORCED]).all(), name
        assert np.isfinite(dataset[name][:FORCED]).all(), name
    assert not dataset["answered"][FORCED]
    known = np.isfinite(dataset["end_margin"][0])
    assert (np.isfinite(dataset["end_margin"][FORCED]) == known).all()


def test_an_mlp_is_removed_as_by_the_intervention_alone(loaded, prompts, dataset) -> None:
    """Words of the condition `L1M` = those of a plain decode without that MLP."""
    study = AblationStudy(loaded, prompts, SETTINGS, "whitespace")
    mlps = torch.zeros(len(prompts), 2, dtype=torch.bool)
    mlps[:, 1] = True
    heads = torch.zeros(len(prompts), 2, 4, dtype=torch.bool)
    decoded = loaded.decode(
        study.encoded(), SETTINGS.max_new_tokens, intervention=Intervention(heads, mlps)
    )
    place = dataset["components"].to_numpy().tolist().index("L1M")
    words = [
        loaded.annotate(t, p.n, "whitespace").words_after[-1]
        for p, t in zip(prompts, decoded.tokens, strict=True)
    ]
    np.testing.assert_array_equal(dataset["words"][place], words)
    assert (dataset["words"][place] != dataset["words"][0]).any()


def test_coordinates_say_what_was_removed(dataset) -> None:
    kinds = ["none", *["head"] * 8, "mlp", "mixed", "head"]
    assert dataset["kind"].to_numpy().tolist() == kinds
    assert dataset["components"].to_numpy()[[0, 1]].tolist() == ["", "L0H1;L1H2"]
    assert dataset["k"].to_numpy().tolist() == [0, *[2] * 8, 1, 3, 1]
    assert dataset["control"].to_numpy().sum() == 5
    assert dataset["draw"].to_numpy().tolist() == [0, 0, 1, 2, 3, 4, *[0] * 5, 1]
    kept = dataset.isel(condition=slice(FORCED))
    assert (kept["truncated"] == 1 - kept["stopped"]).all()
    assert (kept["error"] == kept["words"] - kept["n"]).all()


def test_the_neutral_loglikelihood_is_transformers_loss(loaded, prompts, dataset) -> None:
    """= minus the mean loss of a token; measured 3.7e-7."""
    total, count = 0.0, 0
    for sentence in NEUTRAL:
        ids = torch.tensor([loaded.tokenizer(sentence)["input_ids"]])
        with torch.inference_mode():
            loss = loaded.model(ids, labels=ids).loss
        total, count = total - float(loss) * (ids.shape[1] - 1), count + ids.shape[1] - 1
    assert float(dataset["neutral_loglik"][0]) == pytest.approx(total / count, abs=5e-6)


def test_the_first_condition_must_be_none(loaded, prompts) -> None:
    with pytest.raises(LengthlensError, match="first condition removes L0H1;L1H2"):
        run(loaded, prompts, CONDITIONS[1:])


def test_means_are_required_for_mean_ablation(loaded, prompts) -> None:
    study = AblationStudy(loaded, prompts, SETTINGS, "whitespace")
    with tqdm(disable=True) as bar, pytest.raises(LengthlensError, match="no means were given"):
        ablate(study, [CONDITIONS[0], CONDITIONS[PLACE_OF_MEAN]], NEUTRAL, bar)


def test_resampling_needs_a_donor_for_every_prompt(loaded, prompts) -> None:
    study = AblationStudy(loaded, prompts, SETTINGS, "whitespace", donors=donors_of(prompts)[1:])
    with (
        tqdm(disable=True) as bar,
        pytest.raises(LengthlensError, match="each of 6 prompts, but 5"),
    ):
        ablate(study, [CONDITIONS[0], CONDITIONS[PLACE_OF_RESAMPLE]], NEUTRAL, bar)


def test_donors_are_named_by_their_n(dataset) -> None:
    assert dataset["donor_n"].to_numpy().tolist() == [20, 1, 1] * 2


def test_one_neutral_sentence_has_no_resampled_score(loaded, prompts, dataset) -> None:
    """Its donor would be itself: the score would be that of the whole model, and mean nothing."""
    places = [0, 1, PLACE_OF_RESAMPLE]
    found = run(loaded, prompts, [CONDITIONS[place] for place in places], NEUTRAL[:1])
    assert np.isfinite(found["sentence_loglik"].to_numpy()).ravel().tolist() == [True, True, False]
    assert np.isnan(found["neutral_loglik"].to_numpy()[2])
    assert "no other as its donor" in found.attrs["resample_neutral_absent"]
    assert dataset.attrs["resample_neutral_absent"] == ""
    assert np.isfinite(dataset["neutral_loglik"][PLACE_OF_RESAMPLE])


def test_no_evaluate_prompt_leaves_the_neutral_scores(loaded, dataset) -> None:
    """All topics of a small study may be of the split select."""
    study = AblationStudy(loaded, [], SETTINGS, "whitespace", means(loaded))
    with tqdm(disable=True) as bar:
        found, unablated, _ = ablate(study, CONDITIONS, NEUTRAL, bar)
    assert unablated == [] and found["words"].shape == (len(CONDITIONS), 0)
    scores = found["sentence_loglik"].to_numpy()
    np.testing.assert_allclose(scores, dataset["sentence_loglik"].to_numpy(), rtol=1e-6)
    repair = measure_repair(study, repaired_conditions(CONDITIONS), unablated)
    assert repair["drop"].sizes["sample"] == 0


def test_stop_tokens_inside_neutral_sentences_are_scored_like_others(loaded, prompts) -> None:
    """`stop_tokens: ["."]`: the sentences hold full stops, and nothing else changes."""
    stop = loaded.tokenizer(".")["input_ids"][-1]
    assert any(stop in loaded.tokenizer(text)["input_ids"][1:-1] for text in DOTTED)
    dotted = replace(
        loaded,
        classes=replace(
            loaded.classes, stop=torch.cat([loaded.classes.stop, torch.tensor([stop])])
        ),
    )
    conditions = [CONDITIONS[0], CONDITIONS[PLACE_OF_RESAMPLE]]
    plain, found = (run(model, prompts, conditions, DOTTED) for model in (loaded, dotted))
    np.testing.assert_array_equal(found["sentence_loglik"], plain["sentence_loglik"])


def test_a_neutral_sentence_of_one_token_is_refused_before_any_work(loaded, prompts) -> None:
    plain = loaded.tokenizer

    class WithoutStart:  # a tokenizer that puts no token before a text
        def __call__(self, text):
            return {"input_ids": plain(text)["input_ids"][1:]}

    with pytest.raises(LengthlensError, match="reads the neutral sentence 'a' as 1 token"):
        run(replace(loaded, tokenizer=WithoutStart()), prompts, neutral=["a", *NEUTRAL])


def every_other(model: LoadedModel):
    a = model.anatomy

    def rows(sets) -> Intervention:
        heads = torch.zeros(len(sets), a.n_layers, a.n_heads, dtype=torch.bool)
        heads[:, 1, 2] = torch.tensor([index % 2 == 1 for index in sets])
        return Intervention(heads, torch.zeros(len(sets), a.n_layers, dtype=torch.bool))

    return rows


@pytest.mark.parametrize("row", ["gemma2", "granite", "llama"])
@pytest.mark.parametrize("answer", [[], [50, 61, 9, 45]])
def test_margins_are_those_before_a_soft_cap(row: str, answer: list[int], monkeypatch) -> None:
    """With a cap of 3 and logits of 6 the margin is read before the cap, in batches of sets.

    The own output is bent back with the inverse of the cap; measured 2.4e-7.
    """
    monkeypatch.setattr("lengthlens.generation.score.ROWS", 4)
    model = tiny_model(row)
    loaded = toy(model)
    prompt = [11, 30, 99, 12, 7]
    margins = answer_margins(loaded, prompt, answer, every_other(loaded), 7)
    own = own_logits(model, prompt, [*answer, 0])[-1]
    cap = loaded.anatomy.soft_cap
    raw = own if cap is None else cap * torch.atanh(own.double() / cap)
    expected = float(raw[CLASSES.enders].max() - raw[CLASSES.words].max())
    assert margins[::2] == pytest.approx(expected, abs=2e-6)
    assert np.ptp(margins[::2]) <= 2e-6 and np.ptp(margins[1::2]) <= 2e-6
    assert abs(margins[1] - margins[0]) > 1e-3


def test_sentences_are_scored_with_components_removed_everywhere() -> None:
    """= the model with zeroed columns of o_proj; measured 3.9e-6 (values of about -45)."""
    model = tiny_model("llama")
    loaded = toy(model)
    text = [1, 50, 61, 9, 45, 7, 99, 30, 12]
    found = sentence_logliks(loaded, text, every_other(loaded), 2)
    for place in range(2):
        if place:
            width = loaded.anatomy.d_head
            model.model.layers[1].self_attn.o_proj.weight[:, 2 * width : 3 * width] = 0
        ids = torch.tensor([text])
        loss = model(ids, labels=ids).loss
        assert found[place] == pytest.approx(-float(loss) * (len(text) - 1), abs=2e-5)
    assert abs(found[1] - found[0]) > 0.01


@pytest.mark.parametrize("positions", ["generated", "all"])
def test_scores_that_are_not_finite_stop_everything(positions: str) -> None:
    """One set replaces a head by what is no number: it is named, and no NaN is handed on."""
    model = tiny_model("llama")
    loaded = toy(model)
    a = loaded.anatomy
    means = Replacement(
        torch.full((2, a.n_layers, a.n_heads, a.d_head), torch.nan),
        torch.zeros(2, a.n_layers, a.d_model),
    )

    def rows(sets) -> Intervention:
        heads = torch.zeros(len(sets), a.n_layers, a.n_heads, dtype=torch.bool)
        heads[torch.tensor(list(sets)) > 0, 0, 0] = True
        mlps = torch.zeros(len(sets), a.n_layers, dtype=torch.bool)
        return Intervention(heads, mlps, positions, heads[:, 0, 0], means)

    text = [11, 30, 99, 12, 7]
    words = r"is not finite with the components of set 1 \(of 3\) removed.*float32"
    with pytest.raises(LengthlensError, match=f"end margin {words}"):
        answer_margins(loaded, text, [50], rows, 3)
    with pytest.raises(LengthlensError, match=f"log-likelihood {words}"):
        sentence_logliks(loaded, text, rows, 3)
