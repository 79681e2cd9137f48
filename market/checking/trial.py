"""One cleared book, with all checks but those of the numbers: exceptions, types, unchanged inputs."""

from __future__ import annotations

import random as python_random
from dataclasses import dataclass
from typing import Any

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, wrong_type
from market.errors import InvalidRules, one_line, text_of
from market.mechanism import Mechanism
from market.rules import MarketRules

_COLUMNS = ("participant", "side", "energy_wh", "limit_micro_per_kwh", "node", "sequence")


class Unfit(Exception):
    """A mechanism that raises, returns something else than a clearing, or touches what is not its own.

    Args:
        what: One sentence.
        book: The book on which it does so.
        rules: The rules under which it does so.
    """

    def __init__(self, what: str, book: OrderBook, rules: MarketRules) -> None:
        self.book, self.rules = book, rules
        super().__init__(what)


@dataclass(frozen=True, slots=True)
class Trial:
    """A mechanism and what it made of one book."""

    mechanism: Mechanism
    book: OrderBook
    rules: MarketRules
    clearing: Clearing


def attempt(mechanism: Mechanism, book: OrderBook, rules: MarketRules) -> Trial:
    """Clear a book and check everything except the numbers.

    Raises:
        Unfit: In one sentence, what the mechanism did that no mechanism may do.
        InvalidRules: The parameters do not fit the book, which a mechanism may say.
    """
    before = [getattr(book, name).copy() for name in _COLUMNS]
    numpy_state, python_state = np.random.get_state(legacy=False), python_random.getstate()  # noqa: NPY002
    clearing = cleared(mechanism, book, rules)
    for name, column in zip(_COLUMNS, before, strict=True):
        if not np.array_equal(getattr(book, name), column):
            raise Unfit(f"changes the book: {name} is not what it was", book, rules)
    if not _same_state(numpy_state, np.random.get_state(legacy=False)):  # noqa: NPY002
        raise Unfit("uses the global random numbers of numpy; draw from rules.seed instead", book, rules)
    if python_state != python_random.getstate():
        raise Unfit("uses Python's global random numbers; draw from rules.seed instead", book, rules)
    return Trial(mechanism, book, rules, clearing)


def cleared(mechanism: Mechanism, book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear a book, and check the type of the result.

    Raises:
        Unfit: The mechanism raised, or this is not a clearing of integers.
        InvalidRules: The parameters do not fit the book, which a mechanism may say.
    """
    try:
        clearing = mechanism.clear(book, rules)
    except InvalidRules:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Unfit(_what_was_raised(error), book, rules) from error
    wrong = wrong_type(book, clearing)
    if wrong:
        raise Unfit(wrong, book, rules)
    return clearing


def _what_was_raised(error: BaseException) -> str:
    text = text_of(error)
    if isinstance(error, ValueError) and ("read-only" in text or "WRITEABLE" in text):
        return f"writes into the book, whose arrays are read-only ({text})"
    return f"raises {one_line(error)}"


def _same_state(before: Any, after: Any) -> bool:
    """Whether no number was drawn from numpy's global generator."""
    return bool(
        before["state"]["pos"] == after["state"]["pos"]
        and np.array_equal(before["state"]["key"], after["state"]["key"])
    )


def difference(a: Clearing, b: Clearing) -> str | None:
    """The first field in which two clearings of one book differ; prices count where energy is accepted."""
    traded = a.accepted_wh > 0
    if not np.array_equal(a.accepted_wh, b.accepted_wh):
        return "accepted_wh"
    if not np.array_equal(a.price_micro_per_kwh[traded], b.price_micro_per_kwh[traded]):
        return "price_micro_per_kwh"
    if not np.array_equal(a.charges_nano, b.charges_nano):
        return "charge_nano"
    names = ("node_price", "operator_surplus_nano", "welfare_nano")
    return next((name for name in names if getattr(a, name) != getattr(b, name)), None)
