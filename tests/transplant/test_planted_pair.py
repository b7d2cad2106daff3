"""A pair that differs in one planted head: it is found, both ways, and nothing else is."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from planted_circuit import CARRIER, N_WORDS, Counting, answers_of, counting_model, language
from toys import SETTINGS
from tqdm import tqdm

from lengthlens.ablation.ablate import AblationStudy, answer_prompts
from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.analysis.transplants import summarise_changes, summarise_transplants
from lengthlens.figures.style import Cast
from lengthlens.figures.transplants import draw_transplants
from lengthlens.files import formats
from lengthlens.files.tables import write_table
from lengthlens.generation.job import Reading
from lengthlens.generation.swaps import swap_material
from lengthlens.language.prompts import prompt_of
from lengthlens.patching.measure import Plan, measure_patching
from lengthlens.reporting.tuning import late_layers_suffice, say_changes, say_transplants
from lengthlens.settings.sections import Transplant
from lengthlens.statistics import Bootstrap
from lengthlens.transplant.measure import Material, measure_transplants
from lengthlens.transplant.pair import Pair, alike
from lengthlens.transplant.plan import layer_ranges
from lengthlens.transplant.swap import transplanted
from lengthlens.transplant.texts import FixedTexts

BOOTSTRAP = Bootstrap(resamples=200)
KEY = ("before", "after", "en")
LAYER, HEAD = CARRIER
NAME = f"L{LAYER}H{HEAD}"
PLAN = Transplant(
    languages="auto",
    per_n=2,
    every=1,
    answer_layers=True,
    scales=(0.5,),
    controls=2,
    across_per_n=2,
    seed=0,
)


class Words:
    """A tokenizer of neutral text: a token a word."""

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [40 + len(word) for word in text.split()]}


def model(name: str, edited: bool) -> Counting:
    """The planted counting model; `edited` lets its carrier write what the comparison reads."""
    loaded = counting_model()
    if not edited:
        attention = loaded.model.transformer.h[LAYER].attn
        first = HEAD * attention.head_dim
        attention.c_proj.weight.data[first : first + attention.head_dim] = 0
    spec = loaded.spec.model_copy(update={"name": name})
    return Counting(**vars(loaded) | {"spec": spec, "tokenizer": Words()})


def pair_of(same: bool = False) -> Pair:
    return alike(model("before", edited=same), model("after", edited=True))


def material() -> Material:
    lang = language(topics=20)
    rows = [row for row in answers_of(lang) if row["split"] == "evaluate"]
    neutral = ("a bb ccc dddd", "eeeee ffff ggg")
    return Material(
        [prompt_of(lang, row, row["n"]) for row in rows],
        type(lang)(**vars(lang) | {"neutral": neutral}),
        N_WORDS,
        "whitespace",
        SETTINGS.model_copy(update={"batch_size": 64}),
    )


@functools.cache
def measured(same: bool = False) -> xr.Dataset:
    return measure_transplants(pair_of(same), material(), [NAME, "L2M"], PLAN)


@functools.cache
def table() -> pd.DataFrame:
    return summarise_transplants({KEY: measured()}, BOOTSTRAP)


def with_verdict(into: str, verdict: str, measure: str) -> set[str]:
    own = table()
    own = own[(own["into"] == into) & (own["measure"] == measure) & (own["verdict"] == verdict)]
    own = own[~own["control"] & (own["scale"] == 1)]
    return {" ".join(filter(None, row)) for row in own[["what", "layers", "components"]].to_numpy()}


@pytest.mark.parametrize("measure", ["exact", "n_effect"])
@pytest.mark.parametrize(("into", "verdict"), [("untuned", "suffices"), ("tuned", "necessary")])
def test_exactly_the_layer_kind_and_head_are_found(into: str, verdict: str, measure: str) -> None:
    assert with_verdict(into, verdict, measure) == {
        "all", "all 0-2", "all 1-1", "all 0-1", "all 1-2", "attention", f"heads {NAME}",
    }  # fmt: skip
    absent = set(measured().attrs["absent"].split("; "))
    assert {"mlp", "embedding", "norms", "all 0-0", "all 2-2", "mlp 2-2", "mlp L2M"} <= absent
    controls = {name for name in absent if name.startswith("heads ")}
    assert len(controls) == PLAN.controls and f"heads {NAME}" not in controls


def test_the_ends_are_the_models_themselves() -> None:
    data = measured()
    rows = {
        (what, into): place
        for place, (what, into, layers) in enumerate(
            zip(data["what"].values, data["into"].values, data["layers"].values, strict=True)
        )
        if layers == "" and data["scale"].values[place] == 1
    }
    for into, other in (("untuned", "tuned"), ("tuned", "untuned")):
        whole, own = (
            data.isel(condition=rows["all", into]),
            data.isel(condition=rows["none", other]),
        )
        for name in ("words", "end_margin", "n_effect", "neutral_loglik"):
            np.testing.assert_array_equal(whole[name].values, own[name].values)
    whole = table()[(table()["what"] == "all") & (table()["layers"] == "")]
    assert whole.loc[whole["scale"] == 1, "share"].dropna().tolist() == pytest.approx(
        [1.0] * whole.loc[whole["scale"] == 1, "share"].notna().sum()
    )


def test_layers_below_what_is_exchanged_are_not_computed_again_and_change_nothing() -> None:
    pair, given = pair_of(), material()
    study = AblationStudy(pair.tuned, given.prompts, given.settings, given.counting)
    sets = ConditionSets([Condition()], pair.tuned.anatomy, torch.device("cpu"), None)
    answers = answer_prompts(study, sets, None, tqdm(disable=True))["answers"]
    texts = FixedTexts(study, answers, given.language, N_WORDS, memory_gb=1.0)
    parts, n_layers = pair.parts, pair.tuned.anatomy.n_layers
    texts.margins(pair.untuned, n_layers)  # keeps what the layers give
    for pieces, begins in (
        (parts.of_layers([LAYER]), LAYER),
        (parts.of_heads([CARRIER]), LAYER),
        (parts.of_kind("embedding"), 0),
        (parts.whole(), 0),
        ((), n_layers),
    ):
        assert parts.first_layer(pieces) == begins
        with transplanted(pair.untuned.model, pair.tuned.model, pieces):
            anew, reused = (texts.margins(pair.untuned, layer) for layer in (0, begins))
            too_late = texts.margins(pair.untuned, n_layers)
        np.testing.assert_array_equal(anew, reused)
        told_apart = not np.array_equal(anew, too_late, equal_nan=True)
        assert told_apart == (pieces not in ((), parts.of_kind("embedding")))


def test_the_whole_model_answers_as_the_other_token_for_token() -> None:
    pair, given = pair_of(), material()
    study = {
        name: AblationStudy(getattr(pair, name), given.prompts, given.settings, given.counting)
        for name in ("untuned", "tuned")
    }
    sets = ConditionSets([Condition()], pair.tuned.anatomy, torch.device("cpu"), None)

    def answers(name: str) -> list[list[int]]:
        return answer_prompts(study[name], sets, None, tqdm(disable=True))["answers"]

    untuned, tuned = answers("untuned"), answers("tuned")
    assert untuned != tuned
    with transplanted(pair.untuned.model, pair.tuned.model, pair.parts.whole()):
        assert answers("untuned") == tuned
    with transplanted(pair.tuned.model, pair.untuned.model, pair.parts.whole()):
        assert answers("tuned") == untuned
    assert (answers("untuned"), answers("tuned")) == (untuned, tuned)


def test_a_pair_without_a_difference_yields_nothing() -> None:
    data = measured(same=True)
    assert set(data["what"].values) == {"none"}
    assert "all 1-1" in data.attrs["absent"] and "attention" in data.attrs["absent"]
    found = summarise_transplants({KEY: data}, BOOTSTRAP)
    assert found["share"].isna().all() and set(found["verdict"]) == {""}
    assert float(data["change_head"].max()) == 0
    assert 0 <= float(abs(data["across_n_head"]).max()) < 1e-4  # rounding alone


def test_the_change_and_the_output_of_the_head_are_found(tmp_path) -> None:
    data = measured()
    heads = data["change_head"].values
    assert np.argwhere(heads > 0).tolist() == [[LAYER, HEAD]]
    across = data["across_n_head"].mean("sample").values
    gain = table().query("what == 'none' and measure == 'n_effect'")["value"]
    assert across[LAYER, HEAD] == pytest.approx(gain.iloc[1] - gain.iloc[0], rel=0.05)
    across[LAYER, HEAD] = 0
    assert abs(across).max() < 0.05
    # The comparison is the same in both models, and says what the head lets it say.
    mlps = data["across_n_mlp"].mean("sample").values
    assert abs(mlps[:2]).max() < 0.05 and mlps[2] == pytest.approx(gain.iloc[1], rel=0.05)
    loaded, lang = pair_of().tuned, language(topics=20)
    changes = summarise_changes({KEY: data}, {KEY: patched(loaded, lang)}, BOOTSTRAP)
    assert changes.loc[changes["across_share"] > 0.5, "component"].tolist() == [NAME, "L2M"]
    assert changes["component"].tolist()[-3:] == ["L0M", "L1M", "L2M"]
    assert changes.loc[changes["component"] == NAME, "share"].item() == pytest.approx(1, abs=0.1)
    assert (changes["n_components"] == [12] * 12 + [3] * 3).all()
    write_table(changes, tmp_path / "changes.csv", {"schema": formats.TABLE})
    assert len(say_changes(changes)) >= 1


def patched(loaded: Counting, lang) -> xr.Dataset:
    answers = answers_of(lang)
    reading = Reading(N_WORDS, "whitespace", "2026-01-01")
    plan = Plan(
        per_n=20, further_per_n=0, atp_per_n=1, swaps=(1,), positions=("all",),
        directions=("noising",), integrated_steps=1, exhaustive=256, best=20, random=90, seed=0,
        memory_gb=1.0,
    )  # fmt: skip
    return measure_patching(
        loaded, answers, swap_material(loaded, lang, answers, reading, (1,)), plan
    )


def test_report_and_figure_name_the_layer() -> None:
    said = say_transplants(table())
    assert any("layer 1 100.0 %" in one and f"heads {NAME}" in one for one in said)
    cast = Cast({"before": "untuned", "after": "tuned"}, {"en": "English"})
    finding = late_layers_suffice({"transplants": table()}, cast)
    assert finding is None or "layer 2" in finding.evidence[0]
    figure = draw_transplants(table(), cast)
    assert len(figure.axes) == 2
    nothing = draw_transplants(table().assign(share=float("nan")), cast)
    assert any("no gain to explain" in text.get_text() for text in nothing.axes[0].texts)
    unmeasured = draw_transplants(table().head(0), cast)
    assert [text.get_text() for text in unmeasured.axes[0].texts] == ["not measured"]


def test_the_last_quarter_is_always_among_the_layers() -> None:
    assert set(layer_ranges(6, 1)) >= {(4, 5), (0, 3), (0, 5), (5, 5), (1, 5), (0, 4)}
    assert layer_ranges(1, 1) == [(0, 0)]  # which is neither late nor early
    found = layer_ranges(32, 8)
    assert {(24, 31), (0, 23), (8, 31), (0, 31)} <= set(found) and len(found) == 32 + 6 + 1
    assert len(set(found)) == len(found)
