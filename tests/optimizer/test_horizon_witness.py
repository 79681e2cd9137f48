"""A clearing of a horizon is derived again from what the search found, and from nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from market.horizon import read_horizon
from market.orders import Storage
from market.rules import MarketRules
from market.witness import NUMBER_BYTES, counted, numbers
from optimizer.blocks import witness
from optimizer.blocks.proof import SearchedGap
from optimizer.blocks.witness import to_bytes
from optimizer.mechanisms.multi_interval import clear, derive
from optimizer.models.multi_interval import compiled
from tests.kits.horizon_kit import blocks, book_of, hourly, simple, storages
from tests.optimizer.fleet.test_market_of_many import small
from tests.optimizer.test_horizon_program import everything
from tests.optimizer.test_rolling_books import book_of_homes

RULES = MarketRules()
HOMES = book_of_homes(1)


def same(one: Clearing, other: Clearing) -> bool:
    """Whether two clearings have the same energies, prices and payments."""
    assert one.schedule_wh is not None
    assert other.schedule_wh is not None
    columns = ("accepted_wh", "price_micro_per_kwh", "charges_nano", "schedule_wh")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns)
    return equal and one.prices == other.prices and one.welfare_nano == other.welfare_nano


def written(book: OrderBook) -> tuple[Clearing, bytes]:
    """A clearing and its witness."""
    clearing = clear(book, RULES)
    data = to_bytes(clearing)
    assert data is not None
    return clearing, data


def with_blocks(seed: int) -> OrderBook:
    rng = np.random.default_rng(seed)
    return book_of(hourly(rng, 6, 10) + blocks(rng, 6, 10) + storages(rng, 6, 2))


BOOKS: dict[str, Callable[[], OrderBook]] = {
    **{f"homes {seed}": lambda seed=seed: book_of_homes(seed) for seed in range(3)},  # type: ignore[misc]
    "large batteries": lambda: book_of_homes(5, 1_000, large=True),
    **{f"every kind {seed}": lambda seed=seed: everything(seed) for seed in (3, 7)},  # type: ignore[misc]
    # Where prices are below 0 one search leads to the next.
    **{f"below zero {seed}": lambda seed=seed: everything(seed, 60_000) for seed in (2, 4)},  # type: ignore[misc]
    **{f"blocks {seed}": lambda seed=seed: with_blocks(seed) for seed in (0, 6)},  # type: ignore[misc]
    "many storages": lambda: small(1),
    "simple orders alone": lambda: everything(0),
}


@pytest.mark.parametrize("name", BOOKS)
def test_the_same_clearing_follows_from_its_witness(name: str) -> None:
    book = BOOKS[name]()
    clearing, data = written(book)
    assert same(derive(book, RULES, data), clearing)


def test_searches_one_after_the_other_are_all_proven() -> None:
    book = everything(2, 60_000)
    clearing, data = written(book)
    proof = clearing.certificate
    assert isinstance(proof, SearchedGap)
    assert len(proof.answers) == 3
    assert data.startswith(counted(3))
    for fewer in (1, 2):
        last = replace(clearing, certificate=replace(proof, answers=proof.answers[-fewer:]))
        forged = to_bytes(last)
        assert forged is not None
        with pytest.raises(InfeasibleClearing, match=r"the solution (is no point|ends before|is not proven)"):
            derive(book, RULES, forged)


def test_all_searches_together_have_no_more_nodes_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    book = everything(2, 60_000)
    clearing, data = written(book)
    assert isinstance(clearing.certificate, SearchedGap)
    nodes = [len(answer.nodes) for answer in clearing.certificate.answers]
    monkeypatch.setattr(witness, "MOST_NODES", sum(nodes))
    assert same(derive(book, RULES, data), clearing)
    monkeypatch.setattr(witness, "MOST_NODES", sum(nodes) - 1)
    assert max(nodes) < sum(nodes) - 1
    assert to_bytes(clearing) is None
    with pytest.raises(InfeasibleClearing, match=r"nodes; at most \d+ are read"):
        derive(book, RULES, data)


@pytest.mark.parametrize("seed", [2, 4, 6])
def test_a_market_that_ends_its_searches_reads_no_more_nodes_than_they_may_have(seed: int) -> None:
    """What is complete under a limit derives under it; a tree that no search of this market has does not."""
    book = everything(seed, 60_000) if seed < 6 else with_blocks(seed)
    free, data = written(book)
    assert isinstance(free.certificate, SearchedGap)
    most, complete = sum(len(answer.nodes) for answer in free.certificate.answers), 0
    for limit in range(1, most + 2):
        rules = MarketRules(params={"node_limit": limit})
        clearing = clear(book, rules)
        assert isinstance(clearing.certificate, SearchedGap)
        own = to_bytes(clearing)
        if clearing.certificate.complete and own is not None:
            complete += 1
            assert same(derive(book, rules, own), clearing)
    assert complete
    if seed == 6:
        assert most > 4
        with pytest.raises(InfeasibleClearing, match=r"nodes; at most \d+ are read"):
            derive(book, MarketRules(params={"node_limit": 1}), data)


def test_what_nobody_could_check_is_not_written_down() -> None:
    clearing = clear(HOMES, RULES)
    proof = clearing.certificate
    assert isinstance(proof, SearchedGap)
    for worse in (
        replace(proof, complete=False, bound_nano=proof.bound_nano + 10**15),
        replace(proof, coordinated=True, no_discharge=(3,)),
    ):
        assert to_bytes(replace(clearing, certificate=worse)) is None


def x_of(data: bytes, book: OrderBook) -> slice:
    """Where the values of columns are in a witness of one search."""
    columns = len(compiled(read_horizon(book), read_horizon(book).price_range).arrays.cost)
    return slice(4, 4 + NUMBER_BYTES * columns)


def edited(data: bytes, where: slice, change: Callable[[np.ndarray], None]) -> bytes:
    values = np.frombuffer(data[where], "<f8").copy()
    change(values)
    return data[: where.start] + values.tobytes() + data[where.stop :]


def mutants() -> dict[str, bytes]:
    """Ways to forge a witness of the book of homes."""
    _, data = written(HOMES)
    x = x_of(data, HOMES)
    model = compiled(read_horizon(HOMES), read_horizon(HOMES).price_range)
    rows = slice(x.stop, x.stop + NUMBER_BYTES * len(model.arrays.row_lower))

    def of_x(index: int, value: float, *, more: bool = False) -> bytes:
        def change(values: np.ndarray) -> None:
            values[index] = value + (values[index] if more else 0.0)

        return edited(data, x, change)

    def of_rows(factor: float) -> bytes:
        def change(values: np.ndarray) -> None:
            values *= factor

        return edited(data, rows, change)

    # The best answer for storages to which what is left in them is worth another price: feasible, and not the best.
    terms = {row: t for row, t in HOMES.terms.items() if isinstance(t, Storage)}
    limit = HOMES.limit_micro_per_kwh.copy()
    limit[list(terms)] = 300_000
    _, suboptimal = written(replace(HOMES, limit_micro_per_kwh=limit))
    charge = int(model.charge[0][0])
    return {
        "a Wh more of an order": of_x(0, 1.0, more=True),
        "a Wh more into a storage": of_x(charge, 1.0, more=True),
        "the answer to other values": suboptimal,
        "no answer at all": edited(data, x, lambda values: values.fill(0.0)),
        "no prices": of_rows(0.0),
        "half the prices": of_rows(0.5),
        "prices of the other sign": of_rows(-1.0),
        "no number": of_x(0, np.nan),
        "infinity": of_x(charge, np.inf),
        "a huge number": of_x(charge, 1e300),
        "a 0 with a sign": edited(data, x, lambda values: values.__setitem__(values == 0, -0.0)),
        "cut": data[:-1],
        "cut in the middle": data[: len(data) // 2],
        "nothing": b"",
        "a byte more": data + b"\0",
        "two searches": counted(2) + data[4:],
        "the same search twice": counted(2) + data[4:] * 2,
        "no search": counted(0),
        "searches without end": b"\xff" * 4 + data[4:],
        "nodes without end": data[: rows.stop] + b"\xff" * 4 + data[rows.stop + 4 :],
        "no node": data[: rows.stop] + counted(0),
        "an unknown bit": data[: rows.stop + 4] + b"\xff",
        "an empty tree": data[: rows.stop + 4] + b"\x00",
        "a child of itself": data[: rows.stop + 4] + b"\x02" + counted(0) * 3,
        "prices written twice": data[: rows.stop + 4] + b"\x01" + data[rows],
        "a point": data[: rows.stop + 4] + b"\x14" + data[x],
        "megabytes of zeros": bytes(16 << 20),
        "megabytes behind a good start": data + bytes(16 << 20),
        "numbers of another book": written(book_of_homes(2))[1],
    }


MUTANTS = mutants()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_forged_witness_is_refused_at_once(name: str) -> None:
    begun = time.process_time()
    with pytest.raises(InfeasibleClearing, match=r"^the solution ") as refusal:
        derive(HOMES, RULES, MUTANTS[name])
    assert time.process_time() - begun < 1
    assert "\n" not in str(refusal.value)


def test_a_changed_bit_is_refused_or_changes_nothing() -> None:
    book = with_blocks(6)
    clearing, data = written(book)
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(60):
        forged = bytearray(data)
        forged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            found = derive(book, RULES, bytes(forged))
        except InfeasibleClearing:
            refused += 1
        else:
            assert same(found, clearing)
    assert 10 < refused < 60


def test_equal_orders_that_change_places_lead_to_the_same_clearing() -> None:
    """What simple orders get follows from prices and totals by the declared rationing, not from the answer."""
    rng = np.random.default_rng(2)
    rows = hourly(rng, 4, 6)
    rows = [row for row in rows for _ in range(2)] + storages(rng, 4, 2)
    book = book_of([row._replace(participant=i) for i, row in enumerate(rows)])
    clearing, data = written(book)
    simple = read_horizon(book).simple
    alike = [
        (i, i + 1)
        for i in range(len(simple.row) - 1)
        if (simple.interval[i], simple.limit_micro_per_kwh[i], simple.energy_wh[i], simple.side[i])
        == (
            simple.interval[i + 1],
            simple.limit_micro_per_kwh[i + 1],
            simple.energy_wh[i + 1],
            simple.side[i + 1],
        )
    ]

    def swap(values: np.ndarray) -> None:
        for i, j in alike:
            values[[i, j]] = values[[j, i]]

    forged = edited(data, x_of(data, book), swap)
    assert forged != data
    assert same(derive(book, RULES, forged), clearing)


def test_row_prices_a_little_off_do_not_choose_the_prices_of_other_intervals() -> None:
    """A row price that is off within the proof's tolerance must not make others count as they are written."""
    rng = np.random.default_rng(2)
    rows = []
    for t in range(4):
        energy = int(rng.integers(100, 900))
        rows += [
            simple(2 * t, t, 1, energy, int(rng.integers(50, 90)) * 1_000),
            simple(2 * t + 1, t, -1, energy, int(rng.integers(10, 50)) * 1_000),
        ]
    book = book_of(rows + storages(rng, 4, 2))
    clearing, _ = written(book)
    assert isinstance(clearing.certificate, SearchedGap)
    [answer] = clearing.certificate.answers

    def with_prices(*changes: tuple[int, float]) -> bytes:
        row_price = answer.row_price.copy()
        for interval, change in changes:
            row_price[interval] += change
        node = replace(answer.nodes[0], row_price=row_price)
        proof = replace(clearing.certificate, answers=(answer._replace(row_price=row_price, nodes=[node]),))
        data = to_bytes(replace(clearing, certificate=proof))
        assert data is not None
        return data

    for wanted in (1_000.0, 3_000.0):
        assert same(derive(book, RULES, with_prices((0, wanted))), clearing)
        with pytest.raises(InfeasibleClearing, match="no prices follow from the row prices"):
            derive(book, RULES, with_prices((0, wanted), (1, 0.0056)))


def test_numbers_are_written_in_one_way() -> None:
    assert numbers(np.array([-0.0])) == numbers(np.array([0.0]))
