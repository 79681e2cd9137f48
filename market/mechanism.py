"""The registry of clearing mechanisms: a function, a name and what it promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from market.book import OrderBook
from market.clearing import Clearing, check_feasible
from market.errors import NotTaken
from market.parameters import GENERAL, RATIONING, Parameter
from market.registry import Registry
from market.rules import MarketRules
from market.schedule import check_schedule
from market.witness import Witness

Budget = Literal["strong", "weak", "deficit"]
Inputs = Literal["book", "metered", "events", "horizon"]
Scope = Literal["interval", "session", "horizon"]
TruthfulFor = Literal["participants", "single_orders", "unit_orders"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promises:
    """What a mechanism promises; the test suite holds every registered mechanism to it.

    Args:
        source: Where the rule is defined: paper and equation, or a sentence.
        uniform_price: Every accepted order trades at one price.
        budget_balance: strong: buyers pay what sellers get; weak: never less; deficit: the operator may have to add.
        individually_rational: Nobody trades at a price worse than the limit, fees included.
        no_worse_than_retailer: Where every limit lies between feed-in and import price, nobody who trades pays more or
            gets less than the retailer would ask or pay. Follows from individually_rational.
        truthful: No participant gains by misreporting its limits.
        truthful_for: Whom that holds for: every participant, those with one order each, or those with one order of
            one unit each.
        efficient: Welfare at stated limits is maximal.
        arrival_matters: The outcome depends on the order of arrival (`sequence`) beyond ties.
        listed_by_arrival: Where a case gives no times, its orders count as listed in order of arrival; also without
            `arrival_matters`, for rules whose source says who of equals comes first by place in the list.
        needs_grid: Uses the grid of the market, and the nodes of the orders as its nodes.
        needs_zones: Uses the zones of the market, and the nodes of the orders as its zones.
        takes_losses: Clears a grid whose lines lose energy; another is given none.
        local_market: Members trade with each other and net their imbalance inside the community; False for the
            no-market baseline, where each home settles all its energy with the retailer.
    """

    source: str
    uniform_price: bool = False
    budget_balance: Budget = "strong"
    individually_rational: bool = True
    no_worse_than_retailer: bool = True
    truthful: bool = False
    truthful_for: TruthfulFor = "participants"
    efficient: bool = False
    arrival_matters: bool = False
    listed_by_arrival: bool = False
    needs_grid: bool = False
    needs_zones: bool = False
    takes_losses: bool = False
    local_market: bool = True

    @property
    def needs_places(self) -> bool:
        """Whether the node of an order has a meaning: a node of the grid, or a zone."""
        return self.needs_grid or self.needs_zones


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A registered mechanism: `clear(book, rules)` is a pure function.

    Args:
        name: What a scenario and the command line call it.
        clear: Clears one order book.
        promises: Its declared properties.
        parameters: All it reads from the rules; any other parameter is refused at the edge.
        inputs: What a case holds for it: a book of orders, metered quantities, events in order of arrival, or the
            orders of a horizon. Metered quantities and events may also be given as a book.
        order_kinds: Kinds of orders it takes, see `market.orders`; a book with another kind is refused.
        scope: What one clearing covers: an interval, a session of rounds, or a horizon of intervals.
        share: How it prices metered quantities of an interval: `share(supply_wh, demand_wh, retail=, feed_in=, ...)`
            with its own parameters by name, to a `market.auctions.local_price.Shared`. None for the baseline without a
            local market, which bills each home alone.
        check: Checks a clearing and what it proves without a solver, `check(book, clearing, rules)`; None where there
            is no more to check than every clearing must keep to.
        witness: How its clearings are proven to whoever has no solver; None where they are computed without one, or
            have to be computed again.
    """

    name: str
    clear: Callable[[OrderBook, MarketRules], Clearing]
    promises: Promises
    parameters: tuple[Parameter, ...] = GENERAL
    inputs: Inputs = "book"
    order_kinds: frozenset[str] = frozenset({"simple"})
    scope: Scope = "interval"
    share: Callable[..., Any] | None = None
    check: Callable[[OrderBook, Clearing, MarketRules], None] | None = None
    witness: Witness | None = None

    def __post_init__(self) -> None:
        if self.inputs == "metered" and self.share is None and self.promises.local_market:
            raise ValueError(
                f"the mechanism {self.name!r} takes metered quantities and has no `share`; give it one"
            )
        names = [getattr(parameter, "name", None) for parameter in self.parameters]
        if len(set(names)) < len(names):
            raise ValueError(f"the mechanism {self.name!r} has two parameters of one name; rename one")

    @property
    def follows_rationing(self) -> bool:
        """Whether the rationing that a market declares reaches it; otherwise it rations by its own rule."""
        return any(parameter.field == RATIONING.field for parameter in self.parameters)

    @property
    def summary(self) -> str:
        """What it promises and where it is defined, in one line."""
        p = self.promises
        words = [f"budget {p.budget_balance}"]
        for name in (
            "individually_rational",
            "efficient",
            "truthful",
            "uniform_price",
            "needs_grid",
            "needs_zones",
        ):
            words += [name.replace("_", " ")] if getattr(p, name) else []
        if not p.individually_rational:
            words.insert(1, "not individually rational")
        if p.truthful and p.truthful_for != "participants":
            words[words.index("truthful")] += f" for {p.truthful_for.replace('_', ' ')}"
        return f"{', '.join(words)}. {p.source}"


def refuse_unused(mechanism: Mechanism, book: OrderBook, rules: MarketRules) -> None:
    """Raise if a book or its rules hold what the mechanism would silently ignore.

    Raises:
        NotTaken: An order of a kind that it does not take, or a grid or losses that it does not use.
    """
    strange = book.kinds - mechanism.order_kinds
    if strange:
        raise NotTaken(
            f"{mechanism.name} takes {' and '.join(sorted(mechanism.order_kinds))} orders, and the book holds"
            f" {' and '.join(sorted(strange))} orders; choose a mechanism that takes them"
        )
    if rules.grid is not None and not mechanism.promises.needs_grid:
        raise NotTaken(
            f"{mechanism.name} does not use a grid; leave it out or choose a mechanism that uses one"
        )
    if rules.grid is not None and rules.grid.lines.lose and not mechanism.promises.takes_losses:
        raise NotTaken(
            f"{mechanism.name} clears no losses of lines; remove 'loss' or choose a mechanism that takes losses"
        )
    if rules.zones is not None and not mechanism.promises.needs_zones:
        raise NotTaken(
            f"{mechanism.name} does not use zones; leave them out or choose a mechanism that uses them"
        )


MECHANISMS: Registry[Mechanism] = Registry(
    "mechanism",
    folders=("market.mechanisms", "optimizer.mechanisms"),
    group="wattswap.mechanisms",
    item=Mechanism,
)


def clear_checked(mechanism: Mechanism, book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear a book, and check that the result is feasible.

    Raises:
        InfeasibleClearing: One of our mechanisms broke a rule of the market.
        PluginFailed: A third-party one did, or raised.
    """
    with MECHANISMS.held(mechanism):
        clearing = mechanism.clear(book, rules)
        if getattr(clearing, "schedule_wh", None) is None:
            check_feasible(book, clearing, limits=mechanism.promises.individually_rational)
        else:
            check_schedule(book, clearing)
    return clearing
