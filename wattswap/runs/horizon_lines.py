"""What homes submit to a market that clears a horizon, as lines: in process from their community, else from messages.

A line is an order as a message carries it. All that a market makes of them is a function of these lines, of what is
public (seed, roster, tariff), and of nothing else, so everybody who has the messages builds the same book.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from agents.bidding import Limits
from agents.community import Community
from agents.rules import tariff_rows
from market.orders import Flexible, Storage, Terms
from market.units import BoolArray, IntArray
from p2p.wire.messages import OrderLine, order_line, terms_of

if TYPE_CHECKING:
    from wattswap.runs.prepare import Homes, Setup


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Orders for the intervals of a horizon, one a row; those of a home in the order of its message.

    Args:
        home: Place in the roster.
        side: +1 buys, -1 sells; a storage buys.
        energy_wh: Of an order; of a storage what it charges in an interval. [Wh]
        limit: Limit price; of a storage the value of a kWh that is left in it. [micro-currency/kWh]
        terms: Of the rows that are no simple orders of the first interval.
        device: Of the rows in which the market may place what a device other than a battery takes, its name. Only the
            home knows it: no message says it.
        placed: By such a device, the homes whose device does what the market says, with a row or without. As above.
    """

    home: IntArray
    side: IntArray
    energy_wh: IntArray
    limit: IntArray
    terms: Mapping[int, Terms]
    device: Mapping[int, str] = field(default_factory=dict)
    placed: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.home)

    @property
    def simple(self) -> BoolArray:
        """Which of them are simple orders of the first interval."""
        return ~self._which(lambda terms: True)

    @property
    def stores(self) -> BoolArray:
        """Which of them are batteries."""
        return self._which(lambda terms: isinstance(terms, Storage))

    @property
    def whole(self) -> BoolArray:
        """Which of them a clearing takes as they are or not at all, so that it has to search."""
        return self._which(lambda terms: isinstance(terms, Flexible) and terms.is_whole)

    @property
    def binding(self) -> BoolArray:
        """Which of them can move something in the first interval."""
        return ~self._which(lambda terms: isinstance(terms, Flexible) and terms.first > 0)

    def of_device(self, name: str) -> BoolArray:
        """Which of them place what a device other than a battery takes."""
        found = np.zeros(len(self), dtype=np.bool_)
        found[[row for row, device in self.device.items() if device == name]] = True
        return found

    def _which(self, wanted: Callable[[Terms], bool]) -> BoolArray:
        found = np.zeros(len(self), dtype=np.bool_)
        found[[row for row, terms in self.terms.items() if wanted(terms)]] = True
        return found

    def sums(self, values: IntArray, rows: BoolArray, members: IntArray) -> IntArray:
        """The sum of what some rows have for each of these homes, which are given by their places in the roster."""
        found = np.zeros(max(self.home.max(initial=-1), members.max(initial=-1)) + 1, dtype=np.int64)
        np.add.at(found, self.home[rows], values[rows])
        return found[members]

    def only(self, home: int) -> Lines:
        """The lines of one home."""
        own = self.of_rows(np.flatnonzero(self.home == home))
        return replace(own, placed={name: homes & {home} for name, homes in self.placed.items()})

    def of_rows(self, rows: IntArray) -> Lines:
        """Some of the lines."""
        old = rows.tolist()
        return Lines(
            self.home[rows],
            self.side[rows],
            self.energy_wh[rows],
            self.limit[rows],
            {k: self.terms[row] for k, row in enumerate(old) if row in self.terms},
            {k: self.device[row] for k, row in enumerate(old) if row in self.device},
            self.placed,
        )

    def of_home(self, home: int) -> tuple[OrderLine, ...]:
        """The orders of one home, as its message carries them."""
        side, energy, limit = self.side, self.energy_wh, self.limit
        return tuple(
            order_line(int(side[row]), int(energy[row]), int(limit[row]), terms=self.terms.get(row))
            for row in np.flatnonzero(self.home == home).tolist()
        )


_EMPTY: Final = np.zeros(0, dtype=np.int64)
NO_LINES: Final = Lines(_EMPTY, _EMPTY, _EMPTY, _EMPTY, {})


def joined(parts: Sequence[Lines]) -> Lines:
    """The lines of several homes, one after the other."""
    terms, device = dict[int, Terms](), dict[int, str]()
    placed, at = dict[str, frozenset[int]](), 0
    for part in parts:
        terms |= {at + row: one for row, one in part.terms.items()}
        device |= {at + row: name for row, name in part.device.items()}
        placed |= {name: homes | placed.get(name, frozenset()) for name, homes in part.placed.items()}
        at += len(part)

    def column(name: str) -> IntArray:
        return np.concatenate([_EMPTY, *(getattr(part, name) for part in parts)])

    return Lines(column("home"), column("side"), column("energy_wh"), column("limit"), terms, device, placed)


def lines_from(orders: Sequence[tuple[int, Sequence[OrderLine]]]) -> Lines:
    """The lines of messages that were checked.

    Args:
        orders: Place of each home in the roster, and its orders.
    """
    whole = [(home, line) for home, lines in orders for line in lines]
    rows = [(home, line.side, line.energy_wh, line.limit_micro_per_kwh) for home, line in whole]
    home, side, energy_wh, limit = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    terms = {row: found for row, (_, line) in enumerate(whole) if (found := terms_of(line)) is not None}
    return Lines(home, side, energy_wh, limit, terms)


def submitted_lines(setup: Setup, community: Homes, i: int, *, measured: bool) -> Lines:
    """What homes submit for the horizon that begins with the i-th interval.

    Of a home its energy comes first, then its battery, then what other devices take within windows. A home that is no
    member submits nothing.

    Args:
        measured: Whether the first interval is what the meters show in it before what is submitted of devices; its
            forecast otherwise.
    """
    assert isinstance(community, Community), "homes with several retailers are refused before the run"
    submitted = community.submit(measured=measured)
    if submitted is None:
        return NO_LINES
    member, place = setup.takes_part(i)[community.members], community.members
    net_wh = np.where(member, submitted.net_wh, 0)
    stores = [one for one in submitted.stores if member[one.home]]
    windows = [one for one in submitted.flexible if member[one.home]]
    home, step, side, energy_wh, limit = _of_homes(
        net_wh, outside_prices(setup, i, len(net_wh)), community.limits(setup.tariffs.at(i))
    )
    later = {
        row: (t, wh) for row, (t, wh) in enumerate(zip(step.tolist(), energy_wh.tolist(), strict=True)) if t
    }
    terms: dict[int, Terms] = {row: Flexible(t, t, 0, wh, 1) for row, (t, wh) in later.items()}
    special: list[Terms] = [*(one.terms for one in stores), *(one.terms for one in windows)]
    terms |= dict(enumerate(special, len(home)))
    whole = [(one.home, 1, one.terms.charge_wh, one.left_micro_per_kwh) for one in stores]
    whole += [(one.home, 1, one.energy_wh, one.limit_micro_per_kwh) for one in windows]
    kept = np.array(whole, dtype=np.int64).reshape(-1, 4).T
    columns = np.concatenate((np.stack((home, side, energy_wh, limit)), kept), axis=1)
    device = dict(enumerate([one.device for one in windows], len(home) + len(stores)))
    placed = {name: frozenset(place[homes & member].tolist()) for name, homes in submitted.placed.items()}
    return Lines(place[columns[0]], columns[1], columns[2], columns[3], terms, device, placed)


def outside_prices(setup: Setup, i: int, steps: int) -> tuple[IntArray, IntArray]:
    """What the retailer asks and pays in the intervals of a horizon from the i-th on. [micro-currency/kWh]"""
    at = tariff_rows(setup.prices, i + np.arange(steps), setup.steps_per_day)
    return setup.prices.buy_cap_micro_per_kwh[at], setup.prices.feed_in_micro_per_kwh[at]


def _of_homes(net_wh: IntArray, prices: tuple[IntArray, IntArray], limits: Limits) -> IntArray:
    """Columns of home, interval, side, energy and limit: what homes need and offer, at the prices of the retailer.

    In the first interval limits are those of their strategies.
    """
    step, home = np.nonzero(net_wh)
    energy = net_wh[step, home]
    first = np.where(energy > 0, limits[0][home], limits[1][home])
    limit = np.where(step == 0, first, np.where(energy > 0, prices[0][step], prices[1][step]))
    return np.stack((home, step, np.sign(energy), np.abs(energy), limit))


def most_wh(lines: Lines) -> tuple[IntArray, IntArray]:
    """The most that all lines together can buy and sell in each interval, up to the last that one names. [Wh]"""
    first, last = np.zeros((2, len(lines)), dtype=np.int64)
    bought, sold = lines.energy_wh * (lines.side > 0), lines.energy_wh * (lines.side < 0)
    for row, terms in lines.terms.items():
        assert isinstance(terms, Flexible | Storage), "no other order reaches over intervals of a run"
        first[row], last[row] = terms.first, terms.last
        if isinstance(terms, Storage):
            bought[row], sold[row] = terms.charge_wh, terms.discharge_wh
        else:
            sells = lines.side[row] < 0
            bought[row], sold[row] = (0, terms.power_wh) if sells else (terms.power_wh, 0)
    change = np.zeros((2, int(last.max(initial=-1)) + 2), dtype=np.int64)
    for side, most in enumerate((bought, sold)):
        np.add.at(change[side], first, most)
        np.add.at(change[side], last + 1, -most)
    every = change.cumsum(axis=1)[:, :-1]
    return every[0], every[1]
