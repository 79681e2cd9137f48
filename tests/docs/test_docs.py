"""The pages are true: their files, commands and Python run, and what they show is what comes out."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.kits.docs_kit import ROOT, Shown, differs, run_apart, words_of

DOCS = ROOT / "docs"
WITH_NODES = ("README.md", "docs/reference/cli.md")
"""Pages that start real libp2p nodes."""
PAGES = (
    "docs/explanation/settlement.md",
    "docs/reference/units-and-signs.md",
    "docs/explanation/agents.md",
    "docs/explanation/three-designs.md",
    "docs/reference/mechanisms/bilateral.md",
    "docs/how-to/own-recipe.md",
    "docs/tutorials/three-vendors.md",
    "docs/tutorials/your-own-meter-data.md",
    "docs/how-to/run-nodes.md",
    "docs/how-to/cooperative.md",
    "docs/how-to/learning.md",
    "docs/how-to/report.md",
    "docs/how-to/forecasts.md",
    "docs/reference/grid-files.md",
    "docs/how-to/import-meter-data.md",
    "docs/reference/store.md",
)
SLOW = (
    "docs/how-to/own-rule.md",
    "docs/tutorials/street-grid.md",
    "docs/how-to/check-mechanism.md",
    "docs/how-to/own-device.md",
    "docs/how-to/check-market.md",
    "docs/explanation/price-and-rationing.md",
    "docs/how-to/own-strategy.md",
    "docs/how-to/plan.md",
    "docs/how-to/size-a-battery.md",
    "docs/how-to/study-a-neighbourhood.md",
    "docs/reference/python.md",
    "docs/tutorials/your-own-mechanism.md",
)
"""Pages that take weeks of homes through many rules, or plan for days: 4 to 40 s each; the others are the sample."""
every_page = pytest.mark.parametrize(
    "page",
    [
        *PAGES,
        *(pytest.param(page, marks=pytest.mark.live) for page in WITH_NODES),
        *(pytest.param(page, marks=pytest.mark.slow) for page in SLOW),
    ],
)


@cache
def shown(page: str) -> list[Shown]:
    """Run a page once, in a folder of its own."""
    folder = Path(mkdtemp(prefix="wattswap-docs-", dir=_scratch()))
    shared = _scratch() / "shared"
    shared.mkdir(exist_ok=True)
    return run_apart(ROOT / page, folder, shared)


_scratch_folder: list[Path] = []


def _scratch() -> Path:
    return _scratch_folder[0]


@pytest.fixture(autouse=True, scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    _scratch_folder[:] = [tmp_path_factory.mktemp("pages")]


def is_command(one: Shown) -> bool:
    return one.what.startswith("wattswap ")


@every_page
def test_every_command_on_a_page_ends_with_code_0(page: str) -> None:
    failed = [f"{one.what}: code {one.code}\n" + "\n".join(one.actual) for one in shown(page) if one.code]
    assert not failed, "\n".join(failed)


@every_page
def test_what_python_prints_is_what_the_page_shows(page: str) -> None:
    wrong = [
        f"line {one.first + 1}: {difference}"
        for one in shown(page)
        if not is_command(one) and (difference := differs(one.expected or [], one.actual))
    ]
    assert not wrong, "\n".join([*wrong, f"`python -m tests.kits.docs_kit {page}` writes the page again"])


@every_page
def test_the_labels_of_a_shown_output_are_those_that_a_command_prints(page: str) -> None:
    """Numbers, hashes and stamps may differ: the demo is cut to a day here."""
    wrong = []
    for one in shown(page):
        if is_command(one) and one.expected is not None:
            missing = words_of([line for line in one.expected if line != "..."]) - words_of(one.actual)
            new = set() if "..." in one.expected else words_of(one.actual) - words_of(one.expected)
            if missing or new:
                wrong.append(
                    f"{one.what}: only on the page {sorted(missing)}, only in the output {sorted(new)}"
                )
    assert not wrong, "\n".join([*wrong, f"`python -m tests.kits.docs_kit {page}` writes the page again"])


def test_every_command_has_a_line_in_cli_md() -> None:
    from wattswap.cli import command

    names = []
    for name, group in command().commands.items():
        names += [f"{name} {sub}" for sub in getattr(group, "commands", {})] or [name]
    assert {"run", "chain check-proof"} <= set(names)
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert not [name for name in names if not re.search(rf"^(\$ )?wattswap {name}\b", text, re.MULTILINE)]


def test_every_public_python_name_is_on_the_python_page() -> None:
    import wattswap

    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert not [name for name in wattswap.__all__ if f"ws.{name}" not in text]


def test_the_numbers_of_the_worked_settlement_come_out_of_the_code() -> None:
    text = (DOCS / "explanation" / "settlement.md").read_text(encoding="utf-8")
    table = text[text.index("On paper:") : text.index("## What a wrong forecast costs")]
    out = " ".join(
        line
        for one in shown("docs/explanation/settlement.md")
        for line in [*one.actual, one.what.replace("_", "")]
    )
    numbers = set(re.findall(r"\d{3,}", table))
    assert len(numbers) > 10
    cap, feed_in, netted_wh = 300_000 + 50_000 - 20_000, 100_000, 10
    gain_nano = netted_wh * (cap - feed_in)
    # Cap, local gain, what the netted energy costs and brings, its gain and half of it, difference of the fees.
    nano = (netted_wh * cap, netted_wh * feed_in, gain_nano, gain_nano // 2)
    derived = {str(n) for n in (cap, cap - feed_in, *nano, 50_000 - 20_000)}
    assert not [n for n in sorted(numbers - derived) if not re.search(rf"(?<!\d){n}(?!\d)", out)]


def test_the_charges_on_paper_are_those_of_the_tariff_on_the_page() -> None:
    text = (DOCS / "explanation" / "settlement.md").read_text(encoding="utf-8")
    paper = text[text.index("| on paper |") : text.index("Why gross prices:")]
    vat = Fraction(119, 100)
    gross = [int(net * vat) for net in (250_000, 20_000 + 10_000, 50_000 + 30_000)]
    cap, day = gross[0] + gross[2] - gross[1], int(350_000 * vat) * 1_000
    first = day - day * 13 // 25
    october = round(2_500 * 3_200_000 * vat * (Fraction(12, 25) + 1) / 31)
    november = round(1_500 * 3_200_000 * vat / 30)
    numbers = [*gross, cap, cap - 80_000, first, first + 2 * day, october + november]
    assert [n for n in numbers if not re.search(rf"(?<!\d){n}(?!\d)", paper)] == []
    assert f"0.{october}" in paper
    assert f"0.{november}".rstrip("0") in paper


def test_the_worked_settlement_is_the_case_of_the_hand_checked_test() -> None:
    test = (ROOT / "tests" / "market" / "settlement" / "test_settlement.py").read_text(encoding="utf-8")
    assert "PRICES = IntervalPrices(300_000, 100_000, 20_000, 50_000)" in test
    assert "cleared([240, 0], [0, 240], 200_000)" in test
    assert "settle(book, clearing, ints(263, 0), ints(0, 250), PRICES)" in test


def test_every_decision_page_has_its_parts_and_stands_in_the_list() -> None:
    folder = DOCS / "decisions"
    pages = sorted(folder.glob("[0-9]*.md"))
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert len(pages) >= 20
    for number, page in enumerate(pages, 1):
        text = page.read_text(encoding="utf-8")
        assert page.name.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number}. ")
        title = text.splitlines()[0].removeprefix("# ")
        assert f"[{title}]({page.name})" in listed
        for part in ("**Context.**", "**Decision.**", "**Consequence.**", "\nWhere: "):
            assert part in text, f"{page.name} lacks {part.strip()}"
        assert len(text.splitlines()) <= 40


def test_every_page_of_the_folder_can_be_reached_from_the_index() -> None:
    """The page of a mechanism is found by its name, in the folder that the overview of mechanisms names."""
    reached: set[Path] = set()
    todo = [DOCS / "index.md"]
    while todo:
        page = todo.pop()
        if page in reached or page.suffix != ".md" or not page.is_file():
            continue
        reached.add(page)
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                todo.append((page.parent / target).resolve())
    by_name = set((DOCS / "reference" / "mechanisms").glob("*.md"))
    assert by_name & reached
    assert not sorted(str(page) for page in set(DOCS.rglob("*.md")) - reached - by_name)


def test_the_pictures_are_small_and_name_no_other_host() -> None:
    drawing = (DOCS / "img" / "street-week.svg").read_bytes()
    assert len(drawing) < 200_000
    assert b"<image" not in drawing
    assert b"<script" not in drawing
    screen = (DOCS / "img" / "report.png").read_bytes()
    assert screen.startswith(b"\x89PNG")
    assert len(screen) < 200_000


def test_the_readme_shows_the_report_before_its_first_heading_of_a_section() -> None:
    """And the text after each shown command names the next one."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/img/report.png)" in text[: text.index("\n## ")]
    sections = [part for part in text.split("\n## ") if "$ wattswap" in part]
    assert len(sections) == 4
    for part in sections:
        assert re.search(r"^\*\*Next:\*\* `wattswap ", part, re.MULTILINE), part.splitlines()[0]
