"""A planted circuit is found, whole: ranking, ablation, transfer and repair name exactly it."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from planted import HEAD, LANGUAGES, N_WORDS, Planted, planted_model, prompts_of
from small_project import generation
from tqdm import tqdm

from lengthlens.ablation.ablate import AblationStudy, ablate
from lengthlens.ablation.repair import measure_repair, repaired_conditions
from lengthlens.ablation.selection import component_name, select_components
from lengthlens.ablation.sweep import plan_sweep
from lengthlens.analysis.effects import summarise_ablation
from lengthlens.analysis.repair import summarise_repair
from lengthlens.analysis.transfer import summarise_transfer
from lengthlens.attribution.means import replacement
from lengthlens.attribution.per_sample import attribute_batches, attribution_file
from lengthlens.generation.answers import answer_prompts
from lengthlens.models.layout import Layout
from lengthlens.models.readout import readout_of
from lengthlens.settings.sections import AblationPlan
from lengthlens.statistics import Bootstrap

SETTINGS = generation(max_new_tokens=12, batch_size="auto", memory_gb=1.0, date="2024-07-26")
PLAN = AblationPlan(
    k=(1,), further_k=(1,), methods=("cwa", "end_contrast"), modes=("zero", "mean", "resample"),
    positions="generated", controls=9, test_controls=9, answered_controls=9, further_controls=9,
    seed=0,
)  # fmt: skip
PLANTED = component_name(*HEAD)


@functools.cache
def stage(kind: str) -> dict[str, object]:
    """Selection, ablation, transfer and repair of a planted model in both languages."""
    loaded = planted_model(kind)
    selections, sums, exact = {}, {}, {}
    for language in LANGUAGES:
        prompts = prompts_of(language)
        pairs = list(answer_prompts(loaded, prompts, SETTINGS, "whitespace"))
        rows = [row for part, _ in pairs for row in part]
        selected = {row["sample_id"] for row in rows if row["split"] == "select"}
        batches = [batch for _, batch in pairs]
        readout = readout_of(loaded.model)
        scores, sums[language], _ = attribute_batches(readout, batches, selected)
        attribution = attribution_file(scores, sums[language], rows)
        selections[language] = select_components(attribution, PLAN.methods)
        exact[language] = np.mean([row["error"] == 0 and row["stopped"] for row in rows])
    ablations, repairs = {}, {}
    for language in LANGUAGES:
        study = study_of(loaded, language, sums[language])
        conditions = plan_sweep(selections, Layout.even(3, 4), PLAN, language)
        with tqdm(disable=True) as bar:
            ablations["m", language], clean, book = ablate(study, conditions, ["a", "bb"], bar)
        kept = repaired_conditions(conditions)
        repairs["m", language] = measure_repair(study, kept, clean, book)
    effects = summarise_ablation(ablations, Bootstrap(resamples=200))
    return {
        "exact": exact,
        "selections": selections,
        "effects": effects.set_index(["language", "measure", "chosen_by", "method", "mode"]),
        "transfer": summarise_transfer(effects, ["lb"]),
        "repair": summarise_repair(repairs, Bootstrap(resamples=200)),
        "errors": [float(np.nanmax(data["error"])) for data in repairs.values()],
    }


def study_of(loaded: Planted, language: str, sums) -> AblationStudy:
    prompts = [prompt for prompt in prompts_of(language) if prompt.split == "evaluate"]
    by_place = {(prompt.topic, prompt.n): prompt for prompt in prompts}
    following = dict(zip(N_WORDS, [*N_WORDS[1:], N_WORDS[0]], strict=True))
    donors = [by_place[prompt.topic, following[prompt.n]] for prompt in prompts]
    return AblationStudy(loaded, prompts, SETTINGS, "whitespace", replacement(sums), donors)


def first(table: pd.DataFrame, method: str, kind: str) -> str:
    rows = table[(table["method"] == method) & (table["kind"] == kind)]
    return str(rows.loc[rows["rank"].idxmin(), "component"])


def effect(found: dict, *key: str) -> pd.Series:
    rows = found["effects"].loc[[key]]
    return rows[rows["source_language"] == key[0]].iloc[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["head", "mlp", "null"])
def test_whole_models_are_exact(kind: str) -> None:
    assert stage(kind)["exact"] == {"en": 1.0, "lb": 1.0}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("method", PLAN.methods)
def test_the_planted_head_ranks_first_and_carries_the_decision(method, language) -> None:
    """Without it no answer is exact; without any other head of its layer all are."""
    found = stage("head")
    assert first(found["selections"][language], method, "head") == PLANTED
    row = effect(found, language, "exact", "top", method, "zero")
    assert row["components"] == PLANTED
    assert (row["none"], row["chosen"], row["control"], row["n_controls"]) == (1.0, 0.0, 1.0, 3)
    assert effect(found, language, "late", "top", method, "zero")["chosen"] == 1.0
    margin = effect(found, language, "end_margin", "top", method, "zero")
    assert margin["effect_high"] < 0 and margin["change_high"] < 0
    assert effect(found, language, "exact", "bottom", method, "zero")["chosen"] == 1.0


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_mode_finds_the_head(language: str) -> None:
    """The mean holds a part of the flag; a donor that asked for more words has not raised its own.

    A donor that asked for fewer words has stopped by then: its last step, with the flag, stands in,
    so that some answers stay as they were.
    """
    found = stage("head")
    zero, mean, resample = (
        effect(found, language, "end_margin", "top", "end_contrast", mode) for mode in PLAN.modes
    )
    for row in (zero, mean, resample):
        assert row["change_high"] < 0 and row["effect_high"] < 0
    assert resample["change"] > zero["change"]


def test_the_planted_head_transfers() -> None:
    """Found in either language, it carries the decision in the other."""
    table = stage("head")["transfer"]
    exact = table[table["measure"] == "exact"]
    assert len(exact) == 8
    assert set(exact["components"]) == {PLANTED}
    assert (exact["chosen"] == 0.0).all() and (exact["control"] == 1.0).all()


def test_the_backup_is_found_as_repair() -> None:
    """Direct = what the head gave; the final MLP, and nothing else, gives a part of it back."""
    table = stage("head")["repair"]
    assert max(stage("head")["errors"]) <= 1e-5
    rows = table[(table["method"] == "end_contrast") & (table["minus"] == "")]
    for language in LANGUAGES:
        term = rows[rows["language"] == language].set_index("term")["contribution"]
        assert term["direct"] > 0
        assert -0.9 * term["direct"] < term["final_mlp"] < -0.05 * term["direct"]
        assert term["mlps"] == pytest.approx(term["final_mlp"], abs=0.02 * term["direct"])
        assert abs(term["heads"]) < 0.02 * term["direct"]
    final = effect(stage("head"), "en", "exact", "position", "final_mlp", "zero")
    assert final["chosen"] == 1.0  # a backup is not needed while the head is there


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_planted_mlp_is_found(language: str) -> None:
    """The final MLP ranks first; without it nothing is exact, without another or any head all."""
    found = stage("mlp")
    for method in PLAN.methods:
        assert first(found["selections"][language], method, "mlp") == "L2M"
        assert effect(found, language, "exact", "top", method, "zero")["chosen"] == 1.0
    row = effect(found, language, "exact", "position", "final_mlp", "zero")
    assert (row["components"], row["chosen"], row["control"]) == ("L2M", 0.0, 1.0)
    assert row["n_controls"] == row["n_possible"] == 2
    late = effect(found, language, "exact", "position", "late_heads", "zero")
    assert late["chosen"] == 1.0
    both = effect(found, language, "exact", "position", "late_heads_and_final_mlp", "zero")
    assert both["chosen"] == 0.0


@pytest.mark.slow
def test_in_the_null_model_nothing_is_found() -> None:
    """No set of heads or MLPs moves an answer; margins move by less than a twentieth."""
    effects = stage("null")["effects"].reset_index()
    exact = effects[effects["measure"] == "exact"]
    assert len(exact) > 20
    assert (exact["chosen"] == 1.0).all()
    assert exact["effect_low"].isna().all()  # all answers alike: no effect, no interval
    margins = effects[effects["measure"] == "end_margin"]
    assert (margins["change"].abs() < 0.05 * margins["none"].abs()).all()


def test_removing_the_head_everywhere_equals_zeroing_its_columns() -> None:
    """Positions `all`, through the sweep: the same words; margins within 1e-5."""
    loaded = planted_model("head")
    prompts = [prompt for prompt in prompts_of("en") if prompt.split == "evaluate"]
    study = AblationStudy(loaded, prompts, SETTINGS, "whitespace")
    table = stage("head")["selections"]["en"]
    plan = AblationPlan(**(vars(PLAN) | {"positions": "all", "modes": ("zero",)}))
    conditions = plan_sweep({"en": table}, Layout.even(3, 4), plan, "en")
    place = next(i for i, c in enumerate(conditions) if c.components == PLANTED)
    with tqdm(disable=True) as bar:
        data, clean, _ = ablate(study, conditions, ["a"], bar)
    edited = planted_model("head")
    width = edited.anatomy.d_head
    with torch.no_grad():
        projection = edited.model.transformer.h[HEAD[0]].attn.c_proj.weight  # transposed
        projection[HEAD[1] * width : (HEAD[1] + 1) * width] = 0.0
    rows = [
        row for part, _ in answer_prompts(edited, prompts, SETTINGS, "whitespace") for row in part
    ]
    assert data["words"][place].to_numpy().tolist() == [row["words"] for row in rows]
    again = AblationStudy(edited, prompts, SETTINGS, "whitespace")
    for column, (prompt, tokens) in enumerate(zip(prompts, again.encoded(), strict=True)):
        decision = again.loaded.annotate(clean[column], prompt.n, again.counting).decision_step
        ids = torch.tensor([[*tokens, *clean[column][:decision]]])
        with torch.inference_mode():
            logits = edited.model(ids).logits[0, -1]
        enders, words = logits[edited.classes.enders], logits[edited.classes.words]
        margin = float(enders.max() - words.max())
        assert float(data["end_margin"][place, column]) == pytest.approx(margin, abs=1e-5)
    assert len(N_WORDS) * 4 == len(prompts)
