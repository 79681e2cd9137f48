"""What bills say beside the postings of the chain: standing and peak charges, and what is fee, levy and VAT of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.state import whole_from_json
from market.settlement.accounts import BOUGHT, RETAIL_IMPORT
from market.settlement.charges import local_days, months_of, peak_nano, standing_nano
from market.units import IntArray
from wattswap.runs.interval import IntervalRecord
from wattswap.runs.prepare import Setup


class Charges:
    """Sums up what the columns of a tariff's surcharges need; a tariff without any adds no column.

    Args:
        setup: The prepared scenario.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup, self._tariff = setup, setup.scenario.tariff
        self._added = self._tariff.surcharges
        fixed = self._added.standing_micro_per_day or self._added.peak_micro_per_kw_month
        span = (setup.start_s, setup.minutes, setup.intervals if fixed else 0, setup.zone)
        self._days = local_days(*span)
        months = months_of(self._days)
        place = np.array([months.index(day.month) for day in self._days], dtype=np.int64)
        lengths = np.array([len(day.covered(range(setup.intervals))) for day in self._days], dtype=np.int64)
        self._month = np.repeat(place, lengths)
        self._homes, self._done = len(setup.roster), 0
        # Of what the tariff does not have, a checkpoint keeps nothing.
        taxed = self._homes if self._added.vat_ppm else 0
        measured = self._homes if self._added.peak_micro_per_kw_month else 0
        # Of the retailer's energy, what has the feed-in price and no remote fee: sold outside and not given.
        added = self._added.levied or self._added.vat_ppm
        self._left_wh = np.zeros(self._homes if added and setup.nodal is not None else 0, dtype=np.int64)
        self._retail_vat_nano = np.zeros(taxed, dtype=np.int64)
        self._peak_wh = np.zeros((len(months), measured), dtype=np.int64)

    def add(self, record: IntervalRecord) -> None:
        """Add the next interval."""
        postings = record.settled.postings
        outside = postings.lines[self._homes : self._homes + postings.external]
        left_wh = postings.back_wh if outside[:, BOUGHT].any() else None
        if left_wh is not None and len(self._left_wh):
            self._left_wh += left_wh
        if self._added.vat_ppm:
            bought_wh = postings.lines[: self._homes, RETAIL_IMPORT]
            bought_wh = bought_wh if left_wh is None else bought_wh - left_wh
            self._retail_vat_nano += bought_wh * self._setup.tariffs.vat_micro_per_kwh(self._done)
        if self._added.peak_micro_per_kw_month:
            highest = self._peak_wh[self._month[self._done]]
            np.maximum(highest, record.import_wh, out=highest)
        self._done += 1

    def columns(self, bills: Mapping[str, IntArray]) -> dict[str, IntArray]:
        """The columns beside those of the postings, of which `bills` are the sums; negative is paid by the home."""
        fixed, without_vat = self.fixed(), self.fixed(vat=False)
        if not (self._added.levied or self._added.vat_ppm):
            return fixed
        tariff, remote = self._tariff, bills["retail_import_wh"]
        remote = remote - self._left_wh if len(self._left_wh) else remote
        local = bills["import_wh"] - remote
        fee = local * tariff.grid_fee_local_micro_per_kwh + remote * tariff.grid_fee_remote_micro_per_kwh
        found = fixed | {"grid_fee_net_nano": -fee}
        levy = local * self._added.levy_local_micro_per_kwh + remote * self._added.levy_remote_micro_per_kwh
        if self._added.levied:
            found["levy_nano"] = -levy
        if self._added.vat_ppm:
            # What is posted is rounded per kWh, so the VAT of a bill is what the net parts leave of it.
            vat = bills["grid_fee_nano"] + fee + levy - self._retail_vat_nano
            found["vat_nano"] = vat + sum(fixed[name] - without_vat[name] for name in fixed)
        return found

    def fixed(self, *, vat: bool = True) -> dict[str, IntArray]:
        """Standing and peak charge of each home so far, with or without VAT; negative is paid by the home."""
        added, found = self._added, {}

        def rate(net: int) -> int:
            return added.with_vat(net) if vat else net

        if added.standing_micro_per_day:
            found["standing_nano"] = np.zeros(self._homes, dtype=np.int64)
            for term, homes in self._terms().items():
                charge = standing_nano(self._days, term, rate(added.standing_micro_per_day))
                found["standing_nano"][homes] = -charge
        if added.peak_micro_per_kw_month:
            month = rate(added.peak_micro_per_kw_month)
            found["peak_nano"] = np.zeros(self._homes, dtype=np.int64)
            for term, homes in self._terms().items():
                highest_wh = self._peak_wh[:, homes]
                found["peak_nano"][homes] = -peak_nano(
                    self._days, term, self._setup.minutes, highest_wh, month
                )
        return found

    def _terms(self) -> dict[range, list[int]]:
        """The intervals that have passed in which homes were members, and the homes of each such term."""
        setup, found = self._setup, dict[range, list[int]]()
        for home, bounds in enumerate(zip(setup.membership.from_s, setup.membership.to_s, strict=True)):
            first, end = (
                min(max((int(at_s) - setup.start_s) // (60 * setup.minutes), 0), self._done)
                for at_s in bounds
            )
            found.setdefault(range(first, end), []).append(home)
        return found

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "done": self._done,
            "retail_vat_nano": self._retail_vat_nano.tolist(),
            "peak_wh": self._peak_wh.tolist(),
            "left_wh": self._left_wh.tolist(),
        }

    def restore(self, saved: Mapping[str, Any], done: int) -> None:
        """Go on from a checkpoint.

        Args:
            saved: What `saved` gave.
            done: Intervals that have been added.

        Raises:
            TypeError, ValueError: It is not of this run.
        """
        if saved["done"] != done:
            raise ValueError(f"charges are of {saved['done']} intervals, not of {done}")
        self._done = done
        self._retail_vat_nano[:] = whole_from_json(
            "retail_vat_nano", saved["retail_vat_nano"], self._retail_vat_nano.shape
        )
        self._peak_wh[:] = whole_from_json("peak_wh", saved["peak_wh"], self._peak_wh.shape)
        self._left_wh[:] = whole_from_json("left_wh", saved["left_wh"], self._left_wh.shape)
