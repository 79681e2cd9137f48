"""One interval, from bids to postings: the steps that a run, a comparison and a network share, and their record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from agents.bidders import Round
from agents.bidding import Orders, OwnResults
from agents.meters import ALONE, Meters
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval
from market.settlement.accounts import BOUGHT, SOLD, TRADE, Postings
from market.settlement.baseline import baseline_nano, bound_nano, imbalance_cost_nano, netting_nano
from market.settlement.imbalance import ImbalanceRule, Shares
from market.settlement.settle import settle
from market.settlement.tariff import AnyPrices
from market.units import MICRO_PER_UNIT, BoolArray, IntArray
from p2p.batches.roots import book_root, clearing_root, prices_root
from p2p.wire.messages import PriceLine
from wattswap.runs.books import arrival_order, closed_book, columns_of, limits_as_orders
from wattswap.runs.clearing import check_cleared, cleared
from wattswap.runs.common_battery import BatteryMoved, Owners, with_battery
from wattswap.runs.grid import RunGrid, of_homes
from wattswap.runs.horizon import cleared_horizon
from wattswap.runs.rounds import Rounds
from wattswap.runs.solutions import Solutions

if TYPE_CHECKING:
    from wattswap.runs.prepare import Homes, Setup


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """An interval's postings, what each member would have been credited without a market, and the parts of its saving.

    Args:
        netting_nano: What each member saves by the imbalance rule.
        bound_nano: The most that all members together can save without moving a flow.
    """

    postings: Postings
    baseline_nano: IntArray
    imbalance_cost_nano: IntArray
    netting_nano: IntArray
    bound_nano: int


@dataclass(frozen=True, eq=False)
class IntervalRecord:
    """The results of one interval; sinks (chain, tables, totals, cells, statistics) read it.

    Args:
        roster: Home ids; participants of the book are indices into it.
        columns: Per home, what devices and sub-meters say, by name such as `stored_wh`; absent where not known. [Wh]
        clear_ns: Time that the clearing took. [ns]
        accounts: Names of the external accounts, which participants of the book count behind the roster.
        decisions_root: Root of the log of the agents' decisions, where one is kept.
        grid: Lines between the homes, where the scenario has any.
        battery: What the battery in common did, where the homes have one.
    """

    start_s: int
    roster: tuple[str, ...]
    prices: AnyPrices
    book: OrderBook
    clearing: Clearing
    import_wh: IntArray
    export_wh: IntArray
    settled: Settled
    columns: Mapping[str, IntArray]
    clear_ns: int
    decisions_root: bytes | None = None
    accounts: tuple[str, ...] = ()
    grid: RunGrid | None = None
    battery: BatteryMoved | None = None

    def with_devices(self, columns: Mapping[str, IntArray]) -> IntervalRecord:
        """The record with what only the homes know, such as battery contents.

        Where they react to the market, what they would have drawn and given without it is what they are held against:
        what all can save then counts what they pay to move energy for it.
        """
        # Those given come first, so that a record that was recomputed from messages has the columns in the same order.
        others = {name: column for name, column in self.columns.items() if name not in columns}
        columns, settled = {**columns, **others}, self.settled
        if f"{ALONE}import_wh" in columns:
            imported, exported = columns[f"{ALONE}import_wh"], columns[f"{ALONE}export_wh"]
            alone_nano = baseline_nano(imported, exported, self.prices)
            moved_nano = int(settled.baseline_nano.sum()) - int(alone_nano.sum())
            settled = replace(settled, baseline_nano=alone_nano, bound_nano=settled.bound_nano + moved_nano)
        return replace(self, columns=columns, settled=settled)

    @cached_property
    def book_root(self) -> bytes:
        """Root of the book, as the chain has it."""
        return book_root(self.book, self.roster, self.start_s, self.accounts)

    @cached_property
    def prices_root(self) -> bytes:
        """Root of the prices by interval and node, as the chain has it."""
        return prices_root(self.clearing, self.start_s)

    @cached_property
    def clearing_root(self) -> bytes:
        """Root of the clearing, as the chain has it."""
        return clearing_root(self.book, self.clearing, self.start_s, self.prices_root)

    @property
    def traded_wh(self) -> int:
        """Energy bought, which equals the energy sold. [Wh]"""
        return self.clearing.traded_wh(self.book)

    @property
    def price(self) -> PriceLine | None:
        """The price interval as messages and blocks carry it; None where nodes differ or nothing has one price."""
        node, *others = self.clearing.node_price
        if node is None or any(other != node for other in others):
            return None
        return PriceLine(node.lo, node.hi, node.price)

    @property
    def price_per_kwh(self) -> float | None:
        """The price, an average if the mechanism has no single price. [currency/kWh]"""
        average = self.clearing.average_price_micro_per_kwh(self.book)
        return None if average is None else average / MICRO_PER_UNIT


def step(
    setup: Setup,
    community: Homes,
    i: int,
    *,
    signed: bool = False,
    instead: Callable[[Orders], Orders] | None = None,
) -> IntervalRecord:
    """Simulate the i-th interval: bids, book, clearing, meters, settlement.

    Homes know what they have agreed in the market before they live the interval; where quantities come from the meters
    there is nothing to agree.

    Args:
        community: The homes before this interval; advanced by one interval.
        signed: Whether every order is signed and checked, as a network does.
        instead: What is sent instead of the orders of all homes, in a market of one round.

    Raises:
        NotTaken: The book or the rules hold what the mechanism does not use.
        InfeasibleClearing: The mechanism broke a rule of the market.
        PluginFailed: A third-party plug-in did, or raised.
        AmountTooLarge: The amounts of the interval pass 2^62 together.
    """
    measured = setup.metered and not setup.looks_ahead
    # Limits are stated before the interval is lived, as on a network.
    limits = sent_orders(setup, community, i, signed=signed) if measured else None
    meters = read_meters(setup, community, i) if measured else None
    moved = _moved(community, meters)
    if setup.looks_ahead:
        book, clearing, clear_ns = cleared_horizon(setup, community, i, signed=signed)
    elif setup.rounds > 1:
        book, clearing, clear_ns = cleared_rounds(setup, community, i, signed=signed)
    else:
        orders = sent_orders(setup, community, i, signed=signed) if limits is None else limits
        orders = orders if instead is None else instead(orders)
        book = _book_of(setup, community, i, orders, meters, moved)
        clearing, clear_ns = clear_book(setup, i, book)
    if meters is None:
        if not setup.looks_ahead:  # where it does, homes have agreed while it was cleared
            community.agree(position_wh(setup, book, clearing)[community.members])
        meters = read_meters(setup, community, i)
        moved = _moved(community, meters)
    community.learn(*of_homes(book, clearing, len(setup.roster)))
    record = settled_interval(
        setup, i, book, clearing, meters.import_wh, meters.export_wh, meters.columns, clear_ns, moved
    )
    if community.learns:
        postings = record.settled.postings
        community.learn_own(own_results(record.start_s, postings.lines[: postings.members], record.price))
    return record


def _moved(community: Homes, meters: Meters | None) -> BatteryMoved | None:
    """What the battery in common does where the meters of the homes are known; None without one, or before."""
    if meters is None or not isinstance(community, Owners):
        return None
    return community.battery.live(int((meters.import_wh - meters.export_wh).sum()))


def _book_of(
    setup: Setup, community: Homes, i: int, orders: Orders, meters: Meters | None, moved: BatteryMoved | None
) -> OrderBook:
    """The book of the i-th interval: the orders of the homes and, as of a home behind them, that of their battery.

    Args:
        meters: Where quantities come from them.
        moved: What the battery did, in the same case; else it orders what it plans by forecast.
    """
    net_wh = None if meters is None else meters.import_wh - meters.export_wh
    if isinstance(community, Owners):
        ordered_wh = community.battery.planned_wh() if moved is None else moved.taken_wh
        orders = with_battery(orders, ordered_wh, len(setup.roster), setup.prices.at(i))
        net_wh = None if net_wh is None else np.append(net_wh, ordered_wh)
    return closed_book(setup, i, *columns_of(orders), net_wh=net_wh)


def cleared_rounds(
    setup: Setup, community: Homes, i: int, *, signed: bool = False
) -> tuple[OrderBook, Clearing, int]:
    """Open the market of the i-th interval for all its rounds: the book of all orders, its clearing, and the time. [ns]

    In every round the homes see what was ordered and accepted before, and order again for what is left of their plans.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market.
    """
    market = Rounds(setup, i)
    orders = sent_orders(setup, community, i, signed=signed)
    while market.done < setup.rounds:
        market.clear(closed_book(setup, i, *columns_of(orders), number=market.done))
        opened = market.opened(community.members)
        if market.done < setup.rounds:
            orders = sent_orders(setup, community, i, signed=signed, opened=opened)
        else:
            community.end_rounds(opened)
    return market.result()


def own_results(start_s: int, lines: IntArray, price: PriceLine | None) -> OwnResults:
    """What homes learn from their own settlement lines and the price of the interval.

    Args:
        lines: A row per home, a column per name in `market.settlement.accounts.COLUMNS`.
    """
    return OwnResults(
        start_s=start_s,
        bought_wh=lines[:, BOUGHT],
        sold_wh=lines[:, SOLD],
        payment_nano=-lines[:, TRADE],
        price=None if price is None else PriceInterval(price.lo, price.hi, price.price),
    )


def sent_orders(
    setup: Setup, community: Homes, i: int, *, signed: bool = False, opened: Round | None = None
) -> Orders:
    """What the homes send for the i-th interval: orders, or limits where quantities come from the meters.

    A home that is no member then sends nothing.

    Args:
        opened: The round of its market that opens, after the first.
    """
    prices = setup.tariffs.at(i)
    if opened is not None:
        orders = community.bids_again(opened)
    elif setup.metered:
        orders = limits_as_orders(community.members, *community.limits(prices))
    else:
        orders = community.bids(prices)
    orders = orders.of_rows(setup.takes_part(i)[orders.home])
    if signed:
        setup.sign_and_check(setup.start_of(i), orders, 0 if opened is None else opened.number)
    return orders


def read_meters(setup: Setup, community: Homes, i: int) -> Meters:
    """Simulate the i-th interval and read the meters, which the community reads of its members alone.

    A home that is no member then lives on behind its own meter, and its registers stand as 0.
    """
    part, meters = setup.takes_part(i)[community.members], community.live()
    registers = (f"{ALONE}import_wh", f"{ALONE}export_wh")
    alone = {name: meters.columns[name] * part for name in registers if name in meters.columns}
    return replace(
        meters,
        import_wh=meters.import_wh * part,
        export_wh=meters.export_wh * part,
        columns={**meters.columns, **alone},
    )


def clear_book(
    setup: Setup, i: int, book: OrderBook, solutions: Solutions | None = None
) -> tuple[Clearing, int]:
    """Clear the book of the i-th interval, check that the result is feasible, and say how long clearing took. [ns]

    Args:
        solutions: Where they are given or kept; None for neither.

    Raises:
        Infeasible: The solver has no answer; names the mechanism and the interval.
    """
    clearing, clear_ns = cleared(setup, i, book, solutions)
    check_cleared(setup, book, clearing)
    return clearing, clear_ns


def position_wh(setup: Setup, book: OrderBook, clearing: Clearing) -> IntArray:
    """What each home of the roster has bought less what it has sold. [Wh]"""
    position = np.zeros(len(setup.roster) + len(setup.accounts), dtype=np.int64)
    np.add.at(position, book.participant, book.side * clearing.accepted_wh)
    return position[: len(setup.roster)]


def settled_interval(
    setup: Setup,
    i: int,
    book: OrderBook,
    clearing: Clearing,
    import_wh: IntArray,
    export_wh: IntArray,
    columns: Mapping[str, IntArray],
    clear_ns: int = 0,
    battery: BatteryMoved | None = None,
    deemed: BoolArray | None = None,
) -> IntervalRecord:
    """Settle a clearing against the meters and make the record of the interval.

    Args:
        import_wh: Metered import per home. [Wh]
        export_wh: Metered export per home. [Wh]
        columns: What devices say, by name; what is behind the meters is added here.
        battery: What the battery in common did.
        deemed: See `posted`.
    """
    prices, accounts = setup.tariffs.at(i), setup.accounts
    taken_wh = None if battery is None else battery.taken_wh
    postings = posted(setup, i, book, clearing, import_wh, export_wh, taken_wh=taken_wh, deemed=deemed)
    settled = Settled(
        postings,
        baseline_nano(import_wh, export_wh, prices),
        imbalance_cost_nano(postings, prices),
        netting_nano(postings, prices),
        _bound_nano(import_wh, export_wh, prices, taken_wh),
    )
    return IntervalRecord(
        setup.start_of(i),
        setup.roster,
        prices,
        book,
        clearing,
        import_wh,
        export_wh,
        settled,
        {},
        clear_ns,
        accounts=accounts,
        grid=setup.grid,
        battery=battery,
    ).with_devices({**columns, **setup.behind_meter(i, columns)})


def _bound_nano(import_wh: IntArray, export_wh: IntArray, prices: AnyPrices, taken_wh: int | None) -> int:
    """The most that all homes together can save without moving a flow, with what their battery did. [nano-currency]

    It then counts what the battery would pay or get alone with the retailer, and what netting it with the homes adds.
    """
    if taken_wh is None:
        return bound_nano(import_wh, export_wh, prices)
    registers = np.array([max(taken_wh, 0)]), np.array([max(-taken_wh, 0)])
    together = np.append(import_wh, registers[0]), np.append(export_wh, registers[1])
    return bound_nano(*together, prices) + int(baseline_nano(*registers, prices)[0])


def posted(
    setup: Setup,
    i: int,
    book: OrderBook,
    clearing: Clearing,
    import_wh: IntArray,
    export_wh: IntArray,
    rule: ImbalanceRule | None = None,
    taken_wh: int | None = None,
    deemed: BoolArray | None = None,
) -> Postings:
    """The postings of a clearing of the i-th interval against the meters.

    A battery in common is settled as one home more. Of what a pool gains it has a share only where shares follow what
    is delivered: what it gains belongs to the homes.

    Args:
        import_wh: Metered import per home. [Wh]
        export_wh: Metered export per home. [Wh]
        rule: How imbalances are settled; as the scenario says when left out.
        taken_wh: What the battery in common took, negative where it gave. [Wh]
        deemed: Which homes have given no reading, so that their registers are `deemed_wh`; none, when left out.
    """
    rule, nodal, zonal = rule or setup.imbalance_rule, setup.nodal, setup.zonal
    takes_part, ranked = setup.takes_part(i), setup.members
    weight_wh = setup.weight_wh(i) if rule.needs_weights else None
    if taken_wh is not None:
        import_wh = np.append(import_wh, max(taken_wh, 0))
        export_wh = np.append(export_wh, max(-taken_wh, 0))
        takes_part = np.append(takes_part, rule.shares is Shares.DELIVERED)
        weight_wh = None if weight_wh is None else np.append(weight_wh, 0)
        deemed = None if deemed is None else np.append(deemed, False)
        ranked = np.arange(len(setup.roster) + 1)
    rank = arrival_order(setup.seed, setup.start_of(i), ranked) if rule.netted or nodal is not None else None
    terms = None if nodal is None else nodal.terms(book, clearing)
    found = settle(
        book,
        clearing,
        import_wh,
        export_wh,
        setup.tariffs.at(i),
        rule=rule,
        weight_wh=weight_wh,
        takes_part=takes_part,
        rank=rank,
        external=0 if taken_wh is not None else len(setup.accounts),
        grid=terms if zonal is None else zonal.terms(clearing),
        deemed=deemed,
    )
    return found if taken_wh is None else Postings(found.lines, len(setup.roster), 1)
