"""Shrink a failing case to a minimal counterexample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from market.book import Order, OrderBook
from market.checking.random_books import UNIT_WH, named, renumbering
from market.mechanism import Mechanism
from market.parameters import rules_with
from market.rules import MarketRules

Fails = Callable[[OrderBook, MarketRules], bool]


def shrink(
    mechanism: Mechanism, book: OrderBook, rules: MarketRules, fails: Fails, most_tries: int = 3_000
) -> tuple[OrderBook, MarketRules]:
    """Drop orders, reset parameters, and simplify numbers, greedily, until no such step still fails.

    Args:
        mechanism: Its parameters are set to their defaults where that still fails.
        book: A book that fails.
        rules: Under these rules.
        fails: Whether a book still fails in the same way; exceptions count as not.
        most_tries: Calls of `fails` after which what has been reached is returned.
    """
    orders = [book.order(row) for row in range(len(book))]
    tries = 0

    def still(smaller: list[Order], plainer: MarketRules) -> bool:
        nonlocal tries
        tries += 1
        if tries > most_tries:
            return False
        try:
            return fails(named(smaller), _renumbered(mechanism, plainer, smaller))
        except KeyboardInterrupt:
            raise
        except BaseException:  # a smaller book on which the mechanism trips is another failure
            return False

    changed = True
    while changed and tries <= most_tries:
        changed = False
        for make in (_fewer_orders, _bare_orders, _plainer_prices, _plainer_quantities):
            step = True
            while step:
                step = False
                for smaller in make(orders):
                    if still(smaller, rules):
                        orders, changed, step = smaller, True, True
                        break
        for plainer in _plainer_rules(mechanism, rules):
            if still(orders, plainer):
                rules, changed = plainer, True
                break
    return named(orders), _renumbered(mechanism, rules, orders)


def _renumbered(mechanism: Mechanism, rules: MarketRules, orders: list[Order]) -> MarketRules:
    """Name participants in the parameters as `named` does."""
    index = renumbering(orders)
    for parameter in mechanism.parameters:
        halves = parameter.of(rules)
        if parameter.kind == "halves" and halves is not None:
            left = tuple(tuple(index[who] for who in half if who in index) for half in halves)
            rules = rules_with(rules, {parameter.field: left})
    return rules


def _fewer_orders(orders: list[Order]) -> Iterator[list[Order]]:
    half = len(orders) // 2
    if half > 1:
        yield orders[:half]
        yield orders[half:]
    for i in range(len(orders)):
        yield orders[:i] + orders[i + 1 :]


def _bare_orders(orders: list[Order]) -> Iterator[list[Order]]:
    """Without requirements and kinds of energy, and arrivals as listed."""
    bare = [replace(o, energy_type="", requirements=()) for o in orders]
    if bare != orders:
        yield bare
    listed = [replace(o, sequence=i) for i, o in enumerate(orders)]
    if listed != orders:
        yield listed


def _plainer_prices(orders: list[Order]) -> Iterator[list[Order]]:
    """All limits at once by their rank, then one at a time: as another limit, with fewer digits, nearer to 0."""
    limits = sorted({o.limit_micro_per_kwh for o in orders})
    for first in (0, 1):
        rank = {limit: 100_000 * (first + i) for i, limit in enumerate(limits)}
        plainer = [_plainness(new) < _plainness(old) for old, new in rank.items() if new != old]
        if plainer and all(plainer):
            yield [replace(o, limit_micro_per_kwh=rank[o.limit_micro_per_kwh]) for o in orders]
    for i, order in enumerate(orders):
        now = order.limit_micro_per_kwh
        rounded = {round(now / digit) * digit for digit in (1_000_000, 100_000, 10_000, 1_000, 100, 10)}
        candidates = {*rounded, *limits, 100_000, 200_000, 300_000, 400_000}
        for limit in sorted(candidates, key=_plainness):
            if _plainness(limit) < _plainness(now):
                yield [*orders[:i], replace(order, limit_micro_per_kwh=limit), *orders[i + 1 :]]


def _plainness(number: int) -> tuple[bool, int, int]:
    """Smaller is plainer: not negative, few digits, small."""
    return number < 0, len(str(abs(number)).rstrip("0")), abs(number)


def _plainer_quantities(orders: list[Order]) -> Iterator[list[Order]]:
    """One unit of 1 kWh is the plainest quantity; then whole kWh; then fewer Wh."""
    for i, order in enumerate(orders):
        now = order.energy_wh
        candidates = {UNIT_WH, 2 * UNIT_WH, 3 * UNIT_WH, -(-now // UNIT_WH) * UNIT_WH, 1, now // 2, now - 1}
        for energy in sorted(candidates, key=_quantity_plainness):
            if energy > 0 and _quantity_plainness(energy) < _quantity_plainness(now):
                yield [*orders[:i], replace(order, energy_wh=energy), *orders[i + 1 :]]


def _quantity_plainness(energy_wh: int) -> tuple[bool, int]:
    return energy_wh % UNIT_WH != 0, energy_wh


def _plainer_rules(mechanism: Mechanism, rules: MarketRules) -> Iterator[MarketRules]:
    bare = MarketRules()
    for plainer in (
        replace(rules, retail_micro_per_kwh=None),
        replace(rules, feed_in_micro_per_kwh=None),
        replace(rules, k_ppm=bare.k_ppm),
        replace(rules, seed=bare.seed),
    ):
        if plainer != rules:
            yield plainer
    for parameter in mechanism.parameters:
        if parameter.of(rules) != parameter.default:
            yield rules_with(rules, {parameter.field: parameter.default})
