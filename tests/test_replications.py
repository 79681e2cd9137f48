"""A sample of `python -m benchmarks.replications`: the published numbers, from fewer draws.

Each band is the published one plus four standard errors of the sample, so that a right rule fails about once in 16,000.
"""

from __future__ import annotations

import re

import pytest

from benchmarks.replications import muda, pymarket, unit_auctions
from benchmarks.replications.table import BEGIN, END, HEAD, PAGE, Replication, as_markdown


def outside(found: list[Replication]) -> list[Replication]:
    return [one for one in found if not one.within(one.band + 4 * one.error)]


@pytest.mark.parametrize("pairs", [2, 5, 10, 25])
def test_unit_auctions(pairs: int) -> None:
    found = list(unit_auctions.results(fraction=0.02, pairs=(pairs,)))
    assert len(found) == 5
    assert not outside(found)


def test_the_loss_of_mcafee_falls_faster_than_one_over_the_pairs() -> None:
    found = [one for one in unit_auctions.results(fraction=0.02, pairs=(2, 5, 25)) if "lost" in one.what]
    losses = [one.ours for one in found]
    assert losses == sorted(losses, reverse=True)


def test_muda() -> None:
    found = list(muda.results(markets=30, sizes=(40, 200)))
    assert len(found) == 6
    assert not outside(found)
    ours = {one.what: one.ours for one in found}
    for traders in (40, 200):
        total, lottery = (
            f"muda {kind}, {traders} traders, share of the gain" for kind in ("vickrey, total", "lottery")
        )
        assert ours[total] >= ours[lottery]


def test_the_example_of_pymarket_is_exact() -> None:
    found = list(pymarket.results())
    assert [one.what for one in found if not one.inside] == []


def test_the_page_shows_every_line_and_each_is_inside() -> None:
    """The numbers are those of the last `--write`; which lines there are follows from the code."""
    table = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip().splitlines()
    assert table[0] == f"| {' | '.join(HEAD)} |"
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert all(line[-1] == "yes" for line in lines)
    shown = {line[1] for line in lines}
    names = {
        f"{name}, {n} pairs, {what}, %"
        for (name, what), numbers in unit_auctions.PUBLISHED.items()
        for n in numbers
    }
    names |= {f"mcafee, {n} pairs, lost % x pairs" for n in unit_auctions.LOSS_TIMES_PAIRS}
    names |= {
        f"muda {what}, {n} traders, share of the gain"
        for n, found in muda.PUBLISHED.items()
        for what in found
    }
    names |= {one.what for one in pymarket.results()}
    assert shown == names


def test_a_number_outside_its_band_is_told() -> None:
    off = Replication(source="s", what="w", published=1.0, ours=1.2, band=0.1)
    assert not off.inside
    assert re.search(r"\| 1\.00 \| 1\.20 \| exact \| 0\.10 \| no \|$", as_markdown([off]))
