"""All homes as one behind one meter, whose readings come one interval at a time: the view of a battery in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.community import Community
from agents.errors import reading_snapshot
from agents.state import whole_from_json
from market.units import IntArray


class OneMeter(Community):
    """A community of one home that is all homes together, and has what they have in common.

    What its registers hold from the first simulated interval on is replaced, interval by interval, by what the homes
    turn out to need; only perfect foresight reads it before.
    """

    def see(self, net_wh: int) -> None:
        """Say what all homes together need in the next interval, before it is lived. [Wh]"""
        self._correct(self._next, net_wh)

    def _correct(self, row: int, net_wh: int) -> None:
        self._import_wh[row, 0], self._export_wh[row, 0] = max(net_wh, 0), max(-net_wh, 0)
        self._readings.correct(row, np.array([net_wh], dtype=np.int64))

    def planned_wh(self) -> int:
        """What the devices are planned to take in the next interval, or give where negative; 0 without history. [Wh]"""
        known, forecast, traded = self._look_ahead()
        if forecast is None or not (forecast.valid is None or forecast.valid[: traded + 1].all()):
            return 0
        moved = self._operation.project(self._next, known, forecast, traded).moved_wh
        return sum(int(column[0]) for column in moved.values())

    def expected_net_wh_ahead(self) -> list[int]:
        """What all homes are expected to need, from the next interval on as far as is looked ahead. [Wh]

        Empty without enough history.
        """
        _, forecast, traded = self._look_ahead()
        if forecast is None or not (forecast.valid is None or forecast.valid.all()):
            return []
        ahead: list[int] = forecast.median_wh[traded:, 0].tolist()
        return ahead

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        net_wh = self._readings.net_wh[self._first : self._next, 0]
        return {**super().snapshot(), "seen_wh": net_wh.tolist()}

    def restore(self, saved: Any) -> None:
        """Continue from a snapshot of the same homes under the same rules.

        Raises:
            InvalidSnapshot: It is not of these homes.
        """
        super().restore(saved)
        with reading_snapshot():
            seen: IntArray = whole_from_json("seen_wh", saved["seen_wh"], (self.lived,))
        for row, net_wh in enumerate(seen.tolist(), self._first):
            self._correct(row, net_wh)
