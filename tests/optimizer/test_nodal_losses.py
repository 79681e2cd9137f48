"""Losses of lines in prices by node: by hand, against other computations, and under changes that must not matter."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import highspy
import numpy as np
import pytest

from market.auctions.losses import at_least_zero, flows, missing_wh, parts
from market.auctions.network import network_of
from market.auctions.nodal_proof import check
from market.book import OrderBook
from market.certificate import NodalPrices
from market.clearing import Clearing, PriceInterval, check_feasible
from market.errors import InfeasibleClearing, InvalidGrid
from market.grid import Grid
from optimizer.mechanisms.nodal_price import clear, to_bytes
from optimizer.models import nodal_losses
from optimizer.nodal import program
from optimizer.nodal.program import compiled
from optimizer.solver.compile import compile_model
from tests.kits.grid_kit import book_of, grid_of, losing, on, random_book, random_grid, random_losing, whole

RULES = ("pro_rata", "time", "random")


def prices(clearing: Clearing) -> list[int | None]:
    return [None if one is None else one.price for one in clearing.node_price]


def proven(book: OrderBook, grid: Grid, clearing: Clearing) -> NodalPrices:
    """The recomputed proof, which holds, of a clearing that breaks no rule."""
    check_feasible(book, clearing)
    found = check(book, grid, clearing)
    assert found.holds, found
    assert isinstance(clearing.certificate, NodalPrices)
    assert clearing.certificate.holds
    assert clearing.operator_surplus_nano >= 0
    return found


def program_of(grid: Grid, book: OrderBook, more_wh: dict[int, float] | None = None) -> float | None:
    """Most welfare by another writing of the program: bids and offers above 0, rows by node; None without a solution.

    Args:
        more_wh: What else nodes take. [Wh]
    """
    count, lines, nodes = len(book), len(grid.lines), len(grid.nodes)
    arrives = 1 - np.asarray(grid.lines.loss_ppm) / 1e6
    highs, inf = highspy.Highs(), highspy.kHighsInf
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    most = np.where(grid.lines.limit_wh < 0, inf, grid.lines.limit_wh).tolist()
    for upper in [*book.energy_wh.tolist(), *most, *most]:
        highs.addVar(0.0, float(upper))
    for i, worth in enumerate((book.side * book.limit_micro_per_kwh).tolist()):
        highs.changeColCost(i, -1e-3 * worth)
    rows = np.zeros((nodes, count + 2 * lines))
    rows[book.node, np.arange(count)] = book.side
    for k, (a, b) in enumerate(zip(grid.lines.start.tolist(), grid.lines.end.tolist(), strict=True)):
        rows[a, count + k], rows[b, count + k] = 1, -arrives[k]
        rows[b, count + lines + k], rows[a, count + lines + k] = 1, -arrives[k]
    for node, row in enumerate(rows):
        at = np.flatnonzero(row).astype(np.int32)
        right = -(more_wh or {}).get(node, 0.0)
        highs.addRow(right, right, len(at), at, row[at])
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return float(-1e3 * highs.getInfo().objective_function_value)


# ---- by hand


def test_a_tenth_is_lost_on_the_way_and_the_far_price_is_a_ninth_higher() -> None:
    grid, book = losing(grid_of([(0, 1)]), 100_000), book_of((0, -10_000, 90_000), (1, 4_500, 240_000))
    found = clear(book, on(grid))
    assert prices(found) == [90_000, 100_000]
    assert found.accepted_wh.tolist() == [5_000, 4_500]
    assert found.losses_wh == 500
    assert found.details["line_flow_wh"].tolist() == [5_000]
    assert found.details["line_loss_wh"].tolist() == [500]
    assert found.operator_surplus_nano == 0  # 5 kWh at .09 are 4.5 kWh at .10
    assert proven(book, grid, found).gap_nano == 0


def test_energy_from_the_far_end_is_worth_less_there() -> None:
    """The grid at the root pays .20; a kWh from the end arrives as .9 kWh, so it gets .18."""
    grid, book = losing(grid_of([(1, 0)]), 100_000), book_of((0, 10_000, 200_000), (1, -5_000, 60_000))
    found = clear(book, on(grid))
    assert prices(found) == [200_000, 180_000]
    assert found.accepted_wh.tolist() == [4_500, 5_000]
    assert found.details["line_flow_wh"].tolist() == [5_000]
    assert proven(book, grid, found).gap_nano == 0


def test_between_what_a_line_costs_in_both_ways_it_carries_nothing_and_each_end_has_its_own_price() -> None:
    """At .20 and .21 neighbours trade at both ends: 1 kWh of the one would arrive as .9, worth .189 and .18."""
    book = book_of((0, -2_000, 200_000), (0, 1_000, 300_000), (1, -2_000, 210_000), (1, 1_500, 300_000))
    grid = losing(grid_of([(0, 1)]), 100_000)
    found = clear(book, on(grid))
    assert prices(found) == [200_000, 210_000]
    assert found.losses_wh == 0
    assert found.details["line_flow_wh"].tolist() == [0]
    proven(book, grid, found)


def test_three_nodes_in_a_row_with_a_full_line_have_prices_of_energy_losses_and_congestion() -> None:
    """Root -20%- middle -10%- end. The second line takes 2 kWh in, so the end gets 1.8 and the rest by itself.

    The root sells at .08, the middle has .08 / .8 = .10, and the end .27 as its own offer. Without the limit it would
    have .10 / .9 = .111111; .158889 is congestion.
    """
    grid = losing(grid_of([(0, 1), (1, 2)], [-1, 2_000]), 200_000, 100_000)
    book = book_of((0, -9_000, 80_000), (1, 2_000, 300_000), (2, 3_000, 300_000), (2, -5_000, 270_000))
    found = clear(book, on(grid))
    assert prices(found) == [80_000, 100_000, 270_000]
    assert found.accepted_wh.tolist() == [5_000, 2_000, 3_000, 1_200]
    assert found.details["line_flow_wh"].tolist() == [5_000, 2_000]
    assert found.losses_wh == 1_000 + 200
    # What arrives through the full line is worth 1.8 x .27, and cost 2 x .10 before it.
    assert found.operator_surplus_nano == 1_800 * 270_000 - 2_000 * 100_000
    assert proven(book, grid, found).gap_nano == 0
    made = parts(network_of(grid), found.details["line_flow_wh"], whole(*prices(found)))
    assert made.energy.tolist() == [80_000] * 3
    assert made.losses.tolist() == [0, 20_000, 20_000 + 11_111]
    assert made.congestion.tolist() == [0, 0, 158_889]


@pytest.mark.parametrize(("k_ppm", "price"), [(0, 100_000), (500_000, 110_000), (1_000_000, 120_000)])
def test_k_lies_between_the_lowest_and_the_highest_price_of_each_node(k_ppm: int, price: int) -> None:
    """What is sold in full at .10, .125 behind a fifth lost, is bought in full at .15, which is .12 before the line."""
    grid, book = losing(grid_of([(0, 1)]), 200_000), book_of((0, -1_000, 100_000), (1, 800, 150_000))
    found = clear(book, on(grid, k_ppm=k_ppm))
    assert found.node_price[0] == PriceInterval(100_000, 120_000, price)
    assert found.node_price[1] == PriceInterval(125_000, 150_000, price * 5 // 4)
    proven(book, grid, found)


def test_losses_are_rounded_to_what_makes_whole_wh_and_never_up() -> None:
    """10 Wh are wanted behind 3%: 10 / .97 = 10.31 Wh are sold in fractions, 10 in whole Wh; .31 Wh stay unposted."""
    grid, book = losing(grid_of([(0, 1)]), 30_000), book_of((0, -900, 90_000), (1, 10, 240_000))
    found = clear(book, on(grid))
    assert found.accepted_wh.tolist() == [10, 10]
    assert found.losses_wh == 0
    missing = missing_wh(
        network_of(grid),
        network_of(grid).load(book, found.accepted_wh),
        found.details["line_flow_wh"],
    )
    assert missing.tolist() == pytest.approx([10 / 0.97 - 10, 0])
    proven(book, grid, found)


def test_those_at_the_price_of_two_nodes_share_by_what_they_pay() -> None:
    """Two bids at the price of their nodes, .10 and .10 / .8 = .125 behind a fifth lost, for 9 kWh of the root."""
    grid = losing(grid_of([(0, 1)]), 200_000)
    book = book_of((0, -9_000, 50_000), (0, 10_000, 100_000), (1, 4_000, 125_000))
    found = clear(book, on(grid))
    assert prices(found) == [100_000, 125_000]
    # 10 + 4 / .8 = 15 kWh of the root are wanted, and each gets 9 / 15 of its own.
    assert found.accepted_wh.tolist() == [9_000, 6_000, 2_400]
    assert found.losses_wh == 600
    by_time = clear(book, on(grid, rationing="time"))
    assert by_time.accepted_wh.tolist() == [9_000, 9_000, 0]
    proven(book, grid, found)


def test_an_offer_below_0_counts_as_one_at_0_and_a_bid_below_0_stays_out() -> None:
    """Else it would pay to send energy back and forth until it is lost."""
    grid = losing(grid_of([(0, 1)]), 100_000)
    book = book_of((0, -2_000, -50_000), (1, 900, 100_000), (1, 5_000, -10_000))
    found = clear(book, on(grid))
    assert found.accepted_wh.tolist() == [1_000, 900, 0]
    assert prices(found) == [0, 0]
    assert found.welfare_nano == 900 * 100_000 + 1_000 * 50_000
    proven(book, grid, found)


def test_nothing_to_trade_has_no_price_and_a_proof() -> None:
    grid = losing(grid_of([(0, 1)]), 100_000)
    for book in (book_of(), book_of((0, -1_000, 90_000), (1, 1_000, 95_000)), book_of((1, 0, 5))):
        found = clear(book, on(grid))
        assert prices(found) == [None, None]
        assert found.accepted_wh.sum() == 0
        assert to_bytes(found) is None, "a solution that is refused would stop the interval"
        proven(book, grid, found)


def test_no_loss_is_the_clearing_of_the_grid_without_the_key() -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        grid = random_grid(rng, "tree")
        book = random_book(rng, grid, 12, 5)
        zero = clear(book, on(losing(grid, *[0] * len(grid.lines))))
        plain = clear(book, on(grid))
        assert zero.accepted_wh.tolist() == plain.accepted_wh.tolist()
        assert zero.node_price == plain.node_price
        assert set(zero.details) == set(plain.details)


@pytest.mark.parametrize("loss", [-1, 1_000_000])
def test_a_share_that_is_none_is_refused(loss: int) -> None:
    with pytest.raises(InvalidGrid, match=r"line 'l0' has a loss outside of 0\.\.1"):
        losing(grid_of([(0, 1)]), loss)


def test_loops_and_voltages_have_no_losses() -> None:
    with pytest.raises(InvalidGrid, match="form a loop; only a radial grid may lose energy"):
        losing(grid_of([(0, 1), (1, 2), (2, 0)]), 0, 10_000, 0)
    with pytest.raises(InvalidGrid, match="choose the kind 'dc'"):
        losing(grid_of([(0, 1)], kind="lindistflow"), 10_000)


# ---- against other computations


def random_case(rng: np.random.Generator) -> tuple[OrderBook, Grid]:
    grid = random_losing(rng)
    book = random_book(rng, grid, int(rng.integers(1, 25)), int(rng.choice([3, 8, 1_000])))
    if rng.random() < 0.2:  # some limits below 0
        middle = int(np.median(book.limit_micro_per_kwh))
        book = replace(book, limit_micro_per_kwh=book.limit_micro_per_kwh - middle)
    return book, grid


@pytest.mark.parametrize("seed", range(4))
def test_welfare_is_that_of_another_program_to_a_few_wh(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(50):
        book, grid = random_case(rng)
        rationing, k_ppm = str(rng.choice(RULES)), int(rng.integers(0, 1_000_001))
        found = clear(book, on(grid, rationing=rationing, k_ppm=k_ppm))
        proof, taken = proven(book, grid, found), at_least_zero(book)
        best = program_of(grid, taken)
        assert best is not None
        reached = float((taken.side * found.accepted_wh) @ taken.limit_micro_per_kwh)
        # Of each part of the grid less than a Wh is rounded, at its price.
        allowed = len(grid.nodes) * float(proof.price_micro_per_kwh.max()) + 1e-6 * abs(best) + 1
        assert abs(reached - best) <= allowed


def test_prices_are_between_what_a_little_more_costs_and_what_a_little_less_saves() -> None:
    """Finite differences of the other program, within the limits of the book: the ends of each interval exactly."""
    rng, tested, little = np.random.default_rng(11), 0, 1e-3
    while tested < 120:
        grid = random_losing(rng)
        book = random_book(rng, grid, 12, 1_000)
        found, best = clear(book, on(grid)), program_of(grid, book)
        live = book.limit_micro_per_kwh[book.energy_wh > 0]
        for node, one in enumerate(found.node_price):
            if one is None or best is None:
                continue
            more, less = (program_of(grid, book, {node: sign * little}) for sign in (1, -1))
            highest = float(live.max()) if more is None else min((best - more) / little, float(live.max()))
            lowest = float(live.min()) if less is None else max((less - best) / little, float(live.min()))
            assert lowest - 2 <= one.lo <= one.price <= one.hi <= highest + 2
            assert abs(one.hi - highest) <= 2
            assert abs(one.lo - lowest) <= 2
            tested += 1


def test_flows_bring_every_node_what_it_takes() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        network = network_of(random_losing(rng))
        load = rng.normal(size=len(network.grid.nodes))
        flow, rest = flows(network, load)
        missing = missing_wh(network, load, flow)
        assert missing[network.grid.root] == pytest.approx(rest)
        assert np.delete(missing, network.grid.root) == pytest.approx(0, abs=1e-12)


def test_the_arrays_are_exactly_those_of_the_pyomo_model() -> None:
    rng = np.random.default_rng(1)
    for _ in range(10):
        network = network_of(random_losing(rng))
        slots = rng.integers(0, 4, len(network.grid.nodes))
        node = np.repeat(np.arange(len(slots)), slots)
        zeros = [0.0] * len(node)
        read = compile_model(nodal_losses.build(network, node.tolist(), [1.0] * len(node), zeros, zeros))
        written = compiled(network, slots)
        assert written.cost.tolist() == read.cost.tolist()
        for name in ("lower", "upper", "row_lower", "row_upper", "start", "index", "value"):
            assert getattr(written, name).tolist() == getattr(read, name).tolist(), name


# ---- what must not matter


def test_the_answer_does_not_depend_on_what_was_solved_before() -> None:
    rng = np.random.default_rng(8)
    for _ in range(15):
        grid = random_losing(rng)
        books = [random_book(rng, grid, 15, 4) for _ in range(4)]
        hot = [clear(book, on(grid)) for book in books]
        for book, before in zip(books, hot, strict=True):
            program._HOT.of.clear()
            assert same(clear(book, on(grid)), before)


def same(a: Clearing, b: Clearing) -> bool:
    return a.accepted_wh.tolist() == b.accepted_wh.tolist() and a.node_price == b.node_price


def renamed(grid: Grid, node: Any, line: Any, turned: Any) -> Grid:
    """The same grid with other numbers of nodes and lines, and lines the other way round."""
    lines = grid.lines
    ends = np.where(turned, lines.end, lines.start), np.where(turned, lines.start, lines.end)
    columns = [node[end][line] for end in ends]
    loss = np.asarray(lines.loss_ppm)[line]
    moved = replace(
        lines, start=columns[0], end=columns[1], limit_wh=lines.limit_wh[line], x=lines.x[line], loss_ppm=loss
    )
    return replace(grid, lines=moved, root=int(node[grid.root]))


def test_numbers_of_nodes_ways_of_lines_and_the_root_change_no_price_and_no_quantity() -> None:
    rng = np.random.default_rng(9)
    for _ in range(40):
        grid = random_losing(rng)
        book = random_book(rng, grid, 15, 1_000)
        size = len(grid.lines)
        node, line = rng.permutation(len(grid.nodes)), rng.permutation(size)
        other = replace(book, node=node[book.node])
        moved = renamed(grid, node, line, rng.random(size) < 0.5)
        a = clear(book, on(grid))
        for root in {moved.root, 0}:
            b = clear(other, on(replace(moved, root=root)))
            assert b.accepted_wh.tolist() == a.accepted_wh.tolist()
            assert [b.node_price[i] for i in node] == list(a.node_price)


def test_orders_may_be_split_and_orders_without_energy_added() -> None:
    """Of an order in two parts both get together what it got; in proportion, odd Wh apart."""
    rng = np.random.default_rng(10)
    for _ in range(30):
        grid = random_losing(rng)
        book = random_book(rng, grid, 12, 1_000)
        first = book.energy_wh // 3
        twice = OrderBook.from_columns(
            np.tile(book.participant, 2),
            np.tile(book.side, 2),
            np.concatenate((first, book.energy_wh - first)),
            np.tile(book.limit_micro_per_kwh, 2),
            np.tile(book.node, 2),
        )
        whole_book, parts_of = clear(book, on(grid)), clear(twice, on(grid))
        assert parts_of.node_price == whole_book.node_price
        got = np.bincount(twice.participant, parts_of.accepted_wh, len(book))
        assert got.tolist() == whole_book.accepted_wh.tolist()
        empty = OrderBook.from_columns(
            np.append(book.participant, 99),
            np.append(book.side, 1).astype(np.int8),
            np.append(book.energy_wh, 0),
            np.append(book.limit_micro_per_kwh, 10**9),
            np.append(book.node, 0),
        )
        more = clear(empty, on(grid))
        assert more.accepted_wh[:-1].tolist() == whole_book.accepted_wh.tolist()
        assert more.node_price == whole_book.node_price


def test_prices_scale_with_the_unit_of_money() -> None:
    rng = np.random.default_rng(12)
    for _ in range(30):
        grid = random_losing(rng)
        book = random_book(rng, grid, 12, 1_000)
        fine = clear(replace(book, limit_micro_per_kwh=1_000 * book.limit_micro_per_kwh), on(grid))
        coarse = clear(book, on(grid))
        assert fine.accepted_wh.tolist() == coarse.accepted_wh.tolist()
        for a, b in zip(prices(coarse), prices(fine), strict=True):
            assert (a is None) == (b is None)
            assert a is None or b is None or abs(1_000 * a - b) <= 1_000


# ---- what a proof refuses


def cleared() -> tuple[OrderBook, Grid, Clearing]:
    grid = losing(grid_of([(0, 1), (1, 2)], [-1, 2_000]), 200_000, 100_000)
    book = book_of((0, -9_000, 80_000), (1, 2_000, 300_000), (2, 3_000, 300_000), (2, -5_000, 270_000))
    return book, grid, clear(book, on(grid))


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ({"line_flow_wh": np.array([5_000.0, 1_990.0])}, "a loss of a line is not the stated share"),
        ({"line_loss_wh": np.array([900.0, 200.0])}, "a loss of a line is not the stated share"),
        ({"line_loss_wh": np.array([np.nan, 200.0])}, "a loss of a line is not the stated share"),
        ({"line_flow_wh": np.array([np.nan, 2_000.0])}, "no flow and no loss of each line"),
        ({"line_loss_wh": np.array([900.0])}, "no flow and no loss of each line"),
        ({"congestion_rent_nano": 1}, "a rent of 1 nano"),
    ],
)
def test_stated_figures_are_recomputed(details: dict[str, Any], says: str) -> None:
    book, grid, found = cleared()
    with pytest.raises(InfeasibleClearing, match=says):
        check(book, grid, replace(found, details={**found.details, **details}))


def test_flows_that_bring_other_energy_or_pass_a_limit_prove_nothing() -> None:
    book, grid, found = cleared()
    for flow in ([5_000.0, 2_100.0], [5_004.0, 2_000.0], [4_990.0, 2_000.0]):
        told = {"line_flow_wh": np.array(flow), "line_loss_wh": np.array(flow) * [0.2, 0.1]}
        assert not check(book, grid, replace(found, details={**found.details, **told})).holds


@pytest.mark.parametrize(("node", "lo", "hi"), [(1, 99_000, 100_000), (2, 270_000, 280_000)])
def test_intervals_of_prices_are_recomputed(node: int, lo: int, hi: int) -> None:
    book, grid, found = cleared()
    stated = list(found.node_price)
    one = stated[node]
    assert one is not None
    stated[node] = PriceInterval(lo, hi, one.price)
    with pytest.raises(InfeasibleClearing, match=f"has prices from {lo} to {hi}; orders and lines leave"):
        check(book, grid, replace(found, node_price=tuple(stated)))


def test_prices_that_losses_do_not_explain_are_refused() -> None:
    """The middle of the street paid 5% more than the losses before it say."""
    book, grid, found = cleared()
    assert isinstance(found.certificate, NodalPrices)
    price = found.certificate.price_micro_per_kwh.copy()
    price[1] = 105_000
    stated = tuple(PriceInterval(int(p), int(p), int(p)) for p in price)
    paid = price[book.node]
    rent = int((book.side * found.accepted_wh) @ paid)
    wrong = replace(
        found,
        price_micro_per_kwh=paid,
        node_price=stated,
        operator_surplus_nano=rent,
        certificate=replace(found.certificate, price_micro_per_kwh=price),
        details={**found.details, "congestion_rent_nano": rent},
    )
    with pytest.raises(InfeasibleClearing, match="orders and lines leave 100000 to 100000"):
        check(book, grid, wrong)


def test_a_clearing_that_leaves_welfare_has_a_gap() -> None:
    """Half of everything is feasible, at the same prices and in the same ways, and not the best."""
    grid, book = losing(grid_of([(0, 1)]), 100_000), book_of((0, -10_000, 90_000), (1, 4_500, 240_000))
    found = clear(book, on(grid))
    half = found.accepted_wh // 2
    flow = found.details["line_flow_wh"] / 2
    less = replace(
        found,
        accepted_wh=half,
        welfare_nano=found.welfare_nano // 2,
        losses_wh=250,
        node_price=(None, None),
        details={"line_flow_wh": flow, "line_loss_wh": flow * 0.1, "congestion_rent_nano": 0},
    )
    check_feasible(book, less)
    proof = check(book, grid, less)
    assert not proof.holds
    assert proof.gap_nano == pytest.approx(2_250 * 140_000, abs=20_000)


def test_energy_of_a_better_order_given_to_a_worse_one_beside_it_is_never_proven() -> None:
    """The flows stay right; what is lost is 0.2 kWh at .03 a kWh at least."""
    rng, tried = np.random.default_rng(13), 0
    while tried < 25:
        grid = random_losing(rng)
        book = random_book(rng, grid, 30, 1_000)
        found = clear(book, on(grid))
        some = np.flatnonzero(found.accepted_wh >= 200)
        room = np.flatnonzero(book.energy_wh - found.accepted_wh >= 200)
        for a, b in ((a, b) for a in some for b in room):
            worth = int(book.side[a]) * int(book.limit_micro_per_kwh[a] - book.limit_micro_per_kwh[b])
            if (book.node[a], book.side[a]) != (book.node[b], book.side[b]) or worth < 30_000:
                continue
            accepted = found.accepted_wh.copy()
            accepted[a] -= 200
            accepted[b] += 200
            welfare = int(np.dot(book.side * accepted, book.limit_micro_per_kwh))
            wrong = replace(found, accepted_wh=accepted, welfare_nano=welfare)
            with suppress(InfeasibleClearing):
                assert not check(book, grid, wrong).holds
            tried += 1
            break
