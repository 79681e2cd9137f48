"""multi_interval with many storages: coordinated, and cleared, settled and proven as one linear program would be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.blocks import with_storages
from market.book import OrderBook
from market.errors import InfeasibleClearing
from market.horizon import read_horizon
from market.orders import Storage
from market.rules import MarketRules
from market.units import PPM
from optimizer.blocks.clear import Limits, searched, solve
from optimizer.blocks.infeasible import Unreachable
from optimizer.blocks.proof import SearchedGap
from optimizer.blocks.region import space_of
from optimizer.fleet import market
from optimizer.fleet.coordinate import Aim
from optimizer.fleet.market import MANY, coordinated, is_for_many
from optimizer.mechanisms.multi_interval import check, clear, price_range_of
from tests.kits.horizon_kit import Row, blocks, book_of, hourly, simple, storages

RULES = MarketRules()


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(market, "MANY", 1)


def small(seed: int, shift: int = 0) -> OrderBook:
    rng = np.random.default_rng(seed)
    periods = int(rng.integers(3, 12))
    rows = hourly(rng, periods, 20) + storages(rng, periods, int(rng.integers(1, 12)))
    return book_of([row._replace(limit=row.limit - shift) for row in rows])


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("shift", [0, 60_000])
def test_a_clearing_is_checked_and_worth_what_one_program_gives(seed: int, shift: int) -> None:
    """With a shift half of all prices are below 0."""
    book = small(seed, shift)
    clearing = clear(book, RULES)
    check(book, clearing, RULES)
    proof = clearing.certificate
    assert isinstance(proof, SearchedGap)
    assert proof.holds
    horizon = read_horizon(book)
    if shift:
        return  # intervals without discharging may differ
    best = searched(horizon, Limits(price_range_of(book, RULES), 60)).found.best.welfare_nano
    assert clearing.welfare_nano <= best + proof.allowed_gap_nano
    assert clearing.welfare_nano >= best - Aim().gap * abs(best) - proof.allowed_gap_nano
    assert proof.bound_nano >= best - 1


@pytest.mark.usefixtures("few_are_many")
@pytest.mark.parametrize("seed", range(6))
def test_row_prices_prove_the_bound_of_the_coordination(seed: int) -> None:
    horizon = read_horizon(small(seed))
    model, found, done = coordinated(horizon, 60)
    space = space_of(horizon, model, horizon.price_range)
    assert space.bound(found.nodes[0].row_price, space.root) == pytest.approx(
        -done.bound_nano, rel=1e-9, abs=100
    )
    rows = model.arrays.times(found.best.x)
    assert rows == pytest.approx(np.clip(rows, model.arrays.row_lower, model.arrays.row_upper), abs=1e-6)
    assert (found.best.x >= model.arrays.lower - 1e-6).all()
    assert (found.best.x <= model.arrays.upper + 1e-6).all()
    assert -float(model.arrays.cost @ found.best.x) == pytest.approx(
        found.best.welfare_nano, rel=1e-9, abs=100
    )


@pytest.mark.usefixtures("few_are_many")
def test_a_tampered_clearing_of_many_is_refused() -> None:
    book = small(3)
    clearing = clear(book, RULES)
    proof = clearing.certificate
    assert isinstance(proof, SearchedGap)
    with pytest.raises(InfeasibleClearing):
        check(book, replace(clearing, certificate=replace(proof, bound_nano=proof.welfare_nano)), RULES)
    node = replace(proof.nodes[0], row_price=proof.nodes[0].row_price * 1.1)
    with pytest.raises(InfeasibleClearing):
        check(book, replace(clearing, certificate=replace(proof, nodes=[node])), RULES)


@pytest.mark.usefixtures("few_are_many")
def test_too_little_for_the_final_contents_names_the_storages() -> None:
    terms = Storage(0, 1, 4_000, 0, 2_000, 4_000, 4_000, PPM, PPM, 0)
    full = [Row(i, 1, 4_000, 0, terms) for i in range(3)]
    with pytest.raises(Unreachable) as caught:
        clear(book_of([simple(9, 0, -1, 1_000, 100_000), *full]), RULES)
    assert caught.value.rows


def test_many_storages_are_coordinated_and_blocks_never_are() -> None:
    book = with_storages(1, MANY, periods=8, orders=40)
    horizon = read_horizon(book)
    assert is_for_many(horizon)
    assert not is_for_many(replace(horizon, stores=horizon.stores[1:]))
    limits = Limits(price_range_of(book, RULES), 60)
    assert solve(horizon, limits).coordinated
    check(book, clear(book, RULES), RULES)
    rng = np.random.default_rng(0)
    lumpy = read_horizon(book_of(hourly(rng, 4, 8) + storages(rng, 4, MANY) + blocks(rng, 4, 3)))
    assert len(lumpy.stores) == MANY
    assert not is_for_many(lumpy)
