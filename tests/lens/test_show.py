"""Answers as coloured text: the right shares at the right tokens, and no text that acts as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from lens_models import lens_of

from lengthlens.errors import LengthlensError
from lengthlens.lens.show import show

HOSTILE = '<script>alert("x")</script>'
TASK = "Write a sentence about the sea in exactly 5 words."


class Spans(HTMLParser):
    """The spans of answers, with their attributes and texts; every tag is counted."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.spans: list[tuple[dict, str]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        if tag == "span":
            self.spans.append((dict(attrs), ""))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data
        if self.open[-1] == "span":
            attrs, text = self.spans[-1]
            self.spans[-1] = (attrs, text + data)

    @property
    def tokens(self) -> list[tuple[dict, str]]:
        """Those of the answers; the legend's have no title."""
        return [(attrs, text) for attrs, text in self.spans if "title" in attrs]


@pytest.fixture(scope="module")
def dataset() -> xr.Dataset:
    return lens_of("pocket").generate([TASK, "Write about the garden in 7 words."], [5, 3])


def opacity(attrs: dict) -> float:
    return float(re.search(r"rgba\([\d, ]+, ([\d.]+)\)", attrs["style"])[1])


@pytest.mark.parametrize("component", ["L5H3", "L2M", "L5", "embedding", "biases"])
def test_every_token_has_its_components_share(dataset: xr.Dataset, component: str) -> None:
    at = dataset.sel(target="token")
    expected = {
        "L5H3": at["dla_head"][:, :, 5, 3],
        "L2M": at["dla_mlp"][:, :, 2],
        "L5": at["dla_head"][:, :, 5].sum("head", skipna=False) + at["dla_mlp"][:, :, 5],
        "embedding": at["dla_embed"],
        "biases": at["dla_bias"],
    }[component].to_numpy()
    shown = show(dataset, component)
    for row, answer in enumerate(shown.answers):
        length = int(dataset["n_steps"][row])
        assert len(answer.tokens) == length
        np.testing.assert_allclose([t.share for t in answer.tokens], expected[row, :length], 1e-6)
        assert "".join(t.text for t in answer.tokens).rstrip("■") == dataset["answer"][row]
        assert [t.sign for t in answer.tokens] == dataset["sign"][row, :length].to_numpy().tolist()


def test_colours_follow_sign_and_size(dataset: xr.Dataset) -> None:
    shown = show(dataset, "L5H3")
    shares = [token.share for answer in shown.answers for token in answer.tokens]
    tokens = Spans(shown._repr_html_()).tokens
    assert len(tokens) == len(shares)
    for (attrs, _), share in zip(tokens, shares, strict=True):
        assert ("31, 119, 200" in attrs["style"]) == (share > 0)
        assert opacity(attrs) == pytest.approx(0.6 * abs(share) / max(map(abs, shares)), abs=1e-3)
        assert f"{share:+.4g} logits" in attrs["title"]


def test_signs_and_decisions_are_seen_without_colour(dataset: xr.Dataset) -> None:
    tokens = Spans(show(dataset, "L5H3", "end")._repr_html_()).tokens
    told = [token for answer in show(dataset).answers for token in answer.tokens]
    assert sum("underline" in attrs["style"] for attrs, _ in tokens) == sum(
        token.sign == -1 for token in told
    )
    assert any(token.sign == -1 for token in told)
    assert sum(attrs.get("class") == "decision" for attrs, _ in tokens) == 2
    within = [attrs for attrs, _ in tokens if "not defined here" in attrs["title"]]
    assert within and all("background" not in attrs["style"] for attrs in within)


def test_texts_are_escaped(dataset: xr.Dataset) -> None:
    """Markup in prompts and tokens is read, not run; tags are only the page's own."""
    spoilt = dataset.copy(deep=True)
    tokens = spoilt["token"].to_numpy().astype(object)
    tokens[0, :3] = [HOSTILE, '"><img src=x onerror=alert(1)>', "&lt;\n"]
    spoilt = spoilt.assign_coords(
        token=(("sample", "step"), tokens), prompt=("sample", [HOSTILE, TASK])
    )
    page = Spans(show(spoilt, "L5H3")._repr_html_())
    assert set(page.tags) == {"div", "style", "p", "b", "small", "span"}
    assert page.text.count(HOSTILE) == 2
    assert [text for _, text in page.tokens[:3]] == [HOSTILE, tokens[0, 1], "&lt;↵\n"]


def test_the_page_needs_nothing_else_and_keeps_the_readers_colours(dataset: xr.Dataset) -> None:
    page = show(dataset)._repr_html_()
    assert not re.search(r"https?:|src=|href=|<script|@import|url\(", page)
    assert "color:inherit" in page and not re.search(r"[^-]color:(?!inherit)", page)


@pytest.mark.parametrize("backdrop", [0, 255])
@pytest.mark.parametrize("colour", ["31, 119, 200", "230, 100, 0"])
def test_text_is_legible_on_light_and_dark_pages(backdrop: int, colour: str) -> None:
    """Contrast of at least 4.5 (WCAG AA), black on white and white on black, at full strength."""
    mixed = [0.6 * int(part) + 0.4 * backdrop for part in colour.split(", ")]

    def luminance(channels: list[float]) -> float:
        linear = [
            c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4
            for c in channels
        ]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    pair = sorted([luminance(mixed), luminance([255.0 - backdrop] * 3)])
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


def test_plain_text_tells_the_same(dataset: xr.Dataset) -> None:
    shown = show(dataset.isel(sample=0), "L5H3", "end")
    lines = str(shown).splitlines()
    assert lines[0].startswith("L5H3: share of the margin between ending and a new word")
    assert lines[2] == TASK
    [decision] = [line for line in lines if "decision" in line]
    step = int(np.argmax(dataset["decision"][0].to_numpy() == 1))
    share = float(dataset["dla_head"].sel(target="end")[0, step, 5, 3])
    assert decision.split() == ["5", "+", f"{share:+.3f}", ".", "←", "decision"]
    assert repr(shown) == str(shown)
    assert len(lines) == 4 + int(dataset["n_steps"][0])


def test_by_default_the_largest_component_is_shown(dataset: xr.Dataset) -> None:
    sizes = {f"L{i}M": float(abs(dataset["dla_mlp"][:, :, i, 0]).mean()) for i in range(6)}
    heads = abs(dataset["dla_head"][..., 0]).mean(("sample", "step"))
    sizes |= {f"L{i}H{h}": float(heads[i, h]) for i in range(6) for h in range(8)}
    assert show(dataset).component == max(sizes, key=sizes.get)


def test_what_is_not_there_is_refused(dataset: xr.Dataset) -> None:
    with pytest.raises(LengthlensError, match="there is no L6H0: the model has layers 0 to 5"):
        show(dataset, "L6H0")
    with pytest.raises(LengthlensError, match="target is 'margin'; write one of"):
        show(dataset, target="margin")
    with pytest.raises(LengthlensError, match="holds no dla_head: give one that Lens.generate"):
        show(dataset.drop_vars("dla_head"))
    with pytest.raises(LengthlensError, match="names no component"):
        show(dataset, "bias")
