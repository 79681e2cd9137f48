"""A clearing on a grid is derived again from what the solver found; whoever writes it down chooses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InfeasibleClearing, MarketError
from market.grid import Grid
from market.rules import MarketRules
from market.witness import NUMBER_BYTES, numbers
from optimizer.mechanisms.nodal_price import check, clear, derive, to_bytes
from optimizer.nodal import quantities
from tests.kits.grid_kit import book_of, grid_of, on, random_book, random_grid

KINDS = ("tree", "voltage", "mesh")
FULL = grid_of([(0, 1)], [5_000])
CONGESTED = book_of((0, -4_000, 60_000), (0, -4_000, 60_000), (1, 4_000, 240_000), (1, 4_000, 240_000))


def same(one: Clearing, other: Clearing) -> bool:
    """Whether two clearings have the same energies, prices and rent."""
    columns = ("accepted_wh", "price_micro_per_kwh")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)
    numbers_of = [(c.node_price, c.welfare_nano, c.operator_surplus_nano) for c in (one, other)]
    return equal and numbers_of[0] == numbers_of[1]


def cases(kind: str, count: int) -> list[tuple[OrderBook, Grid]]:
    """Random books, of which every second has many ties."""
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        grid = random_grid(rng, kind)
        prices = int(rng.integers(2, 12)) if seed % 2 else 200
        found.append((random_book(rng, grid, int(rng.integers(5, 40)), prices), grid))
    return found


def written(book: OrderBook, rules: MarketRules) -> tuple[Clearing, bytes]:
    """A clearing and its witness."""
    clearing = clear(book, rules)
    data = to_bytes(clearing)
    assert data is not None
    return clearing, data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("intervals", ["price", "exact"])
def test_the_same_clearing_follows_from_its_witness(kind: str, intervals: str) -> None:
    solved = 0
    for book, grid in cases(kind, 40):
        rules = on(grid, params={"intervals": intervals})
        clearing = clear(book, rules)
        data = to_bytes(clearing)
        if data is None:  # a program without a proof, which only exact intervals ask
            assert intervals == "exact"
            assert kind != "tree"
            continue
        found = derive(book, rules, data)
        assert same(found, clearing)
        assert to_bytes(found) == data
        check(book, found, rules)
        solved += len(data) > 0
    assert solved > 10


def test_any_optimal_allocation_leads_to_the_same_clearing() -> None:
    """Of two equal sellers at one node and two equal buyers at the other any may have it all."""
    clearing, data = written(CONGESTED, on(FULL))
    assert clearing.accepted_wh.tolist() == [2_500] * 4
    for allocation in (
        (4_000, 1_000, 1_000, 4_000),
        (1_000, 4_000, 2_500, 2_500),
        (2_500, 2_500, 2_000, 3_000),
    ):
        forged = numbers(np.array(allocation, dtype=np.float64))
        assert same(derive(CONGESTED, on(FULL), forged), clearing)
    assert len(data) == 4 * NUMBER_BYTES


def of(*energy: float) -> bytes:
    return numbers(np.array(energy))


RIGHT = of(2_500, 2_500, 2_500, 2_500)
MUTANTS: dict[str, bytes] = {
    "a Wh more bought": of(2_500, 2_500, 2_501, 2_500),
    "a Wh more over the full line": of(2_501, 2_500, 2_501, 2_500),
    "a Wh less over it": of(2_499, 2_500, 2_499, 2_500),
    "nobody trades": of(0, 0, 0, 0),
    "an order is dropped": of(0, 2_500, 0, 2_500),
    "more than was ordered": of(5_000, 0, 5_000, 0),
    "below nothing": of(6_000, -1_000, 2_500, 2_500),
    "no number": RIGHT[:24] + np.array([np.nan]).tobytes(),
    "infinity": RIGHT[:24] + np.array([np.inf]).tobytes(),
    "a huge number": RIGHT[:24] + np.array([1e300]).tobytes(),
    "a 0 with a sign": of(4_000, 1_000, 4_000, 1_000)[:24] + np.array([-0.0]).tobytes(),
    "one number short": RIGHT[:-8],
    "one number more": RIGHT + RIGHT[:8],
    "half a number": RIGHT[:-4],
    "nothing": b"",
    "megabytes of zeros": bytes(16 << 20),
    "megabytes behind a good start": RIGHT + bytes(16 << 20),
    "noise": np.random.default_rng(3).bytes(32),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_forged_witness_is_refused_at_once(name: str) -> None:
    begun = time.process_time()
    with pytest.raises(InfeasibleClearing, match=r"^the solution ") as refusal:
        derive(CONGESTED, on(FULL), MUTANTS[name])
    assert time.process_time() - begun < 1
    assert "\n" not in str(refusal.value)


def test_where_the_grid_carries_all_there_is_nothing_to_write() -> None:
    grid = grid_of([(0, 1)], [9_000])
    clearing, data = written(CONGESTED, on(grid))
    assert data == b""
    assert same(derive(CONGESTED, on(grid), data), clearing)
    with pytest.raises(InfeasibleClearing, match="goes on for 32 bytes"):
        derive(CONGESTED, on(grid), RIGHT)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_programs_are_proven_too(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rule of zones breaks another limit, a program serves those at the price, and its answer is checked."""
    asked: list[int] = []
    by_program = quantities.by_program

    def noted(*given: Any) -> Any:
        asked.append(1)
        return by_program(*given)

    monkeypatch.setattr(quantities, "by_program", noted)
    refused = tried = 0
    for book, grid in cases(kind, 60):
        asked.clear()
        _, data = written(book, on(grid))
        if not asked:
            continue
        start = NUMBER_BYTES * len(book) + 1
        values = np.frombuffer(data[start : start + 2 * NUMBER_BYTES], "<f8")
        for change in (1.0, -1.0, 1e3):
            tried += 1
            forged = data[:start] + numbers(values + change) + data[start + 2 * NUMBER_BYTES :]
            with pytest.raises(InfeasibleClearing, match=r"^the solution (answers|leads)"):
                derive(book, on(grid), forged)
            refused += 1
    assert refused == tried > 10


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_bit_is_refused_or_changes_nothing(kind: str) -> None:
    rng = np.random.default_rng(4)
    refused = 0
    for book, grid in cases(kind, 40):
        clearing, data = written(book, on(grid))
        for _ in range(4 if data else 0):
            forged = bytearray(data)
            forged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            try:
                found = derive(book, on(grid), bytes(forged))
            except MarketError:
                refused += 1
            else:
                assert same(found, clearing)
    assert refused > 10


def forged(change: Callable[[dict[str, Any]], None]) -> Clearing:
    """The clearing of the congested line with other columns."""
    clearing = clear(CONGESTED, on(FULL))
    columns = {name: getattr(clearing, name) for name in Clearing.__dataclass_fields__}
    columns |= {name: columns[name].copy() for name in ("accepted_wh", "price_micro_per_kwh")}
    change(columns)
    return Clearing(**columns)


def moved(columns: dict[str, Any]) -> None:
    columns["accepted_wh"][[0, 2]] += 1


def less(columns: dict[str, Any]) -> None:
    columns["accepted_wh"][[0, 2]] -= 1


def higher(columns: dict[str, Any]) -> None:
    columns["price_micro_per_kwh"][2] += 1


def rent(columns: dict[str, Any]) -> None:
    columns["operator_surplus_nano"] -= 1


@pytest.mark.parametrize("change", [moved, less, higher, rent])
def test_a_clearing_with_one_other_number_fails_its_check(change: Callable[[dict[str, Any]], None]) -> None:
    check(CONGESTED, clear(CONGESTED, on(FULL)), on(FULL))
    with pytest.raises(InfeasibleClearing):
        check(CONGESTED, forged(change), on(FULL))
