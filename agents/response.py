"""What homes want to take at each of several local prices."""

from __future__ import annotations

from typing import NamedTuple

from market.units import BoolArray, IntArray


class Response(NamedTuple):
    """The answers of homes.

    Args:
        net_wh: Energy taken, negative where it is given, shape (prices, homes). [Wh]
        known: Which homes have an answer.
    """

    net_wh: IntArray
    known: BoolArray

    def of_homes(self, places: IntArray) -> Response:
        """The answers of some homes."""
        return Response(self.net_wh[:, places], self.known[places])
