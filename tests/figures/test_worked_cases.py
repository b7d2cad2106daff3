"""The success and the failure, token by token: which answers are chosen, and what is drawn."""

import numpy as np
import pandas as pd
import pytest
from synthetic_study import make_answers

from lengthlens.figures.style import Cast
from lengthlens.figures.worked_cases import choose_cases, counts, draw_worked_cases

CAST = Cast({"b": "untuned", "i": "tuned"}, {"it": "Italian", "en": "English"})
NUMBERS = (3, 5, 7)


@pytest.fixture
def answers():
    """Models b (never exact) and i, whose first evaluate answer for N = 5 is one word short."""
    table = make_answers(dict(CAST.tunings), n_words=NUMBERS, per_n=6)
    table["error"] = np.where(table["model"] == "i", 0, 4)
    table.loc[(table["model"] == "i") & (table["sample_id"] == "it-n5-0001#0"), "error"] = -1
    return table.assign(words=table["n"] + table["error"], stopped=True, truncated=False)


def row_of(answer: pd.Series, rng: np.random.Generator, thinking: int = 0) -> dict:
    """A row of a tokens file: a token a word and one that ends it."""
    steps = int(answer["words"]) + 1
    signs = [1 if word <= answer["n"] else -1 for word in range(1, steps)]
    signs.append(1 if answer["error"] == 0 else -1)
    thought = [0] * thinking
    row = {
        "sample_id": answer["sample_id"],
        "token": list(range(thinking + steps)),
        "text": ["hm"] * thinking + [" $x_"] * (steps - 1) + [""],
        "sign": thought + signs,
        "decision": thinking + int(answer["n"]),
    }
    kinds = ("dla_head", "dla_mlp", "dla_embed", "dla_bias")
    return row | {kind: rng.normal(1, 1, thinking + steps).tolist() for kind in kinds}


def tokens_of(answers: pd.DataFrame, thinking: int = 0) -> dict[tuple[str, str], pd.DataFrame]:
    rng = np.random.default_rng(0)
    return {
        pair: pd.DataFrame([row_of(answer, rng, thinking) for _, answer in part.iterrows()])
        for pair, part in answers.groupby(["model", "language"])
    }


def names(answers: pd.DataFrame, cast: Cast = CAST) -> list:
    return [None if row is None else (row["model"], row["sample_id"])
            for row in choose_cases(answers, cast)]  # fmt: skip


def test_the_first_evaluate_prompt_of_the_middle_n_that_only_the_tuned_model_keeps(answers):
    assert names(answers) == [("i", "it-n5-0003#0"), ("b", "it-n5-0003#0")]
    both = answers.assign(error=answers["error"].mask(answers["sample_id"] == "it-n5-0003#0", 0))
    assert names(both) == [("i", "it-n5-0005#0"), ("b", "it-n5-0005#0")]
    assert counts(answers, CAST) == "success: it-n5-0003#0 of i; failure: it-n5-0003#0 of b."


def test_without_such_a_prompt_the_first_success_and_failure_or_none(answers):
    tuned = answers[answers["model"] == "i"]
    alone = Cast({"i": "tuned"}, {"it": "Italian"})
    assert names(tuned, alone) == [("i", "it-n5-0003#0"), ("i", "it-n5-0001#0")]
    assert names(tuned.assign(truncated=True), alone) == [None, ("i", "it-n5-0001#0")]
    assert names(tuned[:0], alone) == [None, None]
    figure = draw_worked_cases(tuned.assign(error=0), tokens_of(tuned), alone)
    assert [text.get_text() for text in figure.axes[1].texts] == [
        "Failure: there is no such answer"
    ]
    assert (
        figure.get_label() == "Two examples: i writes 4 of 5 words"
    )  # as the row says, whatever its error
    nothing = draw_worked_cases(tuned[:0], {}, alone)
    assert nothing.get_label() == "There is no answer to show"


@pytest.mark.parametrize("thinking", [0, 4])
def test_lines_are_the_running_sums_of_the_file(answers, thinking):
    tokens = tokens_of(answers, thinking)
    figure = draw_worked_cases(answers, tokens, CAST)
    assert figure.get_label() == ("Two examples: i writes 5 of 5 words and b writes 9 of 5 words")
    for axes, model in zip(figure.axes, ("i", "b"), strict=True):
        table = tokens[model, "it"].set_index("sample_id")
        row = table.loc["it-n5-0003#0"]
        *drawn, decision, end = [line for line in axes.get_lines()][1:]
        for line, kind in zip(drawn, ("head", "mlp", "embed", "bias"), strict=True):
            sums = np.cumsum(np.multiply(row["sign"], row[f"dla_{kind}"]))[thinking:]
            np.testing.assert_allclose(line.get_ydata(), sums)
            assert line.get_label().endswith(f": {sums[-1]:+.1f}".replace("-", "−"))
        assert decision.get_xdata()[0] == 5 and end.get_xdata()[0] == len(sums) - 1
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["▁$x_"] * (len(sums) - 1) + ["(end)"]
    assert len(figure.axes[0].patches) == 0 and len(figure.axes[1].patches) == 5
    assert "asked for 5 words, writes 9" in figure.axes[1].get_title(loc="left")


def test_a_long_answer_that_was_cut_has_room_for_its_labels(answers):
    long = answers.assign(words=200, error=195, stopped=False, truncated=True)
    figure = draw_worked_cases(long, tokens_of(long), CAST)
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert len(labels) <= 65 and labels[-1] == " (cut)"
