"""The property kit: the properties of a mechanism, checked on any book; pure, for built-in and own mechanisms.

A property is a function that examines a `Trial`, one cleared book, and returns a sentence if the property does not
hold there. `market.checking.check` runs them on many random books and shrinks what fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from market.auctions import zonal
from market.auctions.losses import at_least_zero
from market.auctions.network import network_of
from market.auctions.nodal_proof import check
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.certificate import DualPrice, NodalPrices, OptimalityCertificate, WithinRule, ZonePrices
from market.checking.random_books import participant_name
from market.checking.trial import Trial, difference
from market.clearing import certify
from market.errors import InfeasibleClearing
from market.grid import Grid
from market.mechanism import Promises
from market.parameters import rules_with
from market.rules import MarketRules
from market.units import IntArray, money, price
from market.zones import Zones


@dataclass(frozen=True, slots=True)
class Property:
    """Something that holds for a clearing or does not.

    Args:
        name: The field of `Promises` that promises it, or a name of its own where every mechanism has to have it.
        says: What it says, in a few words.
        promised: Whether a mechanism with these promises has to have it.
        fault: A sentence about what is wrong, or None.
        listed: Whether it has a meaning for a mechanism that does not promise it.
    """

    name: str
    says: str
    promised: Callable[[Promises], bool]
    fault: Callable[[Trial], str | None]
    listed: bool = True


# ---- properties that every mechanism has to have


def _feasible(t: Trial) -> str | None:
    accepted, book = t.clearing.accepted_wh, t.book
    for row in np.flatnonzero((accepted < 0) | (accepted > book.energy_wh))[:1].tolist():
        return f"{_order(book, row)} is of {book.energy_wh[row]} Wh, but {accepted[row]} Wh are accepted"
    residual = int((book.side * accepted).sum()) + t.clearing.losses_wh
    if residual or t.clearing.losses_wh < 0:
        lost = f", with {t.clearing.losses_wh} Wh lost" if t.clearing.losses_wh else ""
        return f"bought minus sold is {residual} Wh{lost}; it must be 0"
    return None


def _surplus_stated(t: Trial) -> str | None:
    surplus, declared = int(t.clearing.payment_nano(t.book).sum()), t.clearing.operator_surplus_nano
    if surplus == declared:
        return None
    return f"buyers pay {money(surplus):g} more than sellers get, but a surplus of {money(declared):g} is declared"


def _welfare_stated(t: Trial) -> str | None:
    book, stated = t.book, t.clearing.welfare_nano
    welfare = int((book.side * t.clearing.accepted_wh * book.limit_micro_per_kwh).sum())
    if welfare != stated:
        return f"welfare at stated limits is {money(welfare):g}, but {money(stated):g} is declared"
    if t.rules.grid is not None and t.rules.grid.lines.lose:
        # What is lost of an offer below 0 is a gain at its stated limit, which the market does not count.
        book = at_least_zero(book)
        welfare = int((book.side * t.clearing.accepted_wh * book.limit_micro_per_kwh).sum())
    best = clear_exact(book, t.rules).welfare_nano
    return f"welfare {money(welfare):g} is above the optimum {money(best):g}" if welfare > best else None


def _prices_stated(t: Trial) -> str | None:
    trades = bool(t.clearing.accepted_wh.any())
    for interval in t.clearing.node_price:
        if interval is not None and not interval.lo <= interval.price <= interval.hi:
            return f"the price {price(interval.price):g} lies outside its own interval"
        if interval is not None and not trades:
            return f"nothing trades, but there is a price {price(interval.price):g}; it must be None"
    return None


def _pairs(t: Trial) -> str | None:
    pairs, book = t.clearing.trades, t.book
    if pairs is None:
        return None
    accepted = np.zeros(len(book), dtype=np.int64)
    for rows, side, what in ((pairs.buy, 1, "buys"), (pairs.sell, -1, "sells")):
        if (book.side[rows] != side).any():
            return f"a trade names an order as one that {what} and it does not"
        np.add.at(accepted, rows, pairs.energy_wh)
    wrong = np.flatnonzero(accepted != t.clearing.accepted_wh)[:1].tolist()
    for row in wrong:
        return (
            f"the trades of {_order(book, row)} add up to {accepted[row]} Wh,"
            f" but {t.clearing.accepted_wh[row]} Wh are accepted"
        )
    return "a trade of no energy or less" if (pairs.energy_wh <= 0).any() else None


def _certificate(t: Trial) -> str | None:
    proof = t.clearing.certificate
    if proof is None:
        return None
    if t.rules.grid is not None:
        return _nodal_fault(t, t.rules.grid)
    if isinstance(proof, ZonePrices) and t.rules.zones is not None:
        return _zonal_fault(t, t.rules.zones)
    if isinstance(proof, DualPrice):
        right = certify(t.book, t.clearing, proof.dual_price_micro_per_kwh)
        same = (proof.gap_nano, proof.residual_wh) == (right.gap_nano, right.residual_wh)
        return None if same else f"states {proof}; recomputed it is {right}"
    if not isinstance(proof, OptimalityCertificate) or not proof.holds:
        return f"states {proof}, which proves nothing"
    if isinstance(proof, WithinRule):
        return None  # the optimum within constraints that the book does not hold
    # That it holds is what its class says, which may be the mechanism's own: the optimum of such a book is known.
    gap = clear_exact(t.book, t.rules).welfare_nano - t.clearing.welfare_nano
    return f"states {proof}, but {money(gap):g} more welfare is possible" if gap else None


def _nodal_fault(t: Trial, grid: Grid) -> str | None:
    """What is wrong with a clearing on a grid, recomputed from the book and the grid."""
    try:
        right = check(t.book, grid, t.clearing)
    except InfeasibleClearing as wrong:
        return str(wrong)
    return (
        None if right.holds else f"states prices by node that prove nothing: the gap is {right.gap_nano} nano"
    )


def _zonal_fault(t: Trial, zones: Zones) -> str | None:
    """What is wrong with a clearing between zones, recomputed from the book and the fees."""
    try:
        right = zonal.check(t.book, zones, t.clearing)
    except InfeasibleClearing as wrong:
        return str(wrong)
    return (
        None if right.holds else f"states prices by zone that prove nothing: the gap is {right.gap_nano} nano"
    )


def _within_grid(t: Trial) -> str | None:
    if t.rules.grid is None:
        return None
    network = network_of(t.rules.grid)
    if t.rules.grid.lines.lose:
        stated = np.abs(np.asarray(t.clearing.details.get("line_flow_wh", []), dtype=np.float64))
        if stated.shape != network.limit_wh.shape:
            return "no flow of each line is stated on a grid with losses"
        over = np.flatnonzero(~(stated <= network.limit_wh + network.noise[: len(stated)])).tolist()
        return f"{network.name_of(over[0])} is passed" if over else None
    room = network.room(network.state(network.load(t.book, t.clearing.accepted_wh)))
    broken = np.flatnonzero(room < -network.noise).tolist()
    return f"{network.name_of(broken[0])} is passed" if broken else None


def _repeatable(t: Trial) -> str | None:
    for again in ("the next time", "after another book"):
        other = difference(t.clearing, t.mechanism.clear(t.book, t.rules))
        if other:
            return f"the same book and rules give another {other} {again}"
        # Whatever was kept from this book is now that of another.
        t.mechanism.clear(replace(t.book, limit_micro_per_kwh=t.book.limit_micro_per_kwh[::-1]), t.rules)
    return None


def _listing(t: Trial) -> str | None:
    orders = [replace(t.book.order(row), id=f"{len(t.book) - row:03d}") for row in range(len(t.book))]
    other = difference(t.clearing, t.mechanism.clear(OrderBook.from_orders(orders[::-1]), t.rules))
    return f"listing the orders in reverse under other ids gives another {other}" if other else None


def _arrival(t: Trial) -> str | None:
    """Without ties, another arrival may move the odd Wh of equal shares alone.

    Arrivals within a participant keep their order.
    """
    limits = t.book.limit_micro_per_kwh[t.book.energy_wh > 0]
    if t.rules.rationing == "time" or len(np.unique(limits)) < len(limits):
        return None
    later = np.lexsort((t.book.sequence, -t.book.participant))
    sequence = np.empty_like(t.book.sequence)
    sequence[later] = np.arange(len(t.book))
    sequence.flags.writeable = False
    later_clearing = t.mechanism.clear(replace(t.book, sequence=sequence), t.rules)
    other = difference(t.clearing, later_clearing)
    moved = np.abs(later_clearing.accepted_wh - t.clearing.accepted_wh)
    if not other or (moved.max() == 1 and later_clearing.node_price == t.clearing.node_price):
        return None
    return f"no limits tie, and yet another order of arrival gives another {other}"


# ---- promises


def _individually_rational(t: Trial) -> str | None:
    book, paid, accepted = t.book, t.clearing.price_micro_per_kwh, t.clearing.accepted_wh
    worse = (book.side * (paid - book.limit_micro_per_kwh) > 0) & (accepted > 0)
    for row in np.flatnonzero(worse)[:1].tolist():
        limit = price(int(book.limit_micro_per_kwh[row]))
        return f"{_order(book, row)} trades at {price(int(paid[row])):g}; its limit is {limit:g}"
    return _beyond(t, book.limit_micro_per_kwh, "its energy is worth")


def _no_worse_than_retailer(t: Trial) -> str | None:
    book, retail, feed_in = t.book, t.rules.retail_micro_per_kwh, t.rules.feed_in_micro_per_kwh
    limits = book.limit_micro_per_kwh[book.energy_wh > 0]
    if retail is None or feed_in is None or ((limits < feed_in) | (limits > retail)).any():
        return None
    return _beyond(t, np.where(book.side > 0, retail, feed_in), "the retailer's terms make it")


def _beyond(t: Trial, terms_micro_per_kwh: IntArray, says: str) -> str | None:
    """Return who pays more in total than the value of its accepted energy on these terms."""
    worth, pays = np.zeros((2, int(t.book.participant.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(worth, t.book.participant, t.book.side * t.clearing.accepted_wh * terms_micro_per_kwh)
    np.add.at(pays, t.book.participant, t.clearing.payment_nano(t.book))
    for who in np.flatnonzero(pays > worth)[:1].tolist():
        name = participant_name(who)
        return f"participant {name} pays {money(int(pays[who])):g} in all; {says} {money(int(worth[who])):g}"
    return None


def _budget_balance(t: Trial) -> str | None:
    surplus, promise = int(t.clearing.payment_nano(t.book).sum()), t.mechanism.promises.budget_balance
    if surplus == 0 or (promise == "weak" and surplus > 0):
        return None
    keeps = "keeps" if surplus > 0 else "adds"
    return f"the operator {keeps} {money(abs(surplus)):g}"


def _uniform_price(t: Trial) -> str | None:
    prices = set(t.clearing.price_micro_per_kwh[t.clearing.accepted_wh > 0].tolist())
    one = t.clearing.node_price[0]
    if prices == (set() if one is None else {one.price}) and not t.clearing.charges_nano.any():
        return None
    stated = "no price" if one is None else f"{price(one.price):g}"
    return f"orders trade at {sorted(price(p) for p in prices)}, and {stated} is stated as the one price"


def _efficient(t: Trial) -> str | None:
    if t.rules.grid is not None:
        if not isinstance(t.clearing.certificate, NodalPrices):
            return "no certificate with a price for each node, which alone could prove it"
        return _nodal_fault(t, t.rules.grid)
    best = clear_exact(t.book, t.rules)
    gap = best.welfare_nano - t.clearing.welfare_nano
    if gap:
        return f"welfare is {money(t.clearing.welfare_nano):g}; {money(best.welfare_nano):g} is possible"
    # A price at which nobody wants to trade differently: proves the optimum without trusting either computation.
    own = t.clearing.certificate
    proof = own if isinstance(own, DualPrice) else best.certificate
    dual = proof.dual_price_micro_per_kwh if isinstance(proof, DualPrice) else 0
    gap = certify(t.book, t.clearing, dual).gap_nano
    return f"the price {price(dual):g} leaves a gap of {money(gap):g} to the optimum" if gap else None


def _no_local_trade(t: Trial) -> str | None:
    traded = t.clearing.traded_wh(t.book)
    return f"{traded} Wh trade between members" if traded else None


# ---- observations


def _anonymous(t: Trial) -> str | None:
    people = int(t.book.participant.max(initial=-1)) + 1
    orders = [t.book.order(row) for row in range(len(t.book))]
    turned = OrderBook.from_orders(replace(o, participant=people - 1 - o.participant) for o in orders)
    rows = np.argsort(people - 1 - t.book.participant, kind="stable")
    same = t.mechanism.clear(turned, t.rules).accepted_wh
    return None if np.array_equal(t.clearing.accepted_wh[rows], same) else "other names, other energies"


def _scales_with_prices(t: Trial) -> str | None:
    times = 3
    limit = t.book.limit_micro_per_kwh * times
    limit.flags.writeable = False
    rules = _scaled(t, "price", times)
    scaled = t.mechanism.clear(replace(t.book, limit_micro_per_kwh=limit), rules)
    if not np.array_equal(scaled.accepted_wh, t.clearing.accepted_wh):
        return "limits x 3 change the accepted energies"
    off = np.abs(scaled.payment_nano(t.book) - times * t.clearing.payment_nano(t.book))
    rounding = (times + 1) * t.clearing.accepted_wh + times  # prices are whole micro-currency
    return "limits x 3 do not give money x 3" if (off > rounding).any() else None


def _scales_with_energy(t: Trial) -> str | None:
    times = 3
    energy = t.book.energy_wh * times
    energy.flags.writeable = False
    rules = _scaled(t, "energy", times)
    scaled = t.mechanism.clear(replace(t.book, energy_wh=energy), rules)
    if (np.abs(scaled.accepted_wh - times * t.clearing.accepted_wh) > times).any():
        return "energies x 3 do not give accepted energies x 3"
    both = (scaled.accepted_wh > 0) & (t.clearing.accepted_wh > 0)
    a, b = scaled.price_micro_per_kwh[both], t.clearing.price_micro_per_kwh[both]
    return "energies x 3 change a price" if (a != b).any() else None


def _scaled(t: Trial, kind: str, times: int) -> MarketRules:
    rules = t.rules
    for name in ("retail_micro_per_kwh", "feed_in_micro_per_kwh"):
        if kind == "price" and getattr(rules, name) is not None:
            rules = replace(rules, **{name: times * getattr(rules, name)})
    for parameter in t.mechanism.parameters:
        value = parameter.of(t.rules)
        if parameter.kind == kind and not parameter.is_shared and isinstance(value, int):
            rules = rules_with(rules, {parameter.field: times * value})
    return rules


def _order(book: OrderBook, row: int) -> str:
    return f"order {book.ids[row] if len(book.ids) else row}"


def _always(promises: Promises) -> bool:
    return True


def _never(promises: Promises) -> bool:
    return False


PROPERTIES = (
    Property("feasible", "accepted between 0 and the order, bought = sold", _always, _feasible),
    Property(
        "surplus_stated", "the declared operator surplus is what payments leave", _always, _surplus_stated
    ),
    Property("welfare_stated", "welfare is stated right and not above the optimum", _always, _welfare_stated),
    Property(
        "price_stated", "a price lies in its interval; none where nothing trades", _always, _prices_stated
    ),
    Property("pairs", "trades, where there are any, add up to the accepted energies", _always, _pairs),
    Property("certificate", "a certificate, where there is one, is right", _always, _certificate),
    Property(
        "within_grid", "no limit of the grid is passed", lambda p: p.needs_grid, _within_grid, listed=False
    ),
    Property("repeatable", "the same book and rules give the same clearing", _always, _repeatable),
    Property("listing", "the order of listing and the ids change nothing", _always, _listing),
    Property("arrival", "arrival decides ties at most", lambda p: not p.arrival_matters, _arrival),
    Property(
        "individually_rational",
        "nobody trades at a price worse than the limit, fees included",
        lambda p: p.individually_rational,
        _individually_rational,
    ),
    Property(
        "no_worse_than_retailer",
        "nobody pays more or gets less than at the retailer",
        lambda p: p.no_worse_than_retailer or p.individually_rational,
        _no_worse_than_retailer,
    ),
    Property(
        "budget_balance",
        "the operator's account keeps its promise",
        lambda p: p.budget_balance != "deficit",
        _budget_balance,
    ),
    Property("uniform_price", "one price for all", lambda p: p.uniform_price, _uniform_price),
    Property("efficient", "welfare at stated limits is maximal", lambda p: p.efficient, _efficient),
    Property(
        "local_market",
        "nothing trades between members",
        lambda p: not p.local_market,
        _no_local_trade,
        listed=False,
    ),
    Property("anonymous", "other names of participants, the same energies", _never, _anonymous),
    Property("scales_with_prices", "all prices x 3: same energies, money x 3", _never, _scales_with_prices),
    Property(
        "scales_with_energy", "all energies x 3: energies x 3, same prices", _never, _scales_with_energy
    ),
)
"""All but truthfulness, which has books of its own (`market.checking.check`)."""
