"""Figures drawn from hand-made data: what they hold, equal bytes, and data with holes."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from synthetic_attribution import make_attribution
from synthetic_study import make_ablation, make_answers, make_ranking

from lengthlens.analysis import control
from lengthlens.analysis.effects import dose_response, summarise_ablation
from lengthlens.attribution.cwa import aggregate_attribution
from lengthlens.errors import LengthlensError
from lengthlens.figures import style
from lengthlens.figures.ablation import counts as ablation_counts
from lengthlens.figures.ablation import draw_ablation, sets_under_test
from lengthlens.figures.ablation_all import draw_ablation_all
from lengthlens.figures.cwa_by_layer import draw_cwa_by_layer
from lengthlens.figures.cwa_by_n import draw_cwa_by_n
from lengthlens.figures.cwa_heatmaps import draw_cwa_heatmaps
from lengthlens.figures.draw import cast_of, save_formats
from lengthlens.figures.error_by_n import counts as answer_counts
from lengthlens.figures.error_by_n import draw_error_by_n
from lengthlens.figures.style import Cast, save_figure
from lengthlens.files.formats import FIGURE
from lengthlens.statistics import Bootstrap

LANGUAGES = Path(__file__).parents[2] / "resources" / "languages"
TUNINGS = {"b": "untuned", "i": "tuned"}
CAST = Cast(TUNINGS, {"en": "English", "it": "Italian"})
ONE = Cast({"i": "tuned"}, {"en": "English"})
FAST = Bootstrap(resamples=100)
NO_CONTROL = pd.DataFrame(columns=list(control.COLUMNS))
OPEN = pd.DataFrame(
    [{"model": model, "language": "en", "open": model == "i"} for model in TUNINGS],
    columns=list(control.COLUMNS),
)
TESTS = pd.DataFrame(
    [
        {"test": test, "status": status, "method": method, "k": k}
        for test, status, method, k in (
            ("permutation", "confirmatory", "nswap", np.nan),
            ("set", "exploratory", "cwa", 2),
            ("set", "confirmatory", "end_contrast", 2),
        )
    ]
)


def drawn_ablation(data, cast=ONE, tests=TESTS):
    return draw_ablation(data, summarise_ablation(data, FAST), tests, OPEN, cast, FAST)


def drawn_supplement(data, cast=ONE):
    return draw_ablation_all(data, summarise_ablation(data, FAST), cast, FAST)


def attributions(cast=CAST, **shape):
    return {
        (model, language): make_attribution(index, **shape).dataset.assign_coords(
            split=("sample", np.resize(["select", "evaluate"], 3 * shape.get("per_n", 10)))
        )
        for index, (model, language) in enumerate(
            (model, language) for model in cast.tunings for language in cast.languages
        )
    }


@pytest.fixture(scope="module")
def sums():
    return attributions()


@pytest.fixture(scope="module")
def means(sums):
    return aggregate_attribution(sums, Bootstrap(resamples=100))


def panels(figure):
    return [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]


def points(axes, color):
    """(x, y) of the line with markers in this colour."""
    lines = [
        line
        for line in axes.get_lines()
        if to_hex(line.get_color()) == color and line.get_marker() in "osDPv^"
    ]
    assert len(lines) == 1
    return lines[0].get_xydata()


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_error_by_n_shows_the_means_of_every_n():
    answers = make_answers(TUNINGS)
    figure = draw_error_by_n(answers, NO_CONTROL, CAST, FAST)
    top = figure.axes[0]
    for model, tuning in TUNINGS.items():
        own = answers[(answers["model"] == model) & (answers["language"] == "en")]
        drawn = points(top, style.TUNING_COLOURS[tuning])
        np.testing.assert_allclose(drawn[:, 1], own.groupby("n")["error"].mean())
        np.testing.assert_allclose(drawn[:, 0], [3, 5], atol=0.2)
    assert top.get_title(loc="left") == "English"
    assert top.get_ylabel() == "error, words − N"


def test_error_by_n_marks_what_was_cut():
    figure = draw_error_by_n(make_answers(TUNINGS), NO_CONTROL, CAST, FAST)
    assert texts(figure.axes[0]).count("↑33") == 2
    whole = make_answers({"i": "tuned"}, ("en",))
    assert not [t for t in texts(draw_error_by_n(whole, NO_CONTROL, ONE, FAST).axes[0]) if "↑" in t]


def test_a_cut_answer_is_never_exact():
    answers = make_answers({"b": "untuned"}, ("en",)).assign(error=0, truncated=True)
    figure = draw_error_by_n(answers, NO_CONTROL, Cast({"b": "untuned"}, {"en": "English"}), FAST)
    assert (points(figure.axes[-1], style.TUNING_COLOURS["untuned"])[:, 1] == 0).all()


def test_error_by_n_with_a_language_without_answers():
    answers = make_answers({"i": "tuned"}, ("en",))
    figure = draw_error_by_n(answers, NO_CONTROL, CAST, FAST)
    assert "no answers" in texts(figure.axes[1])


def test_answers_are_counted():
    text = answer_counts(make_answers(TUNINGS))
    assert text == "n = 96 answers, 12 for each model, language and N, about 12 topics."


def test_cwa_by_layer_shows_the_means(means):
    figure = draw_cwa_by_layer(means, CAST)
    chosen = means.sel(target="token", model="b", language="it")
    names = ["head_layer_step", "mlp_step", "head_layer", "mlp"]
    for axes, name in zip(figure.axes[1::2], names, strict=True):
        drawn = points(axes, style.TUNING_COLOURS["untuned"])
        np.testing.assert_allclose(drawn[:, 1], chosen[f"cwa_{name}_all"], rtol=1e-12)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["English", "Italian"]
    assert figure.axes[-1].get_xlabel() == "layer"


def test_intervals_are_drawn_from_low_to_high(means):
    figure = draw_cwa_by_layer(means, ONE)
    chosen = means.sel(target="token", model="i", language="en")
    bars = figure.axes[1].collections[-1].get_segments()
    np.testing.assert_allclose([bar[0, 1] for bar in bars], chosen["cwa_mlp_step_all_low"])
    np.testing.assert_allclose([bar[1, 1] for bar in bars], chosen["cwa_mlp_step_all_high"])


def test_models_of_different_depth_share_an_axis_of_depth():
    both = {
        ("b", "en"): make_attribution(0, layers=3).dataset,
        ("i", "en"): make_attribution(1, layers=6).dataset,
    }
    cast = Cast(TUNINGS, {"en": "English"})
    figure = draw_cwa_by_layer(aggregate_attribution(both, Bootstrap(resamples=100)), cast)
    assert figure.axes[-1].get_xlabel() == "depth, % of layers"
    assert len(points(figure.axes[0], style.TUNING_COLOURS["untuned"])) == 3


def test_a_dominating_layer_is_compressed():
    one = {("i", "en"): make_attribution(0, layers=8, shift={"mlp": [0] * 7 + [500]}).dataset}
    figure = draw_cwa_by_layer(aggregate_attribution(one, Bootstrap(resamples=100)), ONE)
    assert figure.axes[1].get_yscale() == "symlog"
    assert figure.axes[0].get_yscale() == "linear"


def test_heatmaps_hold_scores_and_are_centred_on_zero(means):
    rankings = {(m, code): make_ranking() for m in TUNINGS for code in CAST.languages}
    figure = draw_cwa_heatmaps(means, rankings, CAST, k=[1, 2])
    first, third = panels(figure)[0].collections[0], panels(figure)[2].collections[0]
    expected = means["cwa_head_step_all"].sel(target="token", model="b", language="en")
    np.testing.assert_allclose(np.asarray(first.get_array()).reshape(3, 2), expected)
    assert np.asarray(third.get_array()).ravel().tolist() == [1, 0, -1, -2, -3, -4]
    for mesh in (first, third):
        assert mesh.norm.vmin == -mesh.norm.vmax


def test_heatmaps_mark_the_top_heads_of_each_method(means):
    rankings = {("b", "en"): make_ranking()}
    axes = panels(draw_cwa_heatmaps(means, rankings, CAST, k=[3]))[0]
    for marks in axes.collections[1:]:
        assert marks.get_offsets().tolist() == [[0, 0], [1, 0], [0, 1]]
    assert len(axes.collections) == 3


def test_heatmaps_without_decision_steps_say_so(means):
    rankings = {("i", "en"): make_ranking(missing=True)}
    figure = draw_cwa_heatmaps(means, rankings, ONE)
    assert "no decision step" in texts(panels(figure)[1])


def test_cwa_by_n_shows_the_mean_of_every_n(sums):
    figure = draw_cwa_by_n(sums, CAST, FAST)
    data = sums["i", "en"]
    cwa = data["cwa_mlp"].sel(target="token").isel(layer=-1).groupby("n")
    steps = data["n_steps"].groupby("n").sum()
    color = style.TUNING_COLOURS["tuned"]
    drawn = {row: points(figure.axes[row], color)[:, 1] for row in (2, 6)}
    np.testing.assert_allclose(drawn[2], cwa.sum() / steps)
    np.testing.assert_allclose(drawn[6], cwa.mean())


def test_ablation_shows_chosen_sets_and_every_draw():
    """A row of panels for each tested score and measure, confirmatory tests' scores first."""
    data = {("i", "en"): make_ablation()}
    figure = drawn_ablation(data)
    assert [axes.get_ylabel() for axes in figure.axes] == [
        f"by {score}:\n{measure}"
        for score in ("end contrast", "CWA")
        for measure in ("exactly N words, %", "end margin, logits")
    ]
    axes = figure.axes[3]
    chosen = [line for line in axes.get_lines() if line.get_marker() == "o"]
    doses = dose_response(data["i", "en"], "end_margin", "cwa", "zero", FAST)
    drawn = [float(line.get_ydata()[0]) for line in chosen]
    np.testing.assert_allclose(drawn, [dose.chosen.estimate for dose in doses])
    dots = [c.get_offsets() for c in axes.collections if len(c.get_offsets()) == 5]
    np.testing.assert_allclose(sorted(dots[0][:, 1]), sorted(doses[0].draws))
    assert set(texts(axes)) == {"highest ranked", "random heads", "nothing removed"}


def test_few_draws_never_fill_a_marker():
    for controls, filled in ((5, False), (60, True)):
        axes = drawn_supplement({("i", "en"): make_ablation(controls=controls)}).axes[1]
        marks = [line for line in axes.get_lines() if line.get_marker() == "o"]
        assert (to_hex(marks[1].get_markerfacecolor()) != style.PAPER) is filled


def test_ablation_without_margins_or_without_a_language():
    data = {("i", "en"): make_ablation(margins=False)}
    figure = drawn_supplement(data, CAST)
    shown = [text for axes in figure.axes for text in texts(axes)]
    assert shown.count("no decision step") == 1
    assert shown.count("not ablated") == 7  # untuned has no row of exact answers
    figure = drawn_ablation(data, CAST)
    few = [text for axes in figure.axes for text in texts(axes)]
    assert few.count("not ablated") == 4  # the model without control is left out, and named
    assert figure.get_supxlabel().endswith("because no control is shown: b")


def test_the_main_ablation_shows_the_tested_scores_alone():
    data = {("i", "en"): make_ablation()}
    assert sets_under_test(data, TESTS) == (["end_contrast", "cwa"], 2)
    assert sets_under_test(data, TESTS[TESTS["method"] == "cwa"]) == (["cwa"], 2)
    assert sets_under_test(data, TESTS[TESTS["method"] == "nswap"]) == (
        ["cwa", "end_contrast"],
        None,
    )
    for_test = make_ablation()
    tested = (for_test["method"] == "cwa").to_numpy()
    for_test["pool"] = ("condition", np.where(tested, "all", for_test["pool"].to_numpy()))
    assert sets_under_test({("i", "en"): for_test}, TESTS) == (["end_contrast"], 2)
    only = make_ablation()
    only = only.isel(condition=(only["method"] != "cwa").to_numpy())
    assert sets_under_test({("i", "en"): only}, TESTS) == (["end_contrast"], 2)
    assert len(drawn_ablation({("i", "en"): only}).axes) == 2


def test_line_names_stand_apart_and_inside():
    axes = Figure().subplots()
    axes.set_ylim(0, 10)
    style.label_lines(axes, [(9.9, "a", "k"), (10, "b", "k"), (np.nan, "c", "k"), (3, "d", "k")])
    places = {text.get_text(): text.xy[1] for text in axes.texts}
    assert places == pytest.approx({"d": 0.3, "a": 0.88, "b": 1.0})


def test_control_draws_are_counted():
    text = ablation_counts({("i", "en"): make_ablation(k=(1, 2), controls=5)})
    assert text.startswith("n = 12 answers about 12 evaluate topics")
    assert "k = 1: 5, k = 2: 5" in text


def test_effects_are_differences_from_the_mean_control():
    """Effect = error without the chosen heads - mean error without control sets, about 4k - 1."""
    table = summarise_ablation({("i", "en"): make_ablation(controls=20)}, Bootstrap(resamples=200))
    errors = table[(table["measure"] == "error") & (table["method"] == "cwa")]
    np.testing.assert_allclose(errors["effect"], errors["chosen"] - errors["control"])
    np.testing.assert_allclose(errors["effect"], [3, 7], atol=0.5)
    assert (
        (errors["effect_low"] < errors["effect"]) & (errors["effect"] < errors["effect_high"])
    ).all()
    assert (errors["n_controls"] == 20).all()


def test_effects_on_nothing_are_missing_numbers():
    table = summarise_ablation(
        {("i", "en"): make_ablation(margins=False)}, Bootstrap(resamples=100)
    )
    margins = table[table["measure"] == "end_margin"]
    assert len(margins) == 4
    assert margins[["none", "chosen", "effect", "effect_low"]].isna().all(axis=None)


def test_effects_on_constants_have_no_interval():
    table = summarise_ablation({("i", "en"): make_ablation(damage=9)}, Bootstrap(resamples=100))
    exact = table[(table["measure"] == "exact") & (table["effect"] == 0)]
    assert len(exact) == 4
    assert exact["effect_low"].isna().all()


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_equal_figures_have_equal_bytes_and_say_what_made_them(tmp_path, means, ending):
    made = {"schema": FIGURE, "commit": "abc123"}
    for name in ("first", "second"):
        figure = draw_cwa_by_layer(means, ONE)
        save_figure(figure, tmp_path / f"{name}.{ending}", made, "CWA by layer", dpi=60)
    first, second = ((tmp_path / f"{n}.{ending}").read_bytes() for n in ("first", "second"))
    assert first == second
    assert b"abc123" in first
    assert not re.search(rb"<dc:date>|Creation Time", first)


def test_svgs_do_not_tell_the_last_digit_of_a_place(tmp_path):
    """The layout engine's sums differ in it from run to run; clips must not."""
    written = []
    for jitter in (0, 1e-15):
        figure = Figure()
        for left in (0.1, 0.1 + jitter, 0.5):
            axes = figure.add_axes([left + jitter, 0.1, 0.35, 0.8])
            axes.plot([0, 1], [-1, 2])
        save_figure(figure, tmp_path / "a.svg", {}, "")
        written.append((tmp_path / "a.svg").read_text(encoding="utf-8"))
    assert written[0] == written[1]
    clips = re.findall(r'<clipPath id="(\w+)">', written[0])
    assert len(set(clips)) == len(clips) == 2
    assert set(re.findall(r"url\(#(\w+)\)", written[0])) >= set(clips)


def test_fonts_are_embedded_in_pdf(tmp_path, means):
    """As TrueType, which editors and journals take; no font is only named."""
    save_figure(draw_cwa_by_layer(means, ONE), tmp_path / "a.pdf", {}, "CWA by layer")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf


def test_only_known_endings(tmp_path, means):
    with pytest.raises(LengthlensError, match="png, svg or pdf, not 'gif'"):
        save_figure(draw_cwa_by_layer(means, ONE), tmp_path / "a.gif", {}, "")


def test_tunings_have_fixed_colours_and_models_differ():
    looks = Cast({"b1": "untuned", "i1": "tuned", "b2": "untuned"}, {}).looks
    assert looks["b1"].color == looks["b2"].color != looks["i1"].color
    assert len({(look.color, look.marker, look.line) for look in looks.values()}) == 3
    with pytest.raises(LengthlensError, match="'chat'"):
        _ = Cast({"m": "chat"}, {}).looks


def test_the_users_matplotlib_settings_do_not_matter(means):
    import matplotlib

    with matplotlib.rc_context({"font.size": 30, "axes.grid": False}):
        figure = draw_cwa_by_layer(means, ONE)
    assert figure.axes[0].yaxis.get_label().get_size() == 7


@pytest.mark.slow
def test_large_models_and_many_languages():
    languages = {code: code.upper() for code in ("aa", "bb", "cc", "dd", "ee")}
    cast = Cast({"i": "tuned"}, languages)
    rankings = {("i", code): make_ranking(32, 32) for code in languages}
    one = make_attribution(0, layers=32, heads=32, n_words=(3,), per_n=9).dataset
    means = aggregate_attribution({("i", code): one for code in languages}, Bootstrap(resamples=80))
    figure = draw_cwa_heatmaps(means, rankings, cast)
    assert len(panels(figure)) == 10
    assert figure.get_figwidth() == style.PAGE
    assert len(figure.axes[0].get_xticks()) <= 8


def test_figures_name_the_weights_behind_them(tmp_path, means):
    cast = cast_of(TUNINGS, [LANGUAGES / "it.yaml", LANGUAGES / "en.yaml"])
    assert list(cast.languages) == ["it", "en"]
    sources = [{"model": {"model": "i", "sha256": "f00d", "source": "somewhere"}}]
    paths = [tmp_path / "a.svg", tmp_path / "a.png"]
    figure = draw_cwa_by_layer(means, cast)
    save_formats(figure, paths, {"seed": 3}, sources, dpi=50)
    for path in paths:
        content = path.read_bytes()
        assert figure.get_label().encode() in content
        assert b"f00d" in content and FIGURE.encode() in content
        assert b"somewhere" not in content
