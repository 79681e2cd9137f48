"""A battery that keeps the peak low without knowledge of the future: an interval after the other, by a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from market.units import PPM
from optimizer.storage.rules import least_peak_from
from optimizer.storage.store import Store

_PPM2 = PPM * PPM


@dataclass(frozen=True, slots=True)
class Peak:
    """A battery on its way.

    The peak that it aims at is the highest import so far, or the least that the forecast lets it keep, whichever is
    more. It stores what is left over and gives what is needed, as by the rule of self-consumption, but keeps what the
    forecast needs later to stay below that peak, and charges from outside, below the peak, what is missing for it.

    Args:
        store: What limits it.
        stored_uwh: Content. [uWh]
        highest_wh: Highest import of an interval so far, with the battery. [Wh]
    """

    store: Store
    stored_uwh: int = 0
    highest_wh: int = 0

    def wanted_wh(self, net_wh: int, ahead_wh: Sequence[int]) -> int:
        """What it takes in an interval, within its limits; negative where it gives. [Wh]

        Args:
            net_wh: What the homes need in the interval. [Wh]
            ahead_wh: What they are expected to need after it. [Wh]
        """
        store, stored = self.store, self.stored_uwh
        peak = max(self.highest_wh, least_peak_from(stored, [net_wh, *ahead_wh], store))
        kept = self._kept_uwh(ahead_wh, peak)
        spare = max(stored - kept, 0) * store.discharge_efficiency_ppm // _PPM2
        missing = -(-max(kept - stored, 0) // store.charge_efficiency_ppm)
        wanted = min(max(-net_wh, missing or -spare), peak - net_wh)
        return min(max(wanted, -store.gives_at_most(stored)), store.takes_at_most(stored))

    def after(self, net_wh: int, taken_wh: int) -> Self:
        """The battery after it took energy in an interval in which the homes needed some. [Wh]"""
        return replace(
            self,
            stored_uwh=self.store.after(self.stored_uwh, taken_wh),
            highest_wh=max(self.highest_wh, net_wh + taken_wh),
        )

    def _kept_uwh(self, ahead_wh: Sequence[int], peak_wh: int) -> int:
        """The least content with which it keeps to a peak after the interval, at most what it holds. [uWh]"""
        store, kept = self.store, 0
        for net in reversed(ahead_wh):
            room = peak_wh - net
            if room < 0:
                kept += -(-min(-room, store.power_wh) * _PPM2 // store.discharge_efficiency_ppm)
            else:
                kept = max(kept - min(room, store.power_wh) * store.charge_efficiency_ppm, 0)
            kept = min(kept, store.capacity_wh * PPM)
        return kept
