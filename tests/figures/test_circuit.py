"""The drawn circuit shows what the tables hold, and says where there is nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import FancyArrowPatch

from lengthlens.analysis.paths import PATHS, PLACES
from lengthlens.figures.circuit import counts, draw_circuit, sentence
from lengthlens.figures.style import Cast
from lengthlens.figures.tracing import ROLES

CAST = Cast({"base": "base", "tuned": "instruct"}, {"en": "English", "it": "Italian"})
SHARES = {
    ("L0H2", "mark"): 0.8, ("L0H2", "last"): 0.1, ("L0H2", "all"): 0.82,
    ("L1M", "last"): 0.7, ("L1M", "mark"): 0.0, ("L1M", "all"): 0.71,
}  # fmt: skip
EDGES = {
    ("embedding", "L0H2.v"): 0.8, ("embedding", "L0H2.k"): 0.3, ("L0H2", "L1.mlp"): 0.4,
    ("L1M", "logits"): 0.7, ("L0H2", "logits"): 0.01,
}  # fmt: skip


def limits(share: float) -> dict:
    return {
        "share": share, "share_low": share - 0.02, "share_high": share + 0.02, "n_samples": 9,
        "n_topics": 7, "swap": 1, "model": "tuned",
    }  # fmt: skip


def places(language: str = "en", factor: float = 1.0) -> pd.DataFrame:
    rows = [
        limits(factor * share)
        | {"language": language, "component": name, "layer": int(name[1]), "place": place}
        for (name, place), share in SHARES.items()
    ]
    return pd.DataFrame(rows, columns=list(PLACES))


def paths() -> pd.DataFrame:
    names = {"L0H2.v": "L0H2", "L0H2.k": "L0H2", "L1.mlp": "L1M", "logits": "logits"}
    rows = [
        limits(share) | {"language": "en", "sender": one, "receiver": two, "component": names[two]}
        for (one, two), share in EDGES.items()
    ]
    return pd.DataFrame(rows, columns=list(PATHS))


def test_nodes_edges_and_title() -> None:
    """Nodes at the role of the largest share; the strongest input of a head; none below 3 %."""
    both = pd.concat([places(), places("it", np.nan)], ignore_index=True)
    figure = draw_circuit(paths(), both, CAST)
    english, italian = figure.axes
    arrows = [patch for patch in english.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == 3
    widths = [arrow.get_linewidth() for arrow in arrows]
    assert widths == pytest.approx([0.4 + 3 * share for share in (0.8, 0.7, 0.4)])
    labels = {text.get_text(): text for text in english.texts}
    ticks = dict(zip(ROLES, english.get_xticks().tolist(), strict=True))
    assert tuple(labels["L0H2 82 %\n[80, 84]"].xy) == (ticks["mark"], 0.0)
    assert tuple(labels["L1M 71 %\n[69, 73]"].xy) == (ticks["last"], 1.5)  # above the heads
    assert {"80", "70", "40"} <= set(labels)
    assert [text.get_text() for text in italian.texts] == ["N has no effect to explain"]
    title = english.get_title(loc="left").replace("\n", " ")
    assert title == f"tuned, English: {sentence(paths(), places())}"


def test_what_is_measured_but_not_drawn_is_named() -> None:
    weak = places().assign(share_low=lambda rows: rows["share_low"].where(rows["layer"] > 0, -0.1))
    texts = [text.get_text() for text in draw_circuit(paths(), weak, CAST).axes[0].texts]
    assert "measured, not shown to\ncarry more than 3 % in\nthese 9 answers: L0H2" in texts
    assert not any("measured" in text.get_text() for text in draw_circuit(paths(), places(), CAST).axes[0].texts)  # fmt: skip # noqa: E501


@pytest.mark.parametrize(
    ("direct", "told"),
    [(0.02, "reached through components that are not drawn"), (0.9, "no direct path above 3 %")],
)
def test_without_an_arrow_to_the_decision_it_is_said_how_the_number_gets_there(direct, told):
    """A direct path that may carry all leaves the way open; one that carries little does not."""
    ends = paths()["component"] == "logits"
    table = paths().assign(
        share_low=lambda rows: rows["share_low"].mask(ends, 0.01),
        share_high=lambda rows: rows["share_high"].mask(ends, direct),
    )
    texts = [text.get_text() for text in draw_circuit(table, places(), CAST).axes[0].texts]
    assert sum(told in text for text in texts) == 1


def test_the_sentence_follows_the_numbers() -> None:
    said = sentence(paths(), places())
    assert said == (
        "the effect of N passes through the final mark (L0H2\u00a082\u00a0%), then the last token "
        "(L1M\u00a071\u00a0%)"
    )
    none = "no single component is shown to carry more than 10 %"
    assert none in sentence(paths(), places(factor=0.1))
    reason = paths().iloc[:1].assign(absent="no circuit is faithful")
    assert sentence(reason, places().iloc[:0]) == "no circuit is faithful"
    later = pd.concat([paths().assign(absent=""), reason])
    assert sentence(later, places().iloc[:0]) == "no circuit is faithful"
    assert sentence(paths().assign(absent=""), places().iloc[:0]) == "no paths were measured"
    only_whole = places()[places()["place"] == "all"]
    assert "an unknown place (L0H2\u00a082\u00a0%" in sentence(paths(), only_whole)


def test_without_roles_or_rows_there_is_a_figure() -> None:
    whole = places()[places()["place"] == "all"]
    ticks = [
        label.get_text() for label in draw_circuit(paths(), whole, CAST).axes[0].get_xticklabels()
    ]
    assert ticks[-1] == "unknown"
    unknown = draw_circuit(paths().iloc[:0], places(factor=0.01), CAST).axes[0].texts
    assert any("no direct path above 3 %" in text.get_text() for text in unknown)
    empty = draw_circuit(paths().iloc[:0], places().iloc[:0], CAST)
    assert all(axes.texts for axes in empty.axes)
    assert counts(places().iloc[:0]) == "no paths were measured"
    assert counts(places()) == "n = 9 answers of at least 7 topics"
