"""Orders that a clearing of a horizon takes whole or not at all: no home's may keep the others from their market."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wattswap as ws
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from market.orders import Flexible
from p2p.wire.messages import OrderLine, order_line
from tests.kits.run_kit import write_street
from wattswap.nodes.ahead import MAX_WHOLE, problem_of_orders
from wattswap.runs.horizon import Horizon
from wattswap.runs.horizon_lines import Lines, joined, lines_from, submitted_lines
from wattswap.runs.interval import IntervalRecord, step
from wattswap.runs.prepare import Setup, prepare
from wattswap.runs.solutions import LEFT_OUT, Solutions

AHEAD = ("market.mechanism=multi_interval", "homes.control=plan")
APPLIANCE = """
[homes.appliance.home-{home}]
kwh_per_run = 1.3
duration_minutes = 180
earliest_start = "08:00"
latest_end = "20:00"
"""
HOUR, FROM_WH = 10, (7009, 7511, 8003, 8503, 9001, 9511, 10001, 10507)


def setup_of(folder: Path, *overrides: str, more: str = "") -> Setup:
    return prepare(ws.load(write_street(folder, homes=3, days=2, more=more), overrides=[*AHEAD, *overrides]))


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return setup_of(tmp_path_factory.mktemp("street"))


def orders_of_a_hostile_home(setup: Setup, count: int) -> tuple[OrderLine, ...]:
    """Runs in one piece of nearly one size, beside sales that do not suffice for all of them."""
    feed_in = int(setup.prices.feed_in_micro_per_kwh.max())
    steps = setup.agents.horizon_minutes // setup.minutes
    offers = [(t, 2000 + 37 * t % 911) for t in range(1, steps)]
    orders = [order_line(-1, 9_000, feed_in)]
    orders += [order_line(-1, wh, feed_in, terms=Flexible(t, t, 0, wh, 1)) for t, wh in offers]
    runs = [(wh, Flexible(0, steps - 1, wh, wh // 3 + 1, 0)) for wh in FROM_WH[:count]]
    orders += [order_line(1, wh, 5_000_000, terms=terms) for wh, terms in runs]
    assert problem_of_orders(setup, orders) is None
    return tuple(orders)


def lines_with(setup: Setup, count: int) -> Lines:
    community = setup.community()
    for _ in range(HOUR):
        submitted_lines(setup, community, 0, measured=False)
        community.live()
    honest = submitted_lines(setup, community, HOUR, measured=False)
    hostile = lines_from([(0, orders_of_a_hostile_home(setup, count))])
    return joined([honest.only(1), honest.only(2), hostile])


@pytest.mark.parametrize(("count", "left_out"), [(2, False), (4, True), (MAX_WHOLE, True)])
def test_one_home_cannot_keep_the_others_from_a_clearing(setup: Setup, count: int, left_out: bool) -> None:
    lines, kept = lines_with(setup, count), Solutions()
    moves = Horizon(setup, HOUR, kept).clear(lines)
    assert kept.found is not None
    assert (LEFT_OUT in kept.found) == left_out
    assert moves.moved_wh[~lines.whole].any()
    if left_out:
        assert not moves.moved_wh[lines.whole].any()
        without = lines.of_rows(np.flatnonzero(~lines.whole))
        alone = Horizon(setup, HOUR).clear(without)
        assert (alone.moved_wh == moves.moved_wh[~lines.whole]).all()
    read = Horizon(setup, HOUR, Solutions(kept.found)).clear(lines)
    assert (read.moved_wh == moves.moved_wh).all()
    assert read.price == moves.price


def test_orders_are_left_out_where_there_are_some_only(setup: Setup) -> None:
    lines, kept = lines_with(setup, 2), Solutions()
    divisible = lines.of_rows(np.flatnonzero(~lines.whole))
    Horizon(setup, HOUR, kept).clear(divisible)
    assert kept.found is not None
    assert len(kept.found) == 1
    with pytest.raises(InfeasibleClearing):
        Horizon(setup, HOUR, Solutions((LEFT_OUT, *kept.found))).clear(divisible)
    with pytest.raises(InfeasibleClearing):
        Horizon(setup, HOUR, Solutions((LEFT_OUT,))).clear(lines)
    # Who is given a solution leaves out nothing by itself.
    with pytest.raises(InfeasibleClearing):
        Horizon(setup, HOUR, Solutions(kept.found)).clear(lines)


def test_appliances_of_a_market_without_a_proof_run_by_their_own_rule(tmp_path: Path) -> None:
    setup = setup_of(tmp_path, more=APPLIANCE.format(home=1) + APPLIANCE.format(home=3))
    real, asked = setup.mechanism.clear, [0]

    def unproven(book: Any, rules: Any) -> Clearing:
        clearing: Clearing = real(book, rules)
        if any(isinstance(terms, Flexible) and terms.is_whole for terms in book.terms.values()):
            asked[0] += 1
            assert clearing.certificate is not None
            return replace(clearing, certificate=replace(clearing.certificate, bound_nano=2**60))  # type: ignore[call-arg]
        return clearing

    broken = replace(setup, mechanism=replace(setup.mechanism, clear=unproven))
    community = broken.community()
    found: list[IntervalRecord] = [step(broken, community, i) for i in range(broken.intervals)]
    assert asked[0]
    run_wh = np.array([record.columns["appliance_wh"] for record in found])
    assert run_wh.sum(axis=0).tolist() == [2600, 0, 2600]
    assert not any(record.columns["appliance_unmet_wh"].any() for record in found)
    assert sum(record.traded_wh for record in found)
