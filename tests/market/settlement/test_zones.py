"""Settlement on a grid: deviations net inside of zones, the connection passes on, the rent goes where it is due."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from market.auctions.network import Network
from market.auctions.zones import grid_terms
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import clear_checked
from market.rules import MarketRules
from market.settlement.baseline import baseline_nano
from market.settlement.imbalance import Imbalance, ImbalanceRule
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from market.settlement.zones import GridTerms, Rent
from optimizer.mechanisms.nodal_price import NODAL_PRICE
from tests.kits.grid_kit import grid_of, whole
from tests.kits.sample_kit import sampled, some
from tests.oracles import zones as oracle

PRICES = IntervalPrices(300_000, 80_000, 10_000, 30_000)
CAP, FEED_IN = PRICES.buy_cap_micro_per_kwh, PRICES.feed_in_micro_per_kwh
HOMES = 9


def drawn(seed: int) -> tuple[Network, np.ndarray, OrderBook, Clearing]:
    """A street of homes at random nodes whose lines are short, its orders, and their clearing."""
    random = np.random.default_rng(seed)
    ends = [(int(random.integers(0, i)), i) for i in range(1, 6)]
    limits = [int(random.integers(0, 12)) * 100 for _ in ends]
    grid = grid_of(ends, limits)
    node_of_home = random.integers(1, 6, HOMES)
    side = random.choice([-1, 1], HOMES)
    energy = random.integers(0, 900, HOMES)
    limit = np.where(side > 0, random.integers(FEED_IN, CAP + 1, HOMES), random.integers(FEED_IN, CAP, HOMES))
    limit = np.where(random.random(HOMES) < 0.5, np.where(side > 0, CAP, FEED_IN), limit)
    asked, offered = int(energy[side > 0].sum()), int(energy[side < 0].sum())
    book = OrderBook.from_columns(
        np.concatenate((np.arange(HOMES), [HOMES, HOMES])),
        np.concatenate((side, [-1, 1])).astype(np.int8),
        np.concatenate((energy, [asked + 1, offered + 1])),
        np.concatenate((limit, [CAP, FEED_IN])),
        np.concatenate((node_of_home, [0, 0])),
    )
    clearing = clear_checked(NODAL_PRICE, book, MarketRules(grid=grid, params={"intervals": "price"}))
    return Network(grid), node_of_home, book, clearing


@sampled
@pytest.mark.parametrize("rent", list(Rent))
@pytest.mark.parametrize("rule", [Imbalance.RETAILER, Imbalance.MIDDLE, Imbalance.CLEARING_PRICE])
def test_postings_are_those_of_data_frames_to_the_nano(rule: Imbalance, rent: Rent) -> None:
    several_zones = returned = 0
    for seed in range(some(60, 20)):
        network, node_of_home, book, clearing = drawn(seed)
        random = np.random.default_rng(seed + 1_000)
        imported, exported = random.integers(0, 900, (2, HOMES)) * (random.random((2, HOMES)) < 0.6)
        rank = random.permutation(HOMES)
        terms = grid_terms(network, book, clearing, node_of_home, rent)
        found = settle(
            book,
            clearing,
            imported,
            exported,
            PRICES,
            rule=ImbalanceRule(rule),
            rank=rank,
            external=1,
            grid=terms,
        )
        members, totals = _by_frames(
            network, node_of_home, book, clearing, imported, exported, rank, rule, rent
        )
        lines = found.lines[:HOMES]
        assert found.total_nano[:HOMES].tolist() == members.total.tolist()
        assert found.column("local_wh")[:HOMES].tolist() == members.local.tolist()
        assert found.column("imbalance_nano")[:HOMES].tolist() == members.imbalance.tolist()
        assert found.total_nano[HOMES:].tolist() == [
            totals[name] for name in ("connection", "retailer", "grid_operator", "market_operator")
        ]
        assert int(lines[:, 8:].sum() + found.lines[HOMES:, 8:].sum()) == 0
        several_zones += members.zone.nunique() > 1
        returned += int(members.back.sum()) > 0
    assert several_zones > some(20, 5)
    assert returned > some(20, 5)


def _by_frames(
    network: Network,
    node_of_home: np.ndarray,
    book: OrderBook,
    clearing: Clearing,
    imported: np.ndarray,
    exported: np.ndarray,
    rank: np.ndarray,
    rule: Imbalance,
    rent: Rent,
) -> tuple[pd.DataFrame, dict[str, int]]:
    grid, nodes = network.grid, oracle.names(range(len(network.grid.nodes)))
    orders = pd.DataFrame(
        {
            "who": book.participant,
            "node": oracle.names(book.node.tolist()),
            "side": book.side.astype(int),
            "wh": clearing.accepted_wh,
            "paid": book.side * clearing.accepted_wh * clearing.price_micro_per_kwh,
        }
    )
    load = (orders.side * orders.wh).groupby(orders.node).sum().reindex(nodes, fill_value=0)
    lines = []
    for i, (a, b) in enumerate(zip(grid.lines.start.tolist(), grid.lines.end.tolist(), strict=True)):
        # Every line leads away from the root: its flow is what everything behind it takes.
        behind = {f"n{b}"}
        for start, end in sorted(zip(grid.lines.start.tolist(), grid.lines.end.tolist(), strict=True)):
            behind |= {f"n{end}"} if f"n{start}" in behind else set()
        lines.append((f"n{a}", f"n{b}", float(load[sorted(behind)].sum()), float(grid.lines.limit_wh[i])))
    given = clearing.node_price * (len(nodes) if len(clearing.node_price) == 1 else 1)
    price = {node: -1 if one is None else one.price for node, one in zip(nodes, given, strict=True)}
    zone = oracle.zones(nodes, lines, price)
    up, down = oracle.ways(nodes, "n0", lines, price)
    sums = orders.assign(bought=orders.wh.where(orders.side > 0, 0), sold=orders.wh.where(orders.side < 0, 0))
    sums = sums.groupby("who")[["bought", "sold", "paid"]].sum().reindex(range(HOMES + 1), fill_value=0)
    node = oracle.names(node_of_home.tolist())
    members = sums.loc[: HOMES - 1].assign(
        node=node,
        zone=[zone[one] for one in node],
        up=[one in up for one in node],
        down=[one in down for one in node],
        rank=rank,
        imported=imported,
        exported=exported,
    )
    middle = (CAP + FEED_IN) // 2
    return oracle.settled(
        members,
        {name: int(sums.loc[HOMES, name]) for name in ("bought", "sold", "paid")},
        {"import": 300_000, "feed_in": FEED_IN, "local": 10_000, "remote": 30_000},
        {node: middle if one < 0 else one for node, one in price.items()},
        int(orders.paid.sum()),
        str(rule),
        str(rent),
    )


def by_hand(limit_wh: int, imported: list[int], exported: list[int], rent: Rent = Rent.GRID_OPERATOR):
    """Anna buys 5 kWh behind a line, Ben sells 5 at the root: an interval by hand, and its terms."""
    grid = grid_of([(0, 1)], [limit_wh])
    book = OrderBook.from_columns(
        whole(0, 1, 2, 2),
        np.array([1, -1, -1, 1], dtype=np.int8),
        whole(5_000, 5_000, 5_001, 5_001),
        whole(CAP, FEED_IN, CAP, FEED_IN),
        whole(1, 0, 0, 0),
    )
    clearing = clear_checked(NODAL_PRICE, book, MarketRules(grid=grid, params={"intervals": "price"}))
    terms = grid_terms(Network(grid), book, clearing, whole(1, 0), rent)
    rule = ImbalanceRule(Imbalance.CLEARING_PRICE)
    return terms, settle(
        book, clearing, whole(*imported), whole(*exported), PRICES, rule=rule, external=1, grid=terms
    )


def test_a_full_line_separates_two_zones_and_its_rent_is_the_grid_operators() -> None:
    terms, found = by_hand(2_000, [2_000, 0], [0, 5_000])
    assert terms.zone_of_home.tolist() == [1, 0]
    assert terms.price_micro_per_kwh == (FEED_IN, CAP)
    # Ben sells 2 kWh to Anna and 3 to the connection, all at the feed-in price; Anna pays the cap.
    assert found.column("trade_nano").tolist()[:3] == [-2_000 * CAP, 5_000 * FEED_IN, -3_000 * FEED_IN]
    assert found.column("trade_nano").tolist()[4] == 2_000 * (CAP - FEED_IN)
    assert found.total_nano[2] == 0
    assert found.column("sold_wh").tolist() == [0, 5_000, 0, 0, 0, 0]
    assert found.column("bought_wh").tolist() == [2_000, 0, 3_000, 0, 0, 0]


def test_the_rent_of_members_is_shared_in_equal_parts() -> None:
    _, found = by_hand(2_000, [2_000, 0], [0, 5_000], Rent.MEMBERS)
    half = 1_000 * (CAP - FEED_IN)
    assert found.column("trade_nano").tolist()[:2] == [-2_000 * CAP + half, 5_000 * FEED_IN + half]
    assert found.column("trade_nano").tolist()[4] == 0


def test_nothing_is_netted_across_a_full_line() -> None:
    # Anna takes 1 kWh more than the line brings by the market, Ben gives 1 kWh more: she buys it of the retailer.
    _, found = by_hand(2_000, [3_000, 0], [0, 6_000])
    assert not found.column("local_wh").any()
    assert found.column("retail_import_wh").tolist()[:2] == [1_000, 0]
    assert found.column("retail_export_wh").tolist()[:2] == [0, 1_000]
    # With room they net at the price of their zone.
    _, found = by_hand(9_000, [6_000, 0], [0, 6_000])
    assert found.column("local_wh").tolist()[:2] == [1_000, -1_000]


def test_what_the_connection_bought_and_a_home_does_not_give_costs_nothing() -> None:
    _, found = by_hand(2_000, [2_000, 0], [0, 4_000])
    assert found.back_wh is not None
    assert found.back_wh.tolist() == [0, 1_000]
    assert found.total_nano[1] == 4_000 * FEED_IN
    # The retailer pays for the 2 kWh that leave the street.
    assert found.total_nano[3] == -2_000 * FEED_IN


@pytest.mark.parametrize("limit_wh", [0, 700, 5_000])
@pytest.mark.parametrize("ordered_wh", [-2_000, -300, 0, 400, 2_000])
@pytest.mark.parametrize(("imported", "exported"), [(0, 0), (900, 0), (0, 900), (3_000, 100), (100, 3_000)])
def test_a_home_alone_pays_what_the_retailer_asks_whatever_it_ordered(
    limit_wh: int, ordered_wh: int, imported: int, exported: int
) -> None:
    grid = grid_of([(0, 1)], [limit_wh])
    side, energy = (1 if ordered_wh > 0 else -1), abs(ordered_wh)
    limit = CAP if side > 0 else FEED_IN
    book = OrderBook.from_columns(
        whole(0, 1),
        np.array([side, -side], dtype=np.int8),
        whole(energy, energy + 1),
        whole(limit, limit),
        whole(1, 0),
    )
    clearing = clear_checked(NODAL_PRICE, book, MarketRules(grid=grid, params={"intervals": "price"}))
    terms = grid_terms(Network(grid), book, clearing, whole(1), Rent.GRID_OPERATOR)
    found = settle(book, clearing, whole(imported), whole(exported), PRICES, external=1, grid=terms)
    assert found.total_nano[0] == baseline_nano(whole(imported), whole(exported), PRICES)[0]
    assert found.total_nano[1] == 0
    assert found.total_nano[2] == imported * 300_000 - exported * FEED_IN


def test_on_a_mesh_only_the_zone_of_the_root_returns() -> None:
    grid = grid_of([(0, 1), (1, 2), (0, 2)], [100, 10_000, 10_000])
    book = OrderBook.from_columns(
        whole(0, 1, 2),
        np.array([1, 1, -1], dtype=np.int8),
        whole(500, 500, 1_001),
        whole(CAP, CAP, CAP),
        whole(1, 2, 0),
    )
    clearing = clear_checked(NODAL_PRICE, book, MarketRules(grid=grid, params={"intervals": "price"}))
    terms = grid_terms(Network(grid), book, clearing, whole(1, 2), Rent.GRID_OPERATOR)
    assert isinstance(terms, GridTerms)
    same = terms.zone_of_home == 0
    assert terms.up.tolist() == terms.down.tolist() == same.tolist()
