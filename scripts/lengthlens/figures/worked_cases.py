"""One success and one failure: the terms of CWA, summed token by token, as in the paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.style import Cast

KINDS = {
    "dla_head": ("all heads", "#009e73", "o"),
    "dla_mlp": ("all MLPs", "#e69f00", "s"),
    "dla_embed": ("embedding", style.MUTED, "^"),
    "dla_bias": ("biases", style.MUTED, "v"),
}
_ROW = 2.0  # inches
_LABELS = 64  # tokens that are written below a panel at most; of more, every second or third
_LONGEST = 14  # letters of a token


def choose_cases(answers: pd.DataFrame, cast: Cast) -> tuple[pd.Series | None, pd.Series | None]:
    """A success and a failure in the first language, by the rule that the caption gives.

    Args:
        answers: rows of all generations files, with the column `model`.
        cast: models and languages, in order.

    Returns:
        A row of `answers` each; None where there is no such answer.
    """
    language = next(iter(cast.languages))
    own = rows_of(answers, language=language, split="evaluate")
    if own.empty:
        return None, None
    numbers = np.sort(own["n"].unique())
    middle = numbers[(len(numbers) - 1) // 2]
    own = own.iloc[np.argsort((own["n"] - middle).abs(), kind="stable")]
    exact = (own["error"] == 0) & ~own["truncated"]
    tuned = own["model"].map(cast.tunings) == "tuned"
    good, bad = own[exact & tuned], own[~exact & ~tuned]
    shared = good[good["sample_id"].isin(bad["sample_id"])]
    if len(shared):
        success = shared.iloc[0]
        return success, rows_of(bad, sample_id=success["sample_id"]).iloc[0]
    return tuple(part.iloc[0] if len(part) else None for part in (own[exact], own[~exact]))


@style.styled()
def draw_worked_cases(
    answers: pd.DataFrame, tokens: Mapping[tuple[str, str], pd.DataFrame], cast: Cast
) -> Figure:
    """Draw a panel for the success and one for the failure.

    Args:
        answers: rows of all generations files, with the column `model`.
        tokens: tokens file of each (model, language).
        cast: models and languages, in order.
    """
    figure = Figure(figsize=(style.PAGE, 2 * _ROW + 0.3))
    panels = figure.subplots(2)
    chosen = choose_cases(answers, cast)
    figure.set_label(title(*chosen))
    for axes, outcome, answer in zip(panels, ("Success", "Failure"), chosen, strict=True):
        if answer is None:
            style.no_data(axes, f"{outcome}: there is no such answer")
            continue
        table = tokens[answer["model"], answer["language"]]
        row = rows_of(table, sample_id=answer["sample_id"]).iloc[0]
        _draw_case(axes, row, bool(answer["stopped"]))
        words = f"asked for {answer['n']} words, writes {answer['words']}"
        axes.set_title(f"{outcome}: {answer['model']}, {words}")
    return figure


def title(success: pd.Series | None, failure: pd.Series | None) -> str:
    """What the two answers did; two examples, from which nothing follows."""
    told = [
        f"{row['model']} writes {row['words']} of {row['n']} words"
        for row in (success, failure)
        if row is not None
    ]
    return "Two examples: " + " and ".join(told) if told else "There is no answer to show"


def _draw_case(axes: Axes, row: pd.Series, stopped: bool) -> None:
    """The running sums of sign times DLA of one answer, without thinking."""
    signs = np.array(row["sign"])
    first = int(np.argmax(signs != 0))  # steps of thinking have no sign
    sign = signs[first:]
    steps = np.arange(len(sign))
    style.zero_line(axes)
    for step in steps[sign < 0]:
        axes.axvspan(step - 0.5, step + 0.5, color=style.HAIR, alpha=0.55, linewidth=0, zorder=0)
    for name, (label, colour, marker) in KINDS.items():
        sums = np.cumsum(sign * np.array(row[name][first:]))
        if name == "dla_bias" and not sums.any():
            continue
        total = f"{sums[-1]:+.1f}".replace("-", "−")
        axes.plot(
            steps, sums, color=colour, marker=marker, markersize=2.6, label=f"{label}: {total}"
        )
    if pd.notna(row["decision"]):
        axes.axvline(row["decision"] - first, color=style.MUTED, linestyle=":", linewidth=1)
    axes.axvline(len(steps) - 1, color=style.MUTED, linewidth=1)
    every = max(1, -(-len(steps) // _LABELS))
    texts = [_shown(text) for text in row["text"][first:]]
    texts[-1:] = ["(end)" if stopped else f"{text} (cut)" for text in texts[-1:]]
    kept = sorted({*steps[::every].tolist(), *steps[-1:].tolist()})
    axes.set_xticks(kept, [texts[i] for i in kept], rotation=90, fontsize=6, parse_math=False)
    axes.set_xlim(-0.6, max(len(steps) - 0.4, 1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylabel("running sum,\nlogits")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), title="CWA at the end")


def _shown(text: str) -> str:
    """A token as shown below an axis: blanks are visible, long tokens are cut."""
    text = text.replace(" ", "▁").replace("\n", "⏎")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def counts(answers: pd.DataFrame, cast: Cast) -> str:
    """Which answers are shown, for the caption."""
    names = ("success", "failure")
    found = dict(zip(names, choose_cases(answers, cast), strict=True))
    told = [f"{name}: {row['sample_id']} of {row['model']}" for name, row in found.items()
            if row is not None]  # fmt: skip
    return "; ".join(told) + "." if told else "No answer to a prompt of the evaluate half."
