"""The program of a horizon: the same as Pyomo's, the rest as by brute force, and proofs that hold."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from market.book import OrderBook
from market.clearing import Clearing, PriceInterval
from market.errors import InfeasibleClearing
from market.horizon import Store, read_horizon
from market.mechanism import MECHANISMS
from market.orders import NONE, Block, Flexible, Storage
from market.rules import MarketRules
from market.units import PPM, FloatArray
from optimizer.blocks.clear import Limits, solve
from optimizer.blocks.hot import HotModel
from optimizer.blocks.infeasible import Unreachable
from optimizer.blocks.prices import project
from optimizer.fleet.response import batteries_of, best_response, surplus
from optimizer.mechanisms.multi_interval import check, clear, price_range_of
from optimizer.models.multi_interval import build, compiled
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.compile import compile_model
from tests.kits.horizon_kit import Row, blocks, book_of, hourly, simple, storages

RULES = MarketRules()


def flexible(rng: np.random.Generator, periods: int, count: int) -> list[Row]:
    """Flexible orders of all kinds."""
    rows = []
    for i in range(count):
        first = int(rng.integers(0, periods - 1))
        last = int(rng.integers(first + 1, periods))
        power = int(rng.integers(100, 1_000))
        energy = int(rng.integers(1, power * (last - first + 1) + 1))
        interruptible = int(rng.integers(0, 2))
        least = int(rng.integers(0, energy + 1)) if interruptible else energy
        terms = Flexible(first, last, least, power, interruptible)
        limit = int(rng.integers(20, 80)) * 1_000
        rows.append(Row(30_000 + i, int(rng.choice([1, -1])), energy, limit, terms))
    return rows


def everything(seed: int, shift: int = 0) -> OrderBook:
    """Orders of every kind; a shift lowers all limits, so that prices are negative."""
    rng = np.random.default_rng(seed)
    periods = int(rng.integers(3, 10))
    rows = hourly(rng, periods, int(rng.choice([4, 8, 20])))
    rows += storages(rng, periods, int(rng.integers(1, 5))) if seed % 3 else []
    rows += flexible(rng, periods, int(rng.integers(1, 5))) if seed % 2 else []
    rows += blocks(rng, periods, 5) if seed % 4 == 3 else []
    return book_of([row._replace(limit=row.limit - shift) for row in rows])


def cleared(book: OrderBook) -> Clearing:
    """A clearing whose proof holds."""
    clearing = clear(book, RULES)
    check(book, clearing, RULES)
    assert clearing.certificate is not None
    assert clearing.certificate.holds
    return clearing


@pytest.mark.parametrize("seed", range(12))
def test_the_arrays_are_those_of_the_pyomo_model(seed: int) -> None:
    book = everything(seed)
    horizon, prices = read_horizon(book), price_range_of(book, RULES)
    stopped = np.zeros(horizon.intervals, dtype=np.bool_)
    stopped[1] = True
    mine, theirs = compiled(horizon, prices, stopped).arrays, compile_model(build(horizon, prices, stopped))
    for name in ("lower", "upper", "row_lower", "row_upper", "start", "index"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
    assert np.allclose(mine.value, theirs.value, rtol=1e-15, atol=0)
    assert np.allclose(mine.cost, theirs.cost, rtol=1e-14, atol=1e-9)
    assert theirs.maximises


def solved_by_pyomo(model: Any) -> float:
    """The objective that HiGHS finds for a Pyomo model."""
    from pyomo.contrib.solver.solvers.highs import Highs
    from pyomo.environ import value

    Highs().solve(model, solver_options={"threads": 1, "mip_rel_gap": 0.0})
    return float(value(model.welfare))


@pytest.mark.parametrize("seed", range(8))
def test_without_blocks_the_welfare_is_that_of_pyomo_and_highs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = hourly(rng, 8, 10) + storages(rng, 8, 4)
    rows += [r for r in flexible(rng, 8, 4) if isinstance(r.terms, Flexible) and not r.terms.least_wh]
    book = book_of(rows)
    horizon, prices = read_horizon(book), price_range_of(book, RULES)
    found = solve(horizon, Limits(prices, 60.0)).found
    theirs = solved_by_pyomo(build(horizon, prices))
    assert abs(found.best.welfare_nano - theirs) <= 1e-9 * abs(theirs)
    assert abs(found.bound_nano - theirs) <= 1e-9 * abs(theirs)
    assert cleared(book).certificate.gap_nano >= 0  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", range(8))
def test_no_clearing_has_more_welfare_than_an_integer_program_without_prices(seed: int) -> None:
    from pyomo.environ import Binary

    rng = np.random.default_rng(seed)
    book = book_of(hourly(rng, 5, 8) + blocks(rng, 5, 10, partial=False))
    horizon, prices = read_horizon(book), price_range_of(book, RULES)
    model = build(horizon, prices)
    for share in model.share.values():
        share.domain = Binary
    most = solved_by_pyomo(model)
    found = solve(horizon, Limits(prices, 60.0)).found
    assert found.best.welfare_nano <= most * (1 + 1e-9) + 1
    assert most <= found.root_bound_nano * (1 + 1e-9) + 1


@pytest.mark.parametrize("shift", [0, 60_000])
def test_every_kind_of_order_clears_with_a_proof(shift: int) -> None:
    for seed in range(24):
        cleared(everything(seed, shift))


def simple_welfare(book: OrderBook, net_wh: list[int]) -> float:
    """Most welfare of simple orders that sell so much net in each interval, by merit order; -inf where they cannot."""
    return sum(_welfare_at(book, t, net) for t, net in enumerate(net_wh))


@lru_cache(maxsize=1_000)  # schedules by the thousand have a few energies in each interval
def _welfare_at(book: OrderBook, t: int, net_wh: int) -> float:
    simple = read_horizon(book).simple
    here = simple.interval == t
    side, energy, limit = (
        column[here] for column in (simple.side, simple.energy_wh, simple.limit_micro_per_kwh)
    )
    wanted = int(energy[side > 0].sum()) + net_wh
    if not 0 <= wanted <= int(energy.sum()):
        return -np.inf
    total = float((energy * limit)[side > 0].sum())
    for e, price in sorted(zip(energy.tolist(), limit.tolist(), strict=True), key=lambda pair: pair[1]):
        taken = min(e, wanted)
        total -= taken * price
        wanted -= taken
    return total


def storage_welfare(terms: Storage, left: int, energy: tuple[int, ...]) -> float:
    """Value of what is left less wear; minus infinity where the content leaves its limits."""
    content, worn = float(terms.initial_wh), 0
    for moved in energy:
        content += moved * terms.charge_ppm / PPM if moved > 0 else moved * PPM / terms.discharge_ppm
        worn += max(0, -moved)
        if not -1e-9 <= content <= terms.capacity_wh + 1e-9:
            return -np.inf
    if content < terms.final_wh - 1e-9:
        return -np.inf
    return left * (content - terms.initial_wh) - terms.wear_micro_per_kwh * worn


@pytest.mark.parametrize("rate", [PPM, 900_000])
def test_a_storage_does_what_the_best_of_all_schedules_does(rate: int) -> None:
    """Every schedule of a small storage in whole Wh; with losses the best may be off by what rounding allows."""
    for seed in range(15):
        rng = np.random.default_rng(seed)
        rows = hourly(rng, 4, 6, energy_wh=8)
        initial = int(rng.integers(0, 7))
        terms = Storage(0, 3, 6, initial, int(rng.integers(0, initial + 1)), 3, 3, rate, rate, 1_000)
        left = int(rng.choice([0, 30_000]))
        hourly_book, book = book_of(rows), book_of([*rows, Row(9_000, 1, 3, left, terms)])
        best = max(
            simple_welfare(hourly_book, list(energy)) + storage_welfare(terms, left, energy)
            for energy in product(range(-3, 4), repeat=4)
        )
        clearing = cleared(book)
        proof: Any = clearing.certificate
        assert proof.bound_nano >= best - 1e-6
        assert clearing.welfare_nano >= best - (proof.allowed_gap_nano if rate < PPM else 1e-6)


def test_an_interruptible_order_does_what_the_best_of_all_schedules_does() -> None:
    for seed in range(15):
        rng = np.random.default_rng(seed)
        rows = hourly(rng, 4, 6, energy_wh=8)
        side, limit = int(rng.choice([1, -1])), int(rng.integers(20, 80)) * 1_000
        terms = Flexible(0, 3, 0, 3, 1)
        hourly_book, book = book_of(rows), book_of([*rows, Row(9_000, side, 7, limit, terms)])
        best = max(
            simple_welfare(hourly_book, [side * x for x in energy]) + side * sum(energy) * limit
            for energy in product(range(4), repeat=4)
            if sum(energy) <= 7
        )
        assert cleared(book).welfare_nano == best


def test_storages_answer_prices_as_a_linear_program_does() -> None:
    rng = np.random.default_rng(1)
    for _ in range(25):
        steps = int(rng.integers(3, 25))
        stores = []
        for i in range(3):
            capacity, power = int(rng.integers(2_000, 12_000)), int(rng.integers(200, 3_000))
            first = int(rng.integers(0, steps - 1))
            initial = int(rng.integers(0, capacity))
            final, last = int(rng.integers(0, initial + 1)), int(rng.integers(first, steps))
            rates = (int(x) for x in rng.choice([900_000, 950_000, PPM], 2))
            terms = Storage(
                first, last, capacity, initial, final, power, power, *rates, int(rng.choice([0, 5_000]))
            )
            stores.append(Store(i, int(rng.choice([0, 20_000, 100_000])), terms))
        price = np.round(rng.normal(100, 60, steps).clip(0)) * 1_000
        stopped = np.zeros(steps, dtype=np.bool_)
        stopped[rng.integers(0, steps)] = True
        fleet = batteries_of(tuple(stores), steps, stopped)
        gained = surplus(fleet, price, *best_response(fleet, price))
        for i in range(3):
            theirs = _alone(fleet, i, price)
            assert abs(gained[i] - theirs) <= 1e-9 * (1 + abs(theirs))


def _alone(fleet: Any, i: int, price: FloatArray) -> float:
    model, steps = ModelBuilder(), len(price)
    into = model.variables("in", steps, 0.0, fleet.charge_wh[i], price - fleet.left[i] * fleet.charge[i])
    cost = fleet.wear[i] - price + fleet.left[i] / fleet.discharge[i]
    out = model.variables("out", steps, 0.0, fleet.discharge_wh[i], cost)
    start = np.zeros(steps)
    start[0] = fleet.initial_wh[i]
    content = model.variables("content", steps, fleet.least_wh[i], float(fleet.capacity_wh[i]))
    before = np.concatenate(([-1], content[:-1])).astype(np.int32)
    terms = [(content, 1.0), (into, -fleet.charge[i]), (out, 1 / fleet.discharge[i]), (before, -1.0)]
    model.constraints("stored", terms, start, start)
    answer = HotModel(model.compile()).solve(np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0))
    assert answer is not None
    return answer.welfare_nano


def test_no_storage_charges_and_discharges_at_once_at_negative_prices() -> None:
    """An offer of 10 kWh at -.10 and no bid: a storage of 1 kWh would burn energy by doing both; it charges once."""
    terms = Storage(0, 1, 1_000, 0, 0, 1_000, 1_000, 900_000, 900_000, 0)
    rows = [
        simple(0, 0, -1, 10_000, -100_000),
        simple(1, 1, -1, 10_000, -100_000),
        Row(2, 1, 1_000, 0, terms),
    ]
    clearing = cleared(book_of(rows))
    assert clearing.schedule_wh is not None
    assert clearing.schedule_wh[2].sum() == 1_111  # 1 kWh stored at 90 %
    assert clearing.certificate.no_discharge  # type: ignore[union-attr]


def test_the_nearest_point_is_nearest() -> None:
    """Against alternating projections onto the same half spaces."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        rows, lo, hi = rng.normal(size=(4, 5)), np.zeros(5), np.ones(5)
        inside = rng.uniform(0.2, 0.8, 5)
        most = rows @ inside + 0.01
        wanted = rng.uniform(0, 1, 5)
        found = project(wanted, inside, np.eye(5), lo, hi, rows, most)
        assert found is not None
        assert (rows @ found <= most + 1e-7).all()
        assert np.abs(found - _dykstra(wanted, rows, most, lo, hi)).max() < 1e-5
    assert project(wanted, inside, np.eye(5), lo, hi, np.array([np.ones(5)]), np.array([-1.0])) is None


def _dykstra(
    point: FloatArray, rows: FloatArray, most: FloatArray, lo: FloatArray, hi: FloatArray
) -> FloatArray:
    corrections = np.zeros((len(rows) + 1, len(point)))
    for _ in range(20_000):
        before, start = corrections.copy(), point
        for k in range(len(rows) + 1):
            moved = point + corrections[k]
            if k < len(rows):
                point = moved - max(0.0, rows[k] @ moved - most[k]) / (rows[k] @ rows[k]) * rows[k]
            else:
                point = np.clip(moved, lo, hi)
            corrections[k] = moved - point
        if max(np.abs(corrections - before).max(), np.abs(point - start).max()) < 1e-14:
            return point
    raise AssertionError("the projections did not end")


def test_without_lumps_and_storages_every_interval_is_a_call_auction() -> None:
    uniform = MECHANISMS.get("uniform_price")
    rng = np.random.default_rng(2)
    rows = hourly(rng, 6, 12)
    clearing = cleared(book_of(rows))
    for t, (found,) in enumerate(clearing.prices):
        mine = [
            i
            for i, row in enumerate(rows)
            if (row.terms.first if isinstance(row.terms, Flexible) else 0) == t
        ]
        alone = uniform.clear(book_of([rows[i]._replace(terms=None) for i in mine]), RULES)
        assert clearing.accepted_wh[mine].tolist() == alone.accepted_wh.tolist()
        assert (found,) == alone.node_price


MIXED = [
    simple(0, 0, 1, 3_000, 100_000),
    simple(1, 0, -1, 1_000, 20_000),
    simple(2, 1, 1, 2_000, 90_000),
    simple(3, 1, -1, 4_000, 30_000),
    Row(4, -1, 2_000, 40_000, Block(0, PPM, 0, NONE, NONE, (1_000, 1_000))),
    Row(5, 1, 1_500, 80_000, Flexible(0, 1, 0, 1_000, 1)),
    Row(6, 1, 500, 0, Storage(0, 1, 1_000, 0, 0, 500, 500, 950_000, 950_000, 0)),
]


def mutants() -> dict[str, Any]:
    """Ways to forge a clearing."""

    def moved(row: int, interval: int, energy: int) -> Any:
        def forge(c: Clearing) -> Clearing:
            assert c.schedule_wh is not None
            schedule = c.schedule_wh.copy()
            schedule[row, interval] += energy
            return replace(c, schedule_wh=schedule, accepted_wh=np.abs(schedule).sum(axis=1))

        return forge

    def both(row: int, other: int, interval: int, energy: int) -> Any:
        return lambda c: moved(other, interval, -energy)(moved(row, interval, energy)(c))

    def higher(c: Clearing) -> Clearing:
        one = c.node_price[0]
        assert one is not None
        return replace(c, node_price=(PriceInterval(one.lo, one.hi, one.price + 1_000),))

    def outside(c: Clearing) -> Clearing:
        one = c.node_price[0]
        assert one is not None
        return replace(c, node_price=(PriceInterval(one.lo, one.hi, one.hi + 1),))

    def paid(c: Clearing) -> Clearing:
        charge = c.charges_nano.copy()
        charge[0] += 5
        return replace(c, charge_nano=charge)

    def shifted(c: Clearing) -> Clearing:
        charge = c.charges_nano.copy()
        charge[0], charge[2] = charge[0] + 10**9, charge[2] - 10**9
        return replace(c, charge_nano=charge)

    def bound(by: int) -> Any:
        def forge(c: Clearing) -> Clearing:
            proof: Any = c.certificate
            return replace(c, certificate=replace(proof, bound_nano=proof.bound_nano + by))

        return forge

    def lenient(c: Clearing) -> Clearing:
        proof: Any = c.certificate
        return replace(c, certificate=replace(proof, allowed_gap_nano=10**15))

    def no_tree(c: Clearing) -> Clearing:
        proof: Any = c.certificate
        return replace(c, certificate=replace(proof, nodes=()))

    def bent_tree(c: Clearing) -> Clearing:
        proof: Any = c.certificate
        nodes = [replace(node, row_price=node.row_price * 0.5) for node in proof.nodes]
        return replace(c, certificate=replace(proof, nodes=nodes))

    return {
        "one more Wh bought": moved(0, 0, 1),
        "beyond the order": both(2, 3, 1, 5_000),
        "a Wh of a block": both(0, 4, 0, 1),
        "a Wh of a block moved to another order": both(4, 1, 0, 1),
        "a storage beyond its power": both(6, 1, 0, 400),
        "a flexible order beyond its power": both(5, 3, 1, 1_200),
        "another price": higher,
        "a price outside of its interval": outside,
        "another welfare": lambda c: replace(c, welfare_nano=c.welfare_nano + 1),
        "a payment to nobody": paid,
        "money from one to another": shifted,
        "a lower bound": bound(-(10**6)),
        "a gap that anything fits into": lenient,
        "no tree": no_tree,
        "other row prices": bent_tree,
        "no price": lambda c: replace(c, node_price=(None,)),
        "losses": lambda c: replace(c, losses_wh=2),
        "prices of two nodes": lambda c: replace(c, node_price=c.node_price * 2),
        "no proof": lambda c: replace(c, certificate=None),
        "no schedule": lambda c: replace(c, schedule_wh=None),
    }


@pytest.mark.parametrize("name", sorted(mutants()))
def test_a_forged_clearing_is_refused(name: str) -> None:
    book = book_of(MIXED)
    clearing = cleared(book)
    with pytest.raises(InfeasibleClearing):
        check(book, mutants()[name](clearing), RULES)


def test_an_infeasible_case_names_the_storages() -> None:
    slow = Storage(0, 1, 10_000, 0, 9_000, 1_000, 1_000, PPM, PPM, 0)
    with pytest.raises(
        Unreachable, match="the storage of row 1 cannot reach its final content even by charging"
    ) as one:
        clear(book_of([simple(0, 0, -1, 50_000, 10_000), Row(1, 1, 1_000, 0, slow)]), RULES)
    assert one.value.rows == (1,)
    full = Storage(0, 1, 10_000, 0, 1_500, 1_000, 1_000, PPM, PPM, 0)
    easy = Storage(0, 1, 10_000, 5_000, 0, 1_000, 1_000, PPM, PPM, 0)
    rows = [simple(0, 0, -1, 500, 10_000), simple(0, 1, -1, 400, 10_000)]
    with pytest.raises(
        Unreachable, match="the storage of row 2 cannot reach its final content: too little is offered"
    ):
        clear(book_of([*rows, Row(1, 1, 1_000, 0, full)]), RULES)
    assert clear(
        book_of([*rows, Row(1, 1, 1_000, 0, full), Row(2, 1, 1_000, 0, easy)]), RULES
    ).accepted_wh.any()
