"""The readings of homes and what of them is known when the gate of an interval closes."""

from __future__ import annotations

from agents.energy_rows import parts_of, read_only, until
from agents.rules import AgentRules, Known, Weather, local_minutes
from market.settlement.tariff import OutsidePrices
from market.units import BoolArray, IntArray


class Readings:
    """Readings without simulated devices, weather and clock of homes, one row per interval; all of it read-only.

    Args:
        net_wh: Import minus export, shape (intervals, homes), as `net_of` gives it; used as working memory. [Wh]
        pv_wh: Production, where the homes have meters of it. [Wh]
        valid: Which readings exist; None if all do.
        first: Row of the first simulated interval.
        rules: How the agents behave.
        tariff: Outside prices from the first simulated interval on.
        start_s: Start of row 0. [s since 1970 UTC]
        zone: Time zone of the homes' calendar.
        weather: Measured weather, one value per row.
        ahead: Rows behind the last for which the clock is needed.
    """

    def __init__(
        self,
        net_wh: IntArray,
        pv_wh: IntArray | None,
        valid: BoolArray | None,
        first: int,
        rules: AgentRules,
        tariff: OutsidePrices,
        start_s: int,
        zone: str,
        weather: Weather,
        ahead: int,
    ) -> None:
        self.weather = weather
        self.net_wh, self._pv_wh, self._load_wh = parts_of(net_wh, pv_wh, valid)
        self._valid, self._first, self._rules, self._tariff = valid, first, rules, tariff
        self._start_s, self._zone = start_s, zone
        self._local_minute = local_minutes(start_s, rules.minutes, len(net_wh) + ahead, zone)
        read_only(self.net_wh, self._pv_wh, self._load_wh)
        for column in weather.values():
            column.flags.writeable = False

    def correct(self, row: int, net_wh: IntArray) -> None:
        """Replace the readings of a row that nobody has seen yet, shape (homes,). [Wh]"""
        self.net_wh.flags.writeable = True
        self.net_wh[row] = net_wh
        self.net_wh.flags.writeable = False

    def start_of(self, row: int) -> int:
        """Start of the interval of a row. [s since 1970 UTC]"""
        return self._start_s + row * self._rules.minutes * 60

    def known_at(self, row: int) -> Known:
        """What is known when the gate of this row's interval closes."""
        rules, known = self._rules, max(row - self._rules.lead, 0)
        return Known(
            knowledge_s=self.start_of(row) - rules.gate_closure_minutes * 60,
            start_s=self._start_s,
            minutes=rules.minutes,
            days=rules.forecast_days,
            net_wh=until(self.net_wh, known),
            zone=self._zone,
            local_minute=self._local_minute,
            tariff=self._tariff,
            tariff_row=row - self._first,
            weather={name: column[:known] for name, column in self.weather.items()},
            valid=None if self._valid is None else self._valid[:known],
            pv_wh=None if self._pv_wh is None else until(self._pv_wh, known),
            load_wh=None if self._load_wh is None else until(self._load_wh, known),
        )
