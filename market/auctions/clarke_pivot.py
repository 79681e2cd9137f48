"""Clarke pivot: the welfare of the others without a participant, for all participants at once, by cumulated sums.

A curve is a list of energies at prices, in the order in which they would be used. Leaving out the entries of one
participant moves every later entry forward; so the first x Wh of what remains are the first x + y Wh of the whole curve
without its y Wh among them. Each participant costs one look-up and a pass over its own entries, not a new clearing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.auctions.merit_order import row_order
from market.units import INT64_SAFE, BoolArray, IntArray


class Members(NamedTuple):
    """The participants of some rows of a book, in the order of the book.

    Args:
        starts: First row of each.
        of_row: Number of the participant of each row, from 0.
    """

    starts: IntArray
    of_row: IntArray

    @property
    def single(self) -> bool:
        """Whether every participant has one row."""
        return len(self.starts) == len(self.of_row)

    def sum(self, per_row: IntArray) -> IntArray:
        """Sums per participant of a column of the book."""
        total: IntArray = per_row if self.single else np.add.reduceat(per_row, self.starts)
        return total


def members_of(participant: IntArray) -> Members:
    """Number the participants of rows that are sorted by participant, as those of a book are."""
    new = is_first(participant)
    starts = new.nonzero()[0]
    return Members(starts, starts if len(starts) == len(new) else np.cumsum(new) - 1)


def is_first(participant: IntArray) -> BoolArray:
    """Whether each row is the first of its participant, of rows that are sorted by participant."""
    new = np.empty(len(participant), dtype=np.bool_)
    new[:1] = True
    np.not_equal(participant[1:], participant[:-1], out=new[1:])
    return new


class Curve(NamedTuple):
    """Energies at prices in the order of their use.

    Args:
        owner: Number of the participant of each entry.
        energy: At least 0. [Wh]
        price: [micro-currency/kWh]
        ends: Cumulated energy. [Wh]
        worth: Cumulated energy times price. [nano]
    """

    owner: IntArray
    energy: IntArray
    price: IntArray
    ends: IntArray
    worth: IntArray

    def worth_of(self, first_wh: IntArray) -> IntArray:
        """Energy times price of the first `first_wh` of the curve, of all of it if there is less. [nano]"""
        reach = np.minimum(first_wh, self.ends[-1])
        entry = self.ends.searchsorted(reach)
        worth: IntArray = self.worth[entry] - self.price[entry] * (self.ends[entry] - reach)
        return worth


def curve_of(owner: IntArray, energy: IntArray, price: IntArray) -> Curve:
    """Cumulate entries that are in the order of their use."""
    return Curve(owner, energy, price, np.cumsum(energy), np.cumsum(energy * price))


def worth_without_own(curve: Curve, first_wh: IntArray, *, single: bool) -> IntArray:
    """Energy times price of the first Wh of the curve when the entries of one participant are left out.

    Args:
        curve: What is used, in order.
        single: Whether no participant has two entries.
        first_wh: For each participant the energy asked for without its entries; where 0, the answer is 0. [Wh]

    Returns:
        Per participant; where the others have less, all that they have. [nano]
    """
    worth, asks = np.zeros(len(first_wh), dtype=np.int64), first_wh > 0
    asking, entries = np.flatnonzero(asks), np.flatnonzero(asks[curve.owner])
    if not (len(curve.owner) and len(asking)):
        return worth
    reach = first_wh.copy()
    if len(entries):
        if not single:
            entries = entries[row_order(curve.owner[entries])]
        owner, energy = curve.owner[entries], curve.energy[entries]
        own_ends, groups = energy, np.empty(0, dtype=np.int64)
        if not single:
            groups = is_first(owner).nonzero()[0]
            own_ends = _cumulated(energy, groups)
        # An entry of its own lies among the first Wh where the others' energy in front of it is less.
        among = energy * (curve.ends[entries] - own_ends < first_wh[owner])
        worth_among = among * curve.price[entries]
        if not single:
            owner, among, worth_among = (
                owner[groups],
                *(np.add.reduceat(x, groups) for x in (among, worth_among)),
            )
        reach[owner] += among
        worth[owner] -= worth_among
    worth[asking] += curve.worth_of(reach[asking])
    return worth


def _cumulated(energy: IntArray, groups: IntArray) -> IntArray:
    """Cumulated energy within groups of entries that begin at `groups`."""
    ends = np.cumsum(energy)
    return ends - np.repeat(ends[groups] - energy[groups], np.diff(groups, append=len(energy)))


def spread(amount_nano: IntArray, accepted_wh: IntArray, members: Members) -> IntArray:
    """Split the amount of each participant over its orders in proportion to accepted energy, by largest remainder.

    Args:
        amount_nano: Per participant, at least 0; 0 where nothing is accepted. [nano]
        accepted_wh: Per row of the book. [Wh]
        members: The participants of the book.

    Returns:
        Per row, adding up exactly; ties of remainders go to the earlier row. [nano]
    """
    if members.single:
        return amount_nano
    energy = np.maximum(members.sum(accepted_wh), 1)
    whole, rest = np.divmod(amount_nano, energy)
    energy_of_row = energy[members.of_row]
    product = rest[members.of_row], accepted_wh
    if int(rest.max(initial=0)) * int(accepted_wh.max(initial=0)) < INT64_SAFE:
        part, remainder = np.divmod(product[0] * product[1], energy_of_row)
    else:  # beyond int64: exact in Python integers
        pairs = [divmod(int(r) * int(a), int(e)) for r, a, e in zip(*product, energy_of_row, strict=True)]
        part = np.array([p[0] for p in pairs], dtype=np.int64)
        remainder = np.array([p[1] for p in pairs], dtype=np.int64)
    share: IntArray = whole[members.of_row] * accepted_wh + part
    left = amount_nano - members.sum(share)
    if left.any():
        turn = row_order(members.of_row, -remainder)  # equal remainders: the earlier row first
        place = np.arange(len(turn)) - members.starts[members.of_row]
        share[turn] += place < left[members.of_row]
    return share
