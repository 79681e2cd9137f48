"""Whether the money of a run can be counted, before it runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.readings import MeterData
from market.settlement.tariff import MINUTES_PER_DAY, OutsidePrices
from market.units import INT64_SAFE, NANO_PER_UNIT
from wattswap.scenario.load import Scenario


def refuse_too_much_money(
    scenario: Scenario, meter: MeterData, first_row: int, tariffs: Sequence[OutsidePrices]
) -> None:
    """Refuse a run whose bills could leave the integers that money is counted in, before it runs for hours.

    Raises:
        InvalidScenario: All energy at the retailer's prices and the remote fee, and the charges of the metering
            points, pass 2^62 nano-currency.
    """
    prices = tariffs[0]
    highest = np.max([np.abs(one.import_micro_per_kwh) for one in tariffs], axis=0)
    bought = highest.astype(np.float64) + prices.grid_fee_remote_micro_per_kwh
    sold = np.max([np.abs(one.feed_in_micro_per_kwh) for one in tariffs], axis=0).astype(np.float64)
    import_wh, export_wh = (wh[first_row:].sum(axis=1) for wh in (meter.import_wh, meter.export_wh))
    nano = float(import_wh @ bought + export_wh @ sold)
    added, days = scenario.tariff.surcharges, len(prices) * meter.minutes / MINUTES_PER_DAY + 1
    highest_w = float(meter.import_wh[first_row:].max(axis=0).sum()) * 60 / meter.minutes
    nano += days * added.with_vat(added.standing_micro_per_day) * 1_000 * len(meter.households)
    nano += days / 28 * added.with_vat(added.peak_micro_per_kw_month) * highest_w
    if nano >= INT64_SAFE:
        most, unit = INT64_SAFE / NANO_PER_UNIT, scenario.currency
        raise scenario.invalid(
            "tariff",
            f"the bills of this run are about {nano / NANO_PER_UNIT:.2g} {unit}, and a run can count {most:.2g} {unit}",
            f"run a shorter time or fewer homes, or give all prices in a larger unit, such as 1,000 {unit}",
        )
