"""The report in a real browser: switches, hover, token view, keyboard, no errors, no requests."""

from __future__ import annotations

import shutil

import pytest
from synthetic_report import evil_material

from lengthlens.reporting.page import render_report

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(evil_material()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield opened
        opened.close()


@pytest.fixture
def visit(browser, file):
    """Open the report; at the end of the test nothing may have been complained of or loaded."""
    told, pages = [], []

    def opened(size: str = "desktop", theme: str = "light", unfolded: bool = True):
        page = browser.new_page(viewport=SIZES[size], color_scheme=theme, reduced_motion="reduce")
        pages.append(page)
        page.set_default_timeout(60_000)
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: (told.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: told.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("#explorer[data-ready]", state="attached")
        if unfolded:
            page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
        return page

    yield opened
    for page in pages:
        page.close()
    assert [text for text in told if text != file.as_uri() and not text.startswith("data:")] == []


def cells(page) -> list[str]:
    """What the map's cells say to a screen reader."""
    return page.eval_on_selector_all(
        "#explorer-map [aria-roledescription='rect mark']",
        "marks => marks.map(mark => mark.getAttribute('aria-label'))",
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_accessible_and_fits(visit, size, theme):
    page = visit(size, theme)
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_switches_change_the_map(visit):
    page = visit()
    seen = [cells(page)]
    assert len(seen[0]) == 3 * (2 + 1)  # layers x heads and MLP
    choices = {
        "language": "it",
        "model": "b",
        "n": "3",
        "target": "end",
        "form": "sum over an answer",
    }
    for name, value in choices.items():
        page.locator(f"#explorer-switches select[name=pick_{name}]").select_option(value)
        page.wait_for_timeout(300)
        seen.append(cells(page))
        assert len(seen[-1]) == 9
    assert len({tuple(each) for each in seen}) == len(seen)


def test_hovering_tells_a_cells_value(visit):
    page = visit()
    page.locator("#explorer-map [aria-roledescription='rect mark']").first.hover()
    tip = page.locator("#vg-tooltip-element")
    tip.wait_for(state="visible")
    words = cells(page)[0]
    assert words.split(": ")[1] in tip.inner_text()
    assert "shifted signs" in tip.inner_text()


def test_tokens_tell_what_pushed_by_mouse_and_by_keyboard(visit):
    page = visit("phone", "dark")
    token = page.locator(".tokens button.decision").first
    token.click()
    step = page.locator(".step:popover-open")
    assert step.count() == 1
    text = step.inner_text()
    assert "the decision" in text and "L2M" in text and "Pushed to go on" in text
    page.keyboard.press("Escape")
    assert page.locator(".step:popover-open").count() == 0
    token.focus()
    page.keyboard.press("Enter")
    page.locator(".step:popover-open").get_by_role("button", name="Close").click()
    assert page.locator(".step:popover-open").count() == 0


def test_arrow_keys_go_along_an_answer(visit):
    page = visit()
    tokens = page.locator(".tokens").filter(has=page.locator("button.decision")).first
    buttons = tokens.locator("button")
    buttons.first.click()
    told = [page.locator("#step-token").inner_text()]
    page.keyboard.press("ArrowRight")
    told.append(page.locator("#step-token").inner_text())
    assert told == [buttons.nth(place).inner_text() for place in (0, 1)]
    assert buttons.nth(1).evaluate("each => each === document.activeElement")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # there is nothing before the first
    assert page.locator("#step-token").inner_text() == told[0]
    page.keyboard.press("Escape")
    page.locator(".tokens .told").wait_for(state="detached")


def test_pressing_another_token_tells_of_that_one(visit):
    page = visit()
    buttons = page.locator(".tokens:has(button.decision)").first.locator("button")
    seen = []
    for place in (0, 1):
        buttons.nth(place).evaluate("each => each.click()")
        assert page.locator(".step:popover-open").count() == 1
        seen.append(page.locator("#step-place").inner_text())
    assert "step 1," in seen[0] and "step 2," in seen[1]


def test_the_picture_follows_the_number_of_heads_removed(visit):
    page = visit("phone")
    shown = page.locator("#lead .dose:visible")
    assert shown.count() == 1 and "top 1 by" in shown.inner_text()
    page.get_by_label("2", exact=True).check()
    assert shown.count() == 1 and "top 2 by" in shown.inner_text()


def test_links_and_lines_unfold_what_they_are_about(visit):
    page = visit(unfolded=False)
    assert page.locator("#claims tbody tr:visible").count() == 0
    page.locator("#claims summary").first.click()
    assert page.locator("#claims tbody tr:visible").count() > 0
    assert not page.locator("#explorer-map").is_visible()
    page.evaluate("location.hash = '#attribution'")
    page.wait_for_timeout(500)
    assert page.locator("#explorer-map").is_visible()
    widths = (
        "[document.querySelector('#explorer-map svg'), document.querySelector('#explorer-map')]"
    )
    drawn, room = page.evaluate(f"{widths}.map(each => each.getBoundingClientRect().width)")
    assert 0.8 * room < drawn <= room + 1  # the map learnt its width when it was unfolded


@pytest.mark.parametrize("size", SIZES)
def test_folded_the_page_is_short_and_fits(visit, size):
    page = visit(size, unfolded=False)
    found = axe.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:200]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_paper_findings_are_open_and_figures_fit(visit):
    page = visit(unfolded=False)
    fold = "<details><summary>Others</summary>Italian: the same</details>"
    page.locator(".answered").first.evaluate(
        f"each => each.insertAdjacentHTML('beforeend', '{fold}')"
    )
    page.set_viewport_size({"width": 700, "height": 900})  # about a sheet of A4 within its margins
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_by_text("Italian: the same").is_visible()
    assert page.locator(".answered details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".answered details[open]").count() == 0
