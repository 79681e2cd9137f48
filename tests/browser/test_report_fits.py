"""A report at the widths of a phone, a tablet and a screen: nothing is cut, and only what says so scrolls sideways."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.browser.chromium import Chromium
from tests.kits.report_kit import SAVINGS, outcome, story
from tests.kits.sample_kit import sample_of
from wattswap.report.write import write_report

WIDTHS = (390, 768, 1280)
SHORT = "e => (e.getAttribute('aria-label') || e.textContent || e.id).slice(0, 60)"
MEASURE = f"""
(function () {{
  document.querySelectorAll("details").forEach(part => {{ part.open = true; }});
  const all = query => Array.from(document.querySelectorAll(query));
  const cut = e => e.scrollWidth > e.clientWidth + 1;
  const inside = e => {{
    const own = e.getBoundingClientRect(), plot = e.closest(".plot").getBoundingClientRect();
    return own.left >= plot.left - 1 && own.right <= plot.right + 1;
  }};
  const seen = e => e.getBoundingClientRect().width > 0;  // a tick that has no room has no label
  const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
  const labels = all(".node-label").map(e => [e.textContent, e.getBoundingClientRect()]);
  const wide = all(".scroll").filter(box => box.querySelector("table.wide"));
  return {{
    page: document.documentElement.scrollWidth - innerWidth,
    cells: all("td, th, caption, figcaption, p, li, h1, h2, .plot").filter(cut).map({SHORT}),
    boxes: all(".scroll").filter(box => cut(box) && !wide.includes(box)).map({SHORT}),
    silent: wide.filter(box => !box.querySelector("caption").textContent.includes("scrolls sideways")).map({SHORT}),
    loose: wide.filter(box => getComputedStyle(box.querySelector("tbody th")).position !== "sticky").map({SHORT}),
    words: all(".plot text").filter(e => e.textContent && seen(e) && !inside(e)).map({SHORT}),
    overlaps: labels.flatMap(([a, one], i) =>
      labels.slice(i + 1).filter(([, other]) => !apart(one, other)).map(([b]) => a + " | " + b)),
  }};
}})()
"""
NOTHING: dict[str, list[str]] = {
    name: [] for name in ("cells", "boxes", "silent", "loose", "words", "overlaps")
}


class Measure(Protocol):
    """Opens a page in a window of a width, unfolds all of it, and measures, once."""

    def __call__(self, which: str, width: int) -> dict[str, Any]: ...


@pytest.fixture(scope="module")
def measure(browser: Chromium, pages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """The pages of the other tests, and a comparison of 18 mechanisms with long names and large numbers."""
    rules = [f"pay_as_bid:price_rule=both_as_bid,k=0.{i:02}" for i in range(1, 15)]
    large = {name: [-1_234_567.89, -1_234_321.0, -1_234_000.0] for name in ("welfare", "cost_with_market")}
    many = [replace(outcome("mcafee", more=large), label=rule) for rule in rules]
    told = story(outcomes=(*(outcome(label) for label in SAVINGS), *many))
    wide = write_report(told, tmp_path_factory.mktemp("many") / "many.html")

    @cache
    def look(which: str, width: int) -> dict[str, Any]:
        browser.open(wide if which == "many" else pages[which], width=width)
        found: dict[str, Any] = browser.evaluate(MEASURE)
        return found

    return look


@pytest.mark.parametrize("width", sample_of(WIDTHS, (390, 1280)))
@pytest.mark.parametrize("which", ["run", "comparison", "sweep", "idle", "many"])
def test_nothing_is_cut_and_only_what_says_so_scrolls_sideways(
    measure: Measure, which: str, width: int
) -> None:
    found = measure(which, width)
    assert found["page"] <= 0
    assert {name: found[name] for name in NOTHING} == NOTHING


def test_every_measure_stands_somewhere_at_every_width(browser: Chromium, pages: dict[str, Path]) -> None:
    """A narrow page drops columns of the first table, from the right, and the part to unfold has them all."""
    visible = """
    (function (query) {
      return Array.from(document.querySelectorAll(query)).filter(e => e.offsetParent && e.getClientRects().length)
        .map(e => e.dataset.label || e.textContent);
    })
    """
    seen = {}
    for width in WIDTHS:
        browser.open(pages["comparison"], width=width)
        browser.evaluate("document.querySelector('.more').open = true")
        first = browser.evaluate(f"{visible}('.first thead th')")
        row = browser.evaluate(f"{visible}('.more tr:first-child > td')")
        seen[width] = first[1:], row
    assert [len(first) for first, _ in seen.values()] == [3, 6, 8]
    (phone, cards), (tablet, _), (screen, rest) = seen.values()
    assert phone == screen[:3]
    assert tablet == screen[:6]
    assert cards == [*screen, *rest]


def test_on_paper_all_measures_are_unfolded_and_folded_again_afterwards(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    browser.open(pages["comparison"], width=1280)
    unfolded = "document.querySelector('.more').open"
    assert browser.evaluate(unfolded) is False
    browser.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert browser.evaluate(unfolded) is True
    browser.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert browser.evaluate(unfolded) is False


def test_panels_of_a_sweep_stand_below_each_other_on_a_phone(
    browser: Chromium, pages: dict[str, Path]
) -> None:
    layout = "document.getElementById('figure-sweep-saving')._fullLayout"
    lefts = f"[{layout}.xaxis.domain[0], {layout}.xaxis2.domain[0]]"
    found = {}
    for width in (390, 1280):
        browser.open(pages["sweep"], width=width)
        found[width] = browser.evaluate(lefts)
    assert found[390] == [0, 0]
    assert found[1280][1] > 0.4
