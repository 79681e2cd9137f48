"""Homes that have several retailers: a community for the homes of each tariff, which act as one.

A home of a community does what it does alone, so nothing changes for a home but its prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agents.bidders import Round, joined
from agents.bidding import Limits, Orders, OwnResults
from agents.community import Community
from agents.errors import reading_snapshot
from agents.meters import ALONE, Meters
from market.book import OrderBook
from market.clearing import Clearing
from market.settlement.tariff import AnyPrices
from market.units import IntArray


class Neighbourhood:
    """The homes of several communities, in the order of the roster.

    Args:
        parts: The communities; every home is in one of them.
    """

    def __init__(self, parts: Sequence[Community]) -> None:
        self._parts = parts
        self.members: IntArray = np.sort(np.concatenate([part.members for part in parts]))
        self.members.flags.writeable = False
        self._places = [np.searchsorted(self.members, part.members) for part in parts]

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        return {"parts": [part.snapshot() for part in self._parts]}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a snapshot of the same homes under the same rules.

        Raises:
            InvalidSnapshot: It is not of these homes.
        """
        with reading_snapshot():
            for part, own in zip(self._parts, saved["parts"], strict=True):
                part.restore(own)
            if len({part.lived for part in self._parts}) > 1:
                raise ValueError("parts have not lived the same intervals")

    @property
    def lived(self) -> int:
        """Number of intervals that have been simulated."""
        return self._parts[0].lived

    def bids(self, prices: AnyPrices) -> Orders:
        """The orders of all homes; see `Community.bids`."""
        return joined([part.bids(prices) for part in self._parts])

    def bids_again(self, opened: Round) -> Orders:
        """Orders of a later round of the same interval."""
        return joined([part.bids_again(own) for part, own in self._rounds(opened)])

    def end_rounds(self, over: Round) -> None:
        """Show strategies that remember what they see the last round."""
        for part, own in self._rounds(over):
            part.end_rounds(own)

    def limits(self, prices: AnyPrices) -> Limits:
        """The limits of all homes for the next interval, where quantities come from the meters."""
        buy, sell = np.zeros((2, len(self.members)), dtype=np.int64)
        for part, places in zip(self._parts, self._places, strict=True):
            buy[places], sell[places] = part.limits(prices)
        return buy, sell

    def _rounds(self, opened: Round) -> list[tuple[Community, Round]]:
        return [
            (part, replace(opened, bought_wh=opened.bought_wh[places]))
            for part, places in zip(self._parts, self._places, strict=True)
        ]

    @property
    def learns(self) -> bool:
        """Whether what any home does depends on the results of earlier orders."""
        return any(part.learns for part in self._parts)

    @property
    def reacts(self) -> bool:
        """Whether what any home does in an interval depends on what it has agreed in its market."""
        return any(part.reacts for part in self._parts)

    def learn(self, book: OrderBook, clearing: Clearing) -> None:
        """Give strategies that learn from the whole market its result for their orders."""
        for part in self._parts:
            part.learn(book, clearing)

    def learn_own(self, results: OwnResults) -> None:
        """Give strategies that learn from their homes' own results those of the last interval."""
        for part, places in zip(self._parts, self._places, strict=True):
            part.learn_own(results.of_homes(places))

    def agree(self, position_wh: IntArray) -> None:
        """Say what has been agreed in the market of the next interval, before it is lived. [Wh]"""
        for part, places in zip(self._parts, self._places, strict=True):
            part.agree(position_wh[places])

    def notes(self) -> tuple[str, ...]:
        """What people should know of how homes bid at the start of the run."""
        return self._said([part.notes() for part in self._parts])

    def control_notes(self) -> tuple[str, ...]:
        """What people should know of how homes were controlled so far."""
        return self._said([part.control_notes() for part in self._parts])

    def _said(self, notes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
        """The sentences of the parts, which count the homes of each."""
        said = zip(self._parts, notes, strict=True)
        return tuple(
            f"among {part.homes} homes of one retailer: {note}" for part, own in said for note in own
        )

    def live(self) -> Meters:
        """Simulate the next interval and read the meters; without a market a home that does not react does the same."""
        found = [part.live() for part in self._parts]
        columns = [{"import_wh": one.import_wh, "export_wh": one.export_wh, **one.columns} for one in found]
        whole = {
            name: self._joined([own.get(name, own.get(name.removeprefix(ALONE))) for own in columns])
            for name in dict.fromkeys(name for own in columns for name in own)
        }
        return Meters(whole.pop("import_wh"), whole.pop("export_wh"), whole)

    def _joined(self, columns: Sequence[IntArray | None]) -> IntArray:
        """The columns of the parts as one of all homes; 0 where a part has none."""
        whole = np.zeros(len(self.members), dtype=np.int64)
        for places, column in zip(self._places, columns, strict=True):
            whole[places] = 0 if column is None else column
        return whole
