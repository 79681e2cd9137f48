"""Judge a mechanism: hold it to its promises on many random books, and shrink what breaks one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from market.book import OrderBook
from market.errors import InvalidRules
from market.mechanism import Mechanism
from market.misreports import Misreport, best_misreport
from market.property_kit import PROPERTIES, Property
from market.random_books import participant_name, random_case
from market.rules import MarketRules
from market.shrink import shrink
from market.trial import Trial, Unfit, attempt, charges_nano, cleared
from market.units import money, price

MOST_ORDERS = 40
FEW_ORDERS = 6
"""Orders of the books on which misreports are tried: each of them is cleared some hundred times."""


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A book on which a property does not hold, as small as it could be made, and what is wrong there."""

    book: OrderBook
    rules: MarketRules
    fault: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What the random books say about one property.

    Args:
        name: Of the property.
        says: What it says.
        promised: Whether the mechanism promises it.
        books: Books on which it was looked at.
        broken: How many of them break it.
        counterexample: One of them, shrunk; only of a broken promise.
    """

    name: str
    says: str
    promised: bool
    books: int
    broken: int = 0
    counterexample: Counterexample | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings about a mechanism.

    Args:
        mechanism: Its name.
        findings: One per property.
        refused: What it said of the books that it refused with InvalidRules, under plain rules too.
        largest_gain_nano: The most that one participant gained on one small book by misreporting its limits, whether
            that is promised or not; None where no misreport could be tried. [nano]
    """

    mechanism: str
    findings: tuple[Finding, ...]
    refused: tuple[str, ...]
    largest_gain_nano: int | None

    @property
    def sound(self) -> bool:
        """Whether the mechanism gives clearings at all."""
        return not self.findings[0].broken

    @property
    def holds(self) -> bool:
        """Whether every promise holds on every book."""
        return not any(finding.promised and finding.broken for finding in self.findings)


def judge(mechanism: Mechanism, books: int = 500, seed: int = 0) -> Verdict:
    """Clear random books and look at every property; then try misreports on small ones.

    Args:
        mechanism: Any, registered or not. One that needs a grid cannot be judged by books without one.
        books: How many random books. Misreports are tried on small ones: half as many where truthfulness is promised,
            a tenth where not.
        seed: Of the books.
    """
    trials, refused, unfit = [], [], _Tally()
    for number in range(books):
        try:
            trials.append(_first(mechanism, seed, number, MOST_ORDERS, attempt))
        except InvalidRules as refusal:
            refused.append(str(refusal))
        except Unfit as found:
            unfit.add(found.book, found.rules)
    truthful, gain = _truthfulness(mechanism, 0 if unfit.count else books, seed, unfit)
    findings = [_sound(mechanism, books, refused, unfit)]
    for one in PROPERTIES:
        promised = one.promised(mechanism.promises)
        if promised or one.listed:
            findings.append(_finding(mechanism, one, promised, trials))
    return Verdict(mechanism.name, (*findings, truthful), tuple(refused), gain)


T = TypeVar("T")


def _first(
    mechanism: Mechanism,
    seed: int,
    number: int,
    most_orders: int,
    look: Callable[[Mechanism, OrderBook, MarketRules], T],
    units: bool = False,
) -> T:
    """Look at a book under drawn rules, or under plain ones where those do not fit it."""
    try:
        return look(mechanism, *random_case(mechanism, seed, number, most_orders, units=units))
    except InvalidRules:
        return look(mechanism, *random_case(mechanism, seed, number, most_orders, units=units, plain=True))


def fingerprints(mechanism: Mechanism, books: int, seed: int) -> list[str]:
    """A hash of what the mechanism makes of each random book: equal in every process, or nobody could replay a run."""

    def look(rule: Mechanism, book: OrderBook, rules: MarketRules) -> str:
        clearing = cleared(rule, book, rules)
        traded = clearing.accepted_wh > 0
        columns = (clearing.accepted_wh, clearing.price_micro_per_kwh * traded, charges_nano(clearing))
        rest = (clearing.node_price, clearing.operator_surplus_nano, clearing.welfare_nano)
        return sha256(repr(([column.tolist() for column in columns], rest)).encode()).hexdigest()

    found = []
    for number in range(books):
        try:
            found.append(_first(mechanism, seed, number, MOST_ORDERS, look))
        except (InvalidRules, Unfit) as error:
            found.append(type(error).__name__)
    return found


class _Tally:
    """How often something failed, and the smallest book on which it did."""

    def __init__(self) -> None:
        self.count = 0
        self.smallest: tuple[OrderBook, MarketRules] | None = None

    def add(self, book: OrderBook, rules: MarketRules) -> None:
        self.count += 1
        if self.smallest is None or len(book) < len(self.smallest[0]):
            self.smallest = (book, rules)


Fault = Callable[[OrderBook, MarketRules], str | None]


def _shrunk(mechanism: Mechanism, tally: _Tally, fault: Fault) -> Counterexample | None:
    if tally.smallest is None:
        return None
    book, rules = shrink(mechanism, *tally.smallest, lambda b, r: fault(b, r) is not None)
    return Counterexample(book, rules, fault(book, rules) or "fails only now and then")


def _sound(mechanism: Mechanism, books: int, refused: list[str], unfit: _Tally) -> Finding:
    """Whether the mechanism can be judged at all: no exception, right types, nothing touched."""
    all_refused = len(refused) == books

    def fault(book: OrderBook, rules: MarketRules) -> str | None:
        try:
            attempt(mechanism, book, rules)
        except InvalidRules as refusal:
            return f"refuses every book: {refusal}" if all_refused else None
        except Unfit as found:
            return str(found)
        return None

    broken = books if all_refused else unfit.count
    if all_refused:
        unfit.add(*random_case(mechanism, 0, 0, MOST_ORDERS))
    says = "a clearing of integers, no exception, nothing of others touched"
    return Finding("sound", says, True, books, broken, _shrunk(mechanism, unfit, fault))


def _finding(mechanism: Mechanism, one: Property, promised: bool, trials: list[Trial]) -> Finding:
    tally = _Tally()
    for trial in trials:
        if _fault_of(one, trial) is not None:
            tally.add(trial.book, trial.rules)

    def fault(book: OrderBook, rules: MarketRules) -> str | None:
        return _fault_of(one, Trial(mechanism, book, rules, mechanism.clear(book, rules)))

    found = _shrunk(mechanism, tally, fault) if promised else None
    return Finding(one.name, one.says, promised, len(trials), tally.count, found)


def _fault_of(one: Property, trial: Trial) -> str | None:
    try:
        return one.fault(trial)
    except InvalidRules:  # a variation of the book that its parameters do not fit
        return None
    except Exception as error:
        return f"raises {type(error).__name__} on a variation of the book: {error}"


def _truthfulness(mechanism: Mechanism, books: int, seed: int, unfit: _Tally) -> tuple[Finding, int | None]:
    """Try misreports on small books; the largest gain is reported whether or not truthfulness is promised."""
    promises = mechanism.promises
    scope = promises.truthful_for if promises.truthful else "participants"
    tally, gains = _Tally(), []

    def look(rule: Mechanism, book: OrderBook, rules: MarketRules) -> None:
        best = best_misreport(rule, book, rules, scope)
        if best is not None:
            gains.append(best.gain_nano)
            if best.gain_nano > 0:
                tally.add(book, rules)

    def fault(book: OrderBook, rules: MarketRules) -> str | None:
        best = best_misreport(mechanism, book, rules, scope)
        return None if best is None or best.gain_nano <= 0 else _said(book, best)

    for number in range(books // (2 if promises.truthful else 10)):
        try:
            _first(mechanism, seed, number, FEW_ORDERS, look, scope == "unit_orders")
        except InvalidRules:
            continue
        except Unfit as found:
            unfit.add(found.book, found.rules)
            break
    whom = {"participants": "no participant", "single_orders": "nobody with one order"}
    says = f"{whom.get(scope, 'nobody with one order of one unit')} gains by stating other limits"
    example = _shrunk(mechanism, tally, fault) if promises.truthful else None
    finding = Finding("truthful", says, promises.truthful, len(gains), tally.count, example)
    return finding, max(gains, default=None)


def _said(book: OrderBook, best: Misreport) -> str:
    who = participant_name(int(book.participant[best.rows[0]]))
    ids = " and ".join(book.ids[row] for row in best.rows)
    limits = " and ".join(f"{price(int(book.limit_micro_per_kwh[row])):.6g}" for row in best.rows)
    stated, gain = price(best.stated_micro_per_kwh), money(best.gain_nano)
    return f"participant {who} gains {gain:g} by stating {stated:.6g} instead of {limits} for {ids}"
