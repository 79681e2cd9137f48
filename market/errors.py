"""Errors of the market: one class per broken rule, the facts as attributes, a sentence for people."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class MarketError(Exception):
    """Base of everything that `market` raises on purpose.

    `exit_hint` is the word for what it means to whoever started the process: usage, invalid, infeasible, verify or bug.
    """

    exit_hint: ClassVar[str] = "invalid"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or an empty string."""
    names = list(known)
    nearest = [
        *difflib.get_close_matches(name, names, n=1, cutoff=0.6),
        *difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6),
    ]
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


class UnknownName(MarketError, KeyError):
    """A name under which nothing of a kind is registered."""

    exit_hint = "usage"

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(kind, name, self.known)  # all three, so that the error pickles

    def __str__(self) -> str:
        return f"no {self.kind} {self.name!r}.{did_you_mean(self.name, self.known)} Known: {', '.join(self.known)}."


class DuplicateName(MarketError, ValueError):
    """A second registration under a name that is taken."""

    def __init__(self, kind: str, name: str, origin: str, newcomer: str) -> None:
        self.kind, self.name, self.origin, self.newcomer = kind, name, origin, newcomer
        super().__init__(kind, name, origin, newcomer)

    def __str__(self) -> str:
        return (
            f"a {self.kind} named {self.name!r} is registered already, by {self.origin}; choose another name"
            f" in {self.newcomer}"
        )


class OldContract(MarketError, ValueError):
    """A plug-in that was written for another version of its contract."""

    def __init__(self, kind: str, name: str, written_for: int | None, current: int) -> None:
        self.kind, self.name, self.written_for, self.current = kind, name, written_for, current
        super().__init__(kind, name, written_for, current)

    cure = "change it as docs/reference/extension-points.md says, or update the package"

    @property
    def what(self) -> str:
        """The message without what to do."""
        versions = f"version {self.written_for} of the contract, and this is version {self.current}"
        return f"{self.kind} {self.name!r} was written for {versions}"

    def __str__(self) -> str:
        return f"{self.what}; {self.cure}"


class BrokenPlugin(MarketError, ImportError):
    """An entry point of another package that cannot be imported."""

    def __init__(self, kind: str, name: str, source: str, reason: BaseException | str) -> None:
        self.reason = reason if isinstance(reason, str) else one_line(reason)
        super().__init__(kind, name, source, self.reason)
        self.kind, self.name, self.source = (
            kind,
            name,
            source,
        )  # afterwards: an ImportError has a `name` of its own

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name!r} cannot be loaded from {self.source}: {self.reason};"
            " update or uninstall the package that brings it"
        )


LONGEST = 300
"""Most letters that are shown of an error of foreign code."""


def with_article(noun: str) -> str:
    """A noun behind `a` or `an`, by its first letter: a validator, an operator."""
    return f"{'an' if noun[:1].lower() in tuple('aeiou') else 'a'} {noun}"


def counted(count: int, noun: str) -> str:
    """A number and what it counts: 1 node, 2 nodes."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(text: str, longest: int = LONGEST) -> str:
    """Foreign text on one line: control characters escaped, so that a terminal obeys none, and at most so long."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def text_of(error: BaseException) -> str:
    """The text of an error of foreign code, printable; empty where it has none or cannot be asked for it."""
    try:
        return printable(" ".join(str(error).split()))
    except Exception:  # an error that cannot be printed
        return ""


def one_line(error: BaseException) -> str:
    """The class and text of an error of foreign code, printable."""
    text = text_of(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class InvalidPlugin(MarketError, TypeError):
    """What was to be registered is not a plug-in of the kind."""

    def __init__(self, kind: str, name: str, what: str) -> None:
        self.kind, self.name, self.what = kind, name, what
        super().__init__(kind, name, what)

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.what}; see docs/reference/extension-points.md"


class PluginFailed(MarketError, RuntimeError):
    """A third-party plug-in that raises, or returns an unusable value."""

    def __init__(self, kind: str, name: str, place: str, reason: str) -> None:
        self.kind, self.name, self.place, self.reason = kind, name, place, reason
        super().__init__(kind, name, place, reason)

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} fails in {self.place}: {self.reason}; correct the plug-in"


class InvalidBook(MarketError, ValueError):
    """An order book that breaks the rules of market.book; `problems` lists every one found."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class InvalidRules(MarketError, ValueError):
    """A market rule outside its range."""


class InvalidGrid(MarketError, ValueError):
    """A grid that no mechanism can use; `problems` lists everything that is wrong with it."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class InvalidZones(MarketError, ValueError):
    """Zones that no mechanism can use; `problems` lists everything that is wrong with them."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class NotTaken(MarketError, ValueError):
    """A book or rules with something that the mechanism does not use: a kind of order, or a grid."""


class InvalidTariff(MarketError, ValueError):
    """A tariff that does not cover the day, or a series that does not cover the run."""


class InvalidGame(MarketError, ValueError):
    """A cooperative game whose values or shares do not fit its players."""


class InfeasibleClearing(MarketError, AssertionError):
    """A clearing that accepts more than was ordered, or does not balance: a bug of the mechanism."""

    exit_hint = "bug"


class AmountTooLarge(MarketError, ValueError):
    """Amounts beyond what is counted safely in 64 bits: a currency unit too small for the scenario, not a bug."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)

    def __str__(self) -> str:
        amount = "2^62 nano-currency (about 4.6e9 currency units)"
        return f"{self.what} pass {amount}; use a larger currency unit in the scenario"


class UnbalancedPostings(MarketError, AssertionError):
    """Money or energy that does not add up; the run must stop."""

    exit_hint = "bug"
