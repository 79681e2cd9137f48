"""A sample of `python -m benchmarks.replications`: the published numbers, from fewer draws.

Each band is the published one plus four standard errors of the sample, so that a right rule fails about once in 16,000.
"""

from __future__ import annotations

import re

import pytest

from benchmarks import bidding
from benchmarks.replications import muda, pymarket, strategies, unit_auctions
from benchmarks.replications.classroom import GRID, Classroom, share_percent, wholesale
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


def named(found: list[strategies.Found]) -> dict[tuple[str, str, int, str], strategies.Found]:
    return {(one.strategy, one.market, one.rounds, one.what): one for one in found}


def test_zero_intelligence_in_rounds() -> None:
    """Of three seeds; three points more at both ends, which is what three seeds scatter by."""
    found = list(strategies.zero_intelligence(seeds=3))
    assert [one for one in found if not one.within(0.0 if one.most == 0 else 3.0)] == []
    exact = [one for one in found if one.most == 0]
    assert len(exact) == 3
    assert all("on 30 days" in one.what for one in exact), "units were left, so the formula was not tried"


def test_random_limits_trade_nearly_all_in_five_rounds() -> None:
    found = list(strategies.demo(days=4))
    assert [one.rounds for one in found] == [1, 5]
    assert [one for one in found if not one.within(0.05 if one.rounds == 1 else 0.0)] == []


def test_strategies_that_learn_from_each_other() -> None:
    found = list(strategies.adaptive(seeds=3))
    assert [one for one in found if not one.within(2.0 if "%" in one.what else 0.0)] == []
    figures = named(found)
    for market in strategies.MARKETS:
        later = figures["zip", market, 10, "% of the gain, days 2-10"].ours
        assert later > strategies.later(strategies.classes("zi_c", market, 10, 3))


def test_modified_roth_erev_learns_more_than_the_plain_rule() -> None:
    """Two of the nine cells, two seeds, 300 days."""
    for cell in ((1, 1), (2, 2)):
        gains = {}
        for strategy in ("modified_roth_erev", "roth_erev"):
            rooms = [Classroom(wholesale(*GRID[cell]), strategy, 1, seed, "pay_as_bid") for seed in (0, 1)]
            gains[strategy] = share_percent([day for room in rooms for day in room.days(300)[-30:]])
        assert gains["modified_roth_erev"] > 90
        assert gains["modified_roth_erev"] > gains["roth_erev"] + 10


def test_the_grid_has_the_concentrations_and_capacities_of_its_cells() -> None:
    for (concentration, capacity), (sellers, buyers, sell, buy) in GRID.items():
        assert sellers / buyers == concentration
        assert buyers * buy / (sellers * sell) == capacity
    assert len(GRID) == 9


def test_a_round_of_ten_thousand_homes_is_quick() -> None:
    """Three times the limit of the benchmark, which a busy machine stays below."""
    for strategy in bidding.LIMITED:
        assert bidding.round_ms(strategy) < 3 * bidding.MOST_MS


def test_the_page_shows_every_figure_of_the_strategies_and_each_is_inside() -> None:
    text = strategies.PAGE.read_text(encoding="utf-8")
    table = text.split(strategies.BEGIN)[1].split(strategies.END)[0].strip().splitlines()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert lines[0] == list(strategies.HEAD)
    assert {line[-1] for line in lines[2:]} == {"yes"}
    assert {line[0] for line in lines[2:]} == {
        *("zi_c", "zi_u", "zip", "gd", "aa", "modified_roth_erev", "roth_erev")
    }
    assert len(lines[2:]) == 2 + 3 * 4 + 3 * 3 * 3 + 5
