"""A report in a real browser: it draws everything, asks nobody, fits a phone, and can be read by day and by night."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium
from tests.kits.time_kit import eventually

SECTIONS = {"run": 12, "comparison": 12, "sweep": 13}
every_page = pytest.mark.parametrize("which", ["run", "comparison", "sweep"])
LOOKS = [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")]
every_look = pytest.mark.parametrize(("width", "scheme"), LOOKS)
CONTRAST = """
(function () {
  function channels(text) { return text.match(/[\\d.]+/g).slice(0, 3).map(Number); }
  function light(rgb) {
    const c = rgb.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4));
    return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
  }
  function ground(element) {
    for (; element; element = element.parentElement) {
      const c = getComputedStyle(element).backgroundColor;
      if (c !== "rgba(0, 0, 0, 0)") { return channels(c); }
    }
    return [255, 255, 255];
  }
  const words = "h1, h2, p, a, button, summary, th, td, small, caption, figcaption, code";
  return Array.from(document.querySelectorAll(words)).map(function (e) {
    const a = light(channels(getComputedStyle(e).color)), b = light(ground(e));
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + "." + e.className];
  }).sort((x, y) => x[0] - y[0])[0];
})()
"""
TEXT_OF_FIGURES = """
Array.from(new Set(Array.from(document.querySelectorAll(".plot .xtick text, .plot .legendtext"))
  .map(e => getComputedStyle(e).fill)))
"""


OUTSIDE = """
Array.from(document.querySelectorAll("body *")).filter(e => !e.closest(".scroll") && !e.closest("svg") &&
  !e.classList.contains("skip") && e.getBoundingClientRect().right > innerWidth + 1)
  .map(e => e.tagName + "." + e.className)
"""
EMPTY_FIGURES = """
Array.from(document.querySelectorAll(".plot")).filter(p => p.getBoundingClientRect().height < 100 ||
  !p.querySelector(".scatterlayer path, .barlayer path, .sankey path")).map(p => p.id)
"""
WIDTHS = "[innerWidth, document.documentElement.scrollWidth]"


@dataclass(frozen=True)
class Seen:
    """What a visit to a page found."""

    errors: list[str]
    requests: list[str]
    sections: int
    figures: int
    empty: list[str]
    widths: list[int]
    outside: list[str]
    contrast: tuple[float, str]
    text: list[str]


Visit = Callable[[str, int, str], Seen]


@pytest.fixture(scope="module")
def visit(browser: Chromium, pages: dict[str, Path]) -> Visit:
    """Open a page in a window of a width and a theme, once."""

    @cache
    def look(which: str, width: int, scheme: str) -> Seen:
        browser.open(pages[which], width=width, scheme=scheme)
        return Seen(
            browser.errors(),
            browser.requests(),
            browser.evaluate("document.querySelectorAll('main > section > h2').length"),
            browser.evaluate("document.querySelectorAll('.plot').length"),
            browser.evaluate(EMPTY_FIGURES),
            browser.evaluate(WIDTHS),
            browser.evaluate(OUTSIDE),
            tuple(browser.evaluate(CONTRAST)),
            browser.evaluate(TEXT_OF_FIGURES),
        )

    return look


@every_page
@every_look
def test_it_opens_without_an_error_and_without_a_request(
    visit: Visit, which: str, width: int, scheme: str
) -> None:
    seen = visit(which, width, scheme)
    assert seen.errors == []
    assert seen.requests[0].startswith("file:///")
    assert [url for url in seen.requests[1:] if not url.startswith(("data:", "blob:"))] == []


@every_page
@every_look
def test_every_section_is_there_and_every_figure_is_drawn(
    visit: Visit, which: str, width: int, scheme: str
) -> None:
    seen = visit(which, width, scheme)
    assert seen.sections == SECTIONS[which]
    assert seen.figures >= 6
    assert seen.empty == []


@every_page
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (320, "light")])
def test_a_phone_scrolls_down_only(visit: Visit, which: str, width: int, scheme: str) -> None:
    seen = visit(which, width, scheme)
    assert seen.widths == [width, width]
    assert seen.outside == []


@every_page
@every_look
def test_words_can_be_read_on_their_ground(visit: Visit, which: str, width: int, scheme: str) -> None:
    """At least 4.5 to 1, as WCAG 2.2 asks of text."""
    ratio, element = visit(which, width, scheme).contrast
    assert ratio >= 4.5, element


@pytest.mark.parametrize(("scheme", "ink"), [("light", "rgb(27, 31, 36)"), ("dark", "rgb(232, 234, 237)")])
def test_figures_follow_the_theme(visit: Visit, scheme: str, ink: str) -> None:
    assert visit("run", 1200, scheme).text == [ink]


def test_the_button_changes_the_theme_and_the_page_remembers(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.open(pages["run"], scheme="light")
    try:
        day = browser.evaluate(paper)
        browser.evaluate("document.getElementById('theme').click()")
        night = browser.evaluate(paper)
        assert night != day
        assert browser.evaluate("document.getElementById('theme').textContent") == "Light"
        browser.open(pages["run"], scheme="light")
        assert browser.evaluate(paper) == night
    finally:
        browser.evaluate("localStorage.clear()")


def test_the_keyboard_reaches_the_verdict_the_theme_and_what_scrolls(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.open(pages["run"])
    reached = []
    for _ in range(20):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(browser.evaluate("document.activeElement.className || document.activeElement.id"))
    assert reached[0] == "skip"
    assert "theme" in reached[:3]
    assert "scroll" in reached
    assert browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_names_of_homes_do_nothing(browser: Chromium, pages: dict[str, Path]) -> None:
    browser.open(pages["comparison"])
    assert browser.evaluate("window.broken === undefined")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0
    labels = browser.evaluate(
        "Array.from(document.querySelectorAll('#figure-bills .ytick text')).map(e => e.textContent)"
    )
    assert [name for name in labels if name.startswith("<script>")]


def test_a_request_would_be_refused(browser: Chromium, pages: dict[str, Path]) -> None:
    """The policy of the page forbids what nothing in it attempts; the browser says so aloud."""
    browser.open(pages["run"])
    refused = browser.evaluate(
        "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
        ".then(r => r + ' ' + (document.securityPolicy || ''))"
    )
    assert refused.startswith("refused")
    assert any("Content Security Policy" in text for text in browser.errors())


def test_the_data_of_a_figure_come_out_of_the_page(
    browser: Chromium, pages: dict[str, Path], tmp_path: Path
) -> None:
    browser.open(pages["run"])
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.evaluate("document.querySelector('a[download=\"bills.csv\"]').click()")
    file = tmp_path / "bills.csv"
    eventually(file.is_file, "the file is downloaded", deadline_s=10)
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("home,import_kwh,export_kwh")
    assert sorted(line.split(",")[0] for line in lines[1:]) == ["home-1", "home-2", "home-3"]


def test_on_paper_there_are_no_buttons_and_the_ground_is_white(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.open(pages["run"], scheme="dark")
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.evaluate("getComputedStyle(document.getElementById('theme')).display") == "none"
        assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert browser.evaluate(CONTRAST)[0] >= 4.5
        assert len(browser.call("Page.printToPDF")["data"]) > 50_000
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")
