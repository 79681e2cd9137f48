"""Seeded random books and rules for the property kit: with many ties, zero quantities and other edge cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from market.book import Order, OrderBook, Requirement, Side
from market.checking.random_grids import on_a_grid
from market.checking.random_zones import in_zones
from market.mechanism import Mechanism
from market.parameters import Parameter, case_defaults, rules_with
from market.rules import MarketRules, Value
from market.units import PPM, BoolArray, IntArray

UNIT_WH = 1_000
"""The unit of books of unit orders, and the default unit of the mechanisms that trade units."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHARES_OF_BIDS = (0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.6, 0.4, 0.6, 0.2, 0.8, 0.0, 1.0)
"""0 and 1 make one-sided books; others do so too where orders are few."""
_K_PPM = (0, PPM // 3, PPM // 2, PPM)


def random_case(
    mechanism: Mechanism,
    seed: int,
    number: int,
    most_orders: int = 40,
    *,
    units: bool = False,
    plain: bool = False,
    given: Mapping[str, Value] | None = None,
) -> tuple[OrderBook, MarketRules]:
    """Draw book `number` of a seed and rules for it; every number is a draw of its own, so any can be repeated.

    A mechanism that needs a grid or zones gets random ones with the rules, and orders in them.

    Args:
        mechanism: Its declared parameters are drawn: half of the time the defaults, else anything in their range.
        seed: At least 0.
        number: At least 0.
        most_orders: Most orders of the book; half of the books have 8 at most.
        units: Only multiples of a unit, most of them one unit; see `unit_wh`.
        plain: The same book under rules that nobody can mind: defaults, and outside prices that are not negative.
        given: Parameters that are not drawn, by `Parameter.field`.
    """
    random = np.random.default_rng([seed, number, most_orders, int(units)])
    fixed = {p.field: given[p.field] for p in mechanism.parameters if given and p.field in given}
    unit = unit_wh(mechanism, rules_with(MarketRules(), fixed)) if units else 0
    book = _random_book(random, most_orders, unit)
    rules = rules_with(_random_rules(mechanism, book, random, plain), fixed)
    if mechanism.promises.needs_grid:
        draw = np.random.default_rng([seed, number, most_orders, int(units), 1])
        book, grid = on_a_grid(book, draw, losses=mechanism.promises.takes_losses)
        rules = replace(rules, grid=grid)
    if mechanism.promises.needs_zones:
        book, zones = in_zones(book, np.random.default_rng([seed, number, most_orders, int(units), 2]))
        rules = replace(rules, zones=zones)
    return book, rules


def unit_wh(mechanism: Mechanism, rules: MarketRules) -> int:
    """The size of a unit order under these rules: the mechanism's parameter of this kind, or `UNIT_WH`. [Wh]"""
    own = (parameter.of(rules) for parameter in mechanism.parameters if parameter.kind == "energy")
    return next((unit for unit in own if isinstance(unit, int)), UNIT_WH)


def renumbering(orders: Iterable[Order]) -> dict[int, int]:
    """New indices of the participants that have orders: the same sequence, without gaps."""
    return {who: i for i, who in enumerate(sorted({order.participant for order in orders}))}


def named(orders: Iterable[Order]) -> OrderBook:
    """The book of these orders, with participants renumbered without gaps, arrivals too, and ids such as "b1"."""
    rows = sorted(orders, key=lambda order: (order.participant, order.sequence))
    index = renumbering(rows)
    rank = {when: i for i, when in enumerate(sorted({order.sequence for order in rows}))}
    count = dict.fromkeys(index, 0)
    found = []
    for order in rows:
        count[order.participant] += 1
        who = index[order.participant]
        found.append(
            replace(
                order,
                id=f"{participant_name(who)}{count[order.participant]}",
                participant=who,
                sequence=rank[order.sequence],
                requirements=tuple(
                    # A partner without an order can never be met.
                    Requirement(tuple(index.get(p, -1) for p in need.partners), need.energy_types)
                    for need in order.requirements
                ),
            )
        )
    return OrderBook.from_orders(found)


def participant_name(index: int) -> str:
    """A short name; names sort as their indices do."""
    return _LETTERS[index] if index < len(_LETTERS) else f"z{index:03d}"


def _random_book(random: np.random.Generator, most_orders: int, unit: int) -> OrderBook:
    few = random.random() < 0.5
    count = int(random.integers(0, 1 + (min(8, most_orders) if few else most_orders)))
    alone = random.random() < 0.5
    people = int(random.integers(1, max(2, count + 1)))
    participant = np.arange(count) if alone else random.integers(0, people, count)
    share = random.choice(_SHARES_OF_BIDS)
    both_sides = random.random() < 0.3
    is_buy = random.random(count) < share if both_sides else (random.random(count) < share)[participant]
    energy, limit = _energies(random, count, unit), _limits(random, is_buy)
    arrival = random.permutation(count)
    picky = random.random() < 0.2
    return named(
        Order(
            str(i),
            int(participant[i]),
            Side.BUY if is_buy[i] else Side.SELL,
            int(energy[i]),
            int(limit[i]),
            int(arrival[i]),
            0,
            "PV" if picky and not is_buy[i] and random.random() < 0.5 else "",
            _requirements(random, participant) if picky and random.random() < 0.4 else (),
        )
        for i in range(count)
    )


def _energies(random: np.random.Generator, count: int, unit: int) -> IntArray:
    drawn: IntArray
    if unit:
        drawn = unit * random.choice([1, 1, 1, 1, 2, 3, 0], count)
    else:
        least, most, step = ((0, 4, 1), (0, 3, UNIT_WH), (1, 5_000, 1), (0, 40, 50))[
            int(random.integers(0, 4))
        ]
        drawn = step * random.integers(least, most + 1, count)
        if random.random() < 0.3:  # equal quantities: no order is cut, and a whole interval of prices clears
            drawn = np.full(count, step * max(1, least))
        drawn = np.where(random.random(count) < 0.05, 0, drawn)
    return drawn


def _limits(random: np.random.Generator, is_buy: BoolArray) -> IntArray:
    """Limits on a grid: three prices make ties and touching orders the rule, more than orders make none."""
    count = len(is_buy)
    lowest = int(random.choice([0, 80_000, -150_000, -5]))
    step = int(random.choice([10_000, 10_000, 1, 33_333]))
    prices = int(random.choice([3, 8, 30]))
    drawn: IntArray = random.integers(0, prices, count)
    if random.random() < 0.3:
        prices = 3 * count
        drawn = random.permutation(prices)[:count]
    if random.random() < 0.5:  # bids above most offers, so that much is traded
        drawn = drawn + is_buy * (prices // 2)
    return lowest + step * drawn


def _requirements(random: np.random.Generator, participant: IntArray) -> tuple[Requirement, ...]:
    partners = tuple(sorted({int(p) for p in random.choice(participant, 2)}))
    one = Requirement(partners if random.random() < 0.5 else (), ("PV",) if random.random() < 0.5 else ())
    return (one, Requirement(partners)) if random.random() < 0.3 else (one,)


def _random_rules(
    mechanism: Mechanism, book: OrderBook, random: np.random.Generator, plain: bool
) -> MarketRules:
    limits = book.limit_micro_per_kwh[book.energy_wh > 0]
    lo, hi = (int(limits.min()), int(limits.max())) if len(limits) else (0, 0)
    margin = int(random.choice([0, 0, 1, 50_000]))
    if random.random() < 0.2 and len(limits):  # some limits lie outside
        lo, hi = sorted(int(p) for p in random.choice(limits, 2))
        margin = 0
    retail, feed_in = (max(hi, 1), max(lo, 0)) if plain else (hi + margin, lo - margin)
    rules = MarketRules(retail_micro_per_kwh=retail, feed_in_micro_per_kwh=feed_in)
    rules = rules_with(rules, case_defaults(mechanism.parameters))
    drawn = random.random() < 0.5 and not plain
    for parameter in mechanism.parameters:
        if parameter.kind == "energy":
            rules = rules_with(rules, {parameter.field: _unit(parameter, book)})
        elif parameter.kind == "nothing" or parameter.run_only:
            continue
        elif drawn and parameter.field not in ("solver", "retail_micro_per_kwh", "feed_in_micro_per_kwh"):
            rules = rules_with(rules, {parameter.field: _random_value(parameter, rules, book, random)})
        elif parameter.kind == "price" and parameter.of(rules) is None and not plain:
            # A price without a default may be one that the rule cannot do without.
            rules = rules_with(
                rules, {parameter.field: (None, lo, (lo + hi) // 2)[int(random.integers(0, 3))]}
            )
    return rules


def _unit(parameter: Parameter, book: OrderBook) -> int:
    default = int(parameter.default) if isinstance(parameter.default, int) else 1
    if not (book.energy_wh % default).any():
        return default
    return parameter.in_run if isinstance(parameter.in_run, int) else 1


def _random_value(
    parameter: Parameter, rules: MarketRules, book: OrderBook, random: np.random.Generator
) -> Value:
    if parameter.kind == "share":
        return int(random.choice(_K_PPM))
    if parameter.kind == "whole":
        return parameter.least + int(random.integers(0, 20))
    if parameter.kind == "choice":
        return str(random.choice(parameter.choices))
    if parameter.kind == "price":
        lo, hi = rules.feed_in_micro_per_kwh or 0, rules.retail_micro_per_kwh or 0
        price = int(random.integers(min(lo, hi), max(lo, hi) + 1))
        return price if random.random() < 0.7 else parameter.default
    people = np.unique(book.participant)
    left = random.random(len(people)) < 0.5
    halves = (tuple(people[left].tolist()), tuple(people[~left].tolist()))
    return halves if random.random() < 0.7 else parameter.default
