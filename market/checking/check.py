"""Property-based test of a mechanism: check its promises on random order books, and shrink the books that break one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TypeVar

from market.book import OrderBook
from market.checking.misreports import Misreport, best_misreport
from market.checking.properties import PROPERTIES, Property
from market.checking.random_books import participant_name, random_case
from market.checking.shrink import shrink
from market.checking.trial import Trial, Unfit, attempt, cleared
from market.errors import InvalidRules, one_line
from market.mechanism import Mechanism, TruthfulFor
from market.rules import MarketRules, Value
from market.units import money, price

NOBODY: dict[TruthfulFor, str] = {
    "participants": "no participant",
    "single_orders": "nobody with one order",
    "unit_orders": "nobody with one order of one unit",
}
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
        books: Books on which it was checked.
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
class Beyond:
    """What participants gain for whom truthfulness is not promised, under the parameters of a run.

    Args:
        books: Small books on which somebody could be tried.
        gained: On how many of them somebody gained.
        largest_gain_nano: The most that one participant gained on one of them. [nano]
        example: The book on which that was, and how; None where nobody gained.
    """

    books: int
    gained: int
    largest_gain_nano: int
    example: Counterexample | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings about a mechanism.

    Args:
        mechanism: Its name.
        findings: One per property.
        refused: Its messages about the books that it refused with InvalidRules, under plain rules too.
        largest_gain_nano: The most that one participant gained on one small book by misreporting its limits, whether
            that is promised or not; None where no misreport could be tried. [nano]
        small_books: How many books were drawn for misreports.
        beyond: What others gain, where truthfulness is promised to some participants only.
    """

    mechanism: str
    findings: tuple[Finding, ...]
    refused: tuple[str, ...]
    largest_gain_nano: int | None
    small_books: int
    beyond: Beyond | None = None

    @property
    def sound(self) -> bool:
        """Whether the mechanism gives clearings at all."""
        return not self.findings[0].broken

    @property
    def holds(self) -> bool:
        """Whether every promise holds on every book."""
        return not any(finding.promised and finding.broken for finding in self.findings)


def check_mechanism(
    mechanism: Mechanism, books: int = 500, seed: int = 0, given: Mapping[str, Value] | None = None
) -> Verdict:
    """Clear random books and check every property; then try misreports on small ones.

    Args:
        mechanism: Any, registered or not. One that needs a grid cannot be tested on books without one.
        books: How many random books. Misreports are tried on small ones: half as many where truthfulness is promised,
            a tenth where not; and on a tenth for those outside the promise, where it is one to some.
        seed: Of the books.
        given: Parameters that are the same for all books instead of drawn, by `Parameter.field`.
    """
    draw, unfit = _Draw(mechanism, seed, given or {}), _Tally()
    trials, refused = [], []
    for number in range(books):
        try:
            trials.append(draw.first(number, MOST_ORDERS, attempt))
        except InvalidRules as refusal:
            refused.append(str(refusal))
        except Unfit as found:
            unfit.add(found.book, found.rules)
    promises = mechanism.promises
    small = 0 if unfit.count else books // (2 if promises.truthful else 10)
    truthful, gain = _truthfulness(draw, small, unfit)
    findings = [_sound(draw, books, refused, unfit)]
    for one in PROPERTIES:
        promised = one.promised(promises)
        if promised or one.listed:
            findings.append(_finding(draw, one, promised, trials))
    partly = promises.truthful and promises.truthful_for != "participants" and not unfit.count
    beyond = _beyond(draw, books // 10) if partly else None
    return Verdict(mechanism.name, (*findings, truthful), tuple(refused), gain, small, beyond)


T = TypeVar("T")
Fault = Callable[[OrderBook, MarketRules], str | None]


@dataclass(frozen=True, slots=True)
class _Draw:
    """Random books of a mechanism, with parameters that are given rather than drawn."""

    mechanism: Mechanism
    seed: int
    given: Mapping[str, Value] = field(default_factory=dict)

    def first(
        self,
        number: int,
        most_orders: int,
        look: Callable[[Mechanism, OrderBook, MarketRules], T],
        units: bool = False,
    ) -> T:
        """Check a book under drawn rules, or under default ones where those do not fit it."""
        try:
            return look(self.mechanism, *self.case(number, most_orders, units))
        except InvalidRules:
            return look(self.mechanism, *self.case(number, most_orders, units, plain=True))

    def case(
        self, number: int, most_orders: int, units: bool = False, plain: bool = False
    ) -> tuple[OrderBook, MarketRules]:
        return random_case(
            self.mechanism, self.seed, number, most_orders, units=units, plain=plain, given=self.given
        )

    def shrunk(self, tally: _Tally, fault: Fault) -> Counterexample | None:
        if tally.smallest is None:
            return None

        def fails(book: OrderBook, rules: MarketRules) -> bool:
            return self._keeps(rules) and fault(book, rules) is not None

        book, rules = shrink(self.mechanism, *tally.smallest, fails)
        return Counterexample(book, rules, fault(book, rules) or "fails only now and then")

    def _keeps(self, rules: MarketRules) -> bool:
        """Whether what is given is still so."""
        return all(
            p.of(rules) == self.given[p.field] for p in self.mechanism.parameters if p.field in self.given
        )


def fingerprints(
    mechanism: Mechanism, books: int, seed: int, given: Mapping[str, Value] | None = None
) -> list[str]:
    """A hash of what the mechanism makes of each random book: equal in every process, or nobody could replay a run."""

    def look(rule: Mechanism, book: OrderBook, rules: MarketRules) -> str:
        clearing = cleared(rule, book, rules)
        traded = clearing.accepted_wh > 0
        columns = (clearing.accepted_wh, clearing.price_micro_per_kwh * traded, clearing.charges_nano)
        rest = (clearing.node_price, clearing.operator_surplus_nano, clearing.welfare_nano)
        return sha256(repr(([column.tolist() for column in columns], rest)).encode()).hexdigest()

    draw, found = _Draw(mechanism, seed, given or {}), []
    for number in range(books):
        try:
            found.append(draw.first(number, MOST_ORDERS, look))
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


def _sound(draw: _Draw, books: int, refused: list[str], unfit: _Tally) -> Finding:
    """Whether the mechanism can be tested at all: no exception, right types, inputs unchanged."""
    all_refused = len(refused) == books

    def fault(book: OrderBook, rules: MarketRules) -> str | None:
        try:
            attempt(draw.mechanism, book, rules)
        except InvalidRules as refusal:
            return f"refuses every book: {refusal}" if all_refused else None
        except Unfit as found:
            return str(found)
        return None

    broken = books if all_refused else unfit.count
    if all_refused:
        unfit.add(*draw.case(0, MOST_ORDERS))
    says = "a clearing of integers, no exception, nothing of others touched"
    return Finding("sound", says, True, books, broken, draw.shrunk(unfit, fault))


def _finding(draw: _Draw, one: Property, promised: bool, trials: list[Trial]) -> Finding:
    mechanism, tally = draw.mechanism, _Tally()
    for trial in trials:
        if _fault_of(one, trial) is not None:
            tally.add(trial.book, trial.rules)

    def fault(book: OrderBook, rules: MarketRules) -> str | None:
        return _fault_of(one, Trial(mechanism, book, rules, mechanism.clear(book, rules)))

    found = draw.shrunk(tally, fault) if promised else None
    return Finding(one.name, one.says, promised, len(trials), tally.count, found)


def _fault_of(one: Property, trial: Trial) -> str | None:
    try:
        return one.fault(trial)
    except InvalidRules:  # a variation of the book that its parameters do not fit
        return None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"on a variation of the book it raises {one_line(error)}"


def _truthfulness(draw: _Draw, books: int, unfit: _Tally) -> tuple[Finding, int | None]:
    """Try misreports on small books; the largest gain is reported whether or not truthfulness is promised."""
    mechanism, promises = draw.mechanism, draw.mechanism.promises
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

    for number in range(books):
        try:
            draw.first(number, FEW_ORDERS, look, scope == "unit_orders")
        except InvalidRules:
            continue
        except Unfit as found:
            unfit.add(found.book, found.rules)
            break
    says = f"{NOBODY[scope]} gains by stating other limits"
    example = draw.shrunk(tally, fault) if promises.truthful else None
    finding = Finding("truthful", says, promises.truthful, len(gains), tally.count, example)
    return finding, max(gains, default=None)


def _beyond(draw: _Draw, books: int) -> Beyond:
    """Try everybody, with orders of all sizes, under the parameters of a run where nothing else is given."""
    run = {p.field: p.in_run for p in draw.mechanism.parameters if p.in_run is not None}
    in_run, looked, gained = replace(draw, given={**run, **draw.given}), 0, 0
    most, example = 0, None

    def look(rule: Mechanism, book: OrderBook, rules: MarketRules) -> tuple[Misreport | None, Counterexample]:
        best = best_misreport(rule, book, rules)
        return best, Counterexample(book, rules, "" if best is None else _said(book, best))

    for number in range(books):
        try:
            best, found = in_run.first(number, FEW_ORDERS, look)
        except (InvalidRules, Unfit):
            continue
        if best is None:
            continue
        looked, gained = looked + 1, gained + (best.gain_nano > 0)
        if best.gain_nano > most:
            most, example = best.gain_nano, found
    return Beyond(looked, gained, most, example)


def _said(book: OrderBook, best: Misreport) -> str:
    who = participant_name(int(book.participant[best.rows[0]]))
    ids = " and ".join(book.ids[row] for row in best.rows)
    limits = " and ".join(f"{price(int(book.limit_micro_per_kwh[row])):.6g}" for row in best.rows)
    stated, gain = price(best.stated_micro_per_kwh), money(best.gain_nano)
    return f"participant {who} gains {gain:g} by stating {stated:.6g} instead of {limits} for {ids}"
