"""The registry of clearing mechanisms: a function, a name and what it promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from market.book import OrderBook
from market.clearing import Clearing
from market.errors import DuplicateMechanism, NotTaken, UnknownMechanism
from market.parameters import GENERAL, Parameter
from market.rules import MarketRules

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
        no_worse_than_retailer: Where every limit lies between feed-in and retail price, nobody who trades pays more or
            gets less than the retailer would ask or pay. Follows from individually_rational.
        truthful: No participant gains by misreporting its limits.
        truthful_for: Whom that holds for: every participant, those with one order each, or those with one order of
            one unit each.
        efficient: Welfare at stated limits is maximal.
        arrival_matters: The outcome depends on the order of arrival (`sequence`) beyond ties.
        listed_by_arrival: Where a case gives no times, its orders count as listed in order of arrival; also without
            `arrival_matters`, for rules whose source says who of equals comes first by place in the list.
        needs_grid: Uses the nodes of the orders.
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
    local_market: bool = True


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A registered clearing rule: `clear(book, rules)` is a pure function.

    Args:
        name: What a scenario and the command line call it.
        clear: The rule.
        promises: What it is held to.
        parameters: All it reads from the rules; any other parameter is refused at the edge.
        inputs: What a case holds for it: a book of orders, metered quantities, events in order of arrival, or the
            orders of a horizon. Metered quantities and events may also be given as a book.
        order_kinds: Kinds of orders it takes, see `market.orders`; a book with another kind is refused.
        scope: What one clearing covers: an interval, a session of rounds, or a horizon of intervals.
    """

    name: str
    clear: Callable[[OrderBook, MarketRules], Clearing]
    promises: Promises
    parameters: tuple[Parameter, ...] = GENERAL
    inputs: Inputs = "book"
    order_kinds: frozenset[str] = frozenset({"simple"})
    scope: Scope = "interval"


def refuse_unused(mechanism: Mechanism, book: OrderBook, rules: MarketRules) -> None:
    """Raise where a book or its rules hold what the mechanism would pass over in silence.

    Raises:
        NotTaken: An order of a kind that it does not take, or a grid that it does not use.
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


_REGISTRY: dict[str, Mechanism] = {}


def register(mechanism: Mechanism) -> Mechanism:
    """Add a mechanism under its name and return it.

    Raises:
        DuplicateMechanism: The name is taken.
    """
    if mechanism.name in _REGISTRY:
        raise DuplicateMechanism(mechanism.name)
    _REGISTRY[mechanism.name] = mechanism
    return mechanism


def forget(name: str) -> None:
    """Take a mechanism out, so that its name can be registered anew; for notebooks, where code is run again."""
    _REGISTRY.pop(name, None)


def get(name: str) -> Mechanism:
    """Return the mechanism of this name.

    Raises:
        UnknownMechanism: Names the nearest match and all known ones.
    """
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnknownMechanism(name, _REGISTRY) from None


def registered() -> dict[str, Mechanism]:
    """All mechanisms by name, in alphabetical order."""
    return dict(sorted(_REGISTRY.items()))
