"""The commitment of a genesis to the data of homes, made where the data of all of them are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final

import numpy as np

from data.store import columns
from market.units import IntArray
from wattswap.runs.capacity import capacities_of
from wattswap.runs.checked import Checked
from wattswap.runs.held import VERSION, WEIGHTS, Columns, Facts, SaltOf, Weights, digest_of, text_digest
from wattswap.runs.homes import history_days
from wattswap.runs.throughput import DAYS
from wattswap.scenario.load import Scenario

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, eq=False)
class Committed:
    """What a genesis commits to.

    Args:
        found: The scenario's data.
        lead: Intervals before the traded one whose readings are not yet known at gate closure.
        salt_of: Salts of the digests.
        weights: Weights of the shares of a pool; None where nothing is shared by them.
    """

    scenario: Scenario
    found: Checked
    lead: int
    salt_of: SaltOf
    weights: Weights | None

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        found: Checked,
        lead: int,
        salt_of: SaltOf,
        weight_wh: Callable[[int], IntArray] | None,
    ) -> Committed:
        """What the genesis of a scenario commits to; `weight_wh` gives the weights of an interval of the run."""
        if weight_wh is None:
            return cls(scenario, found, lead, salt_of, None)
        weights = Weights.of(salt_of(WEIGHTS), [weight_wh(i) for i in range(found.intervals)])
        return cls(scenario, found, lead, salt_of, weights)

    def readings(self, home: int) -> Columns:
        """The readings of one home, by its place in the roster. [Wh]"""
        meter, rows = self.found.meter, slice(self._before, None)
        subs = {f"{name}_wh": wh[rows, home] for name, wh in meter.sub_meters.items()}
        registers = {
            "import_wh": meter.import_wh[rows, home],
            "export_wh": meter.export_wh[rows, home],
            "quality": meter.quality[rows, home].astype(np.int64),
        }
        return {**subs, **registers}

    def facts(self) -> Facts:
        """What the genesis has the digest of."""
        found, meter, before = self.found, self.found.meter, self._before
        placed = self.scenario.grid is not None or self.scenario.zones is not None
        digests = tuple(
            digest_of(self.salt_of(home), self.readings(i)) for i, home in enumerate(meter.households)
        )
        columns.release(meter)  # all of it was read
        return Facts(
            version=VERSION,
            homes=meter.households,
            data_homes=found.data_homes if placed else (),
            dropped=found.dropped_homes,
            undrawn=found.undrawn_homes,
            start_s=meter.start_s + before * meter.minutes * 60,
            minutes=meter.minutes,
            rows=meter.intervals - before,
            first_row=found.first_row - before,
            sub_meters=tuple(sorted(meter.sub_meters)),
            capacities=capacities_of(
                self.scenario.data.fuse_w,
                meter.minutes,
                meter.import_wh[before:],
                meter.export_wh[before:],
                found.devices,
            ),
            batteries=tuple(None if spec is None else astuple(spec) for spec in meter.batteries),
            readings=digests,
            weights="" if self.weights is None else text_digest(self.weights.text()),
        )

    @property
    def _before(self) -> int:
        """Rows before those that every reader of the scenario uses: a study may have read more history."""
        days = max(history_days(self.scenario), DAYS + 1)
        used = days * DAY_S // (self.found.minutes * 60) + self.lead
        return max(self.found.first_row - used, 0)
