"""Energy of the community: what is settled inside and with the retailer, and what its meters show together.

What is settled depends on mechanism and imbalance rule, and has it in its name. Peaks, ramps, emissions and how much
of its use the community covers itself are physics: they follow from the meters alone, netted over all homes in every
interval, and are equal where flows are equal.
"""

from __future__ import annotations

import numpy as np

from market.metrics import energy as formulas
from market.metrics import grid
from market.metrics.table import Result, metric
from market.units import WH_PER_KWH, IntArray

NO_LOAD = "the data do not have the load behind the meter, or there is none"


@metric(unit="kWh", better="higher")
def local_kwh(r: Result) -> float:
    """Energy that changed hands inside: traded, and netted as imbalance inside the community."""
    return r.kwh("local_wh")


@metric(unit="kWh", needs=("delivered_wh",), undefined_because="not known")
def delivered_kwh(r: Result) -> float:
    """Energy that homes and a battery in common gave each other: min(sum need, sum offer) of netted meters."""
    return r.kwh("delivered_wh")


@metric(unit="kWh", needs=("load_wh",), undefined_because="the data do not have the load behind the meter")
def load_kwh(r: Result) -> float:
    """Consumption behind the meters."""
    return r.kwh("load_wh")


@metric(
    unit="kWh", needs=("beyond_alone_wh",), undefined_because="no home with a battery reacts to the market"
)
def stored_beyond_alone_kwh(r: Result) -> float:
    """What batteries hold at the end beyond what they would hold without a market; no bill counts its worth."""
    return r.facts["beyond_alone_wh"] / WH_PER_KWH


@metric(unit="kWh", better="lower")
def metered_import_kwh(r: Result) -> float:
    """Import of all meters."""
    return r.kwh("import_wh")


@metric(unit="kWh")
def metered_export_kwh(r: Result) -> float:
    """Export of all meters."""
    return r.kwh("export_wh")


@metric(unit="kWh", better="lower")
def settled_with_retailer_import_kwh(r: Result) -> float:
    """Energy that homes buy from the retailer, on paper."""
    return r.kwh("retail_import_wh")


@metric(unit="kWh")
def settled_with_retailer_export_kwh(r: Result) -> float:
    """Energy that homes sell to the retailer, on paper."""
    return r.kwh("retail_export_wh")


@metric(
    unit="share",
    better="higher",
    needs=("load_wh",),
    undefined_because=NO_LOAD,
    source="Luthander et al. 2015",
    heading="self-sufficiency, %",
    decimals=1,
    percent=True,
)
def self_sufficiency(r: Result) -> float | None:
    """1 - sum import / sum load, import of the community, netted in each interval."""
    return formulas.self_sufficiency_metered(r.intervals["load_wh"], _import_wh(r))


@metric(
    unit="share",
    better="higher",
    needs=("load_wh",),
    undefined_because=NO_LOAD,
    source="Luthander et al. 2015",
    percent=True,
)
def self_sufficiency_alone(r: Result) -> float | None:
    """1 - sum import / sum load with each home netted alone, as without a market where homes react to one."""
    if "alone_import_wh" in r.facts:
        alone = (np.array([r.facts[name]], dtype=np.int64) for name in ("alone_load_wh", "alone_import_wh"))
        return formulas.self_sufficiency_metered(*alone)
    return formulas.self_sufficiency_metered(r.intervals["load_wh"], r.intervals["import_wh"])


@metric(
    unit="share",
    better="higher",
    needs=("pv_wh",),
    undefined_because="the data do not have the generation behind the meter, or there is none",
    source="Luthander et al. 2015",
    percent=True,
)
def self_consumption(r: Result) -> float | None:
    """1 - sum export / sum generation, export of the community, netted in each interval."""
    return formulas.self_consumption_metered(r.intervals["pv_wh"], _export_wh(r))


@metric(unit="kW", better="lower", undefined_because="no intervals", heading="peak import, kW", decimals=1)
def peak_import_kw(r: Result) -> float | None:
    """Largest import of the community in an interval / its length."""
    return grid.peak_kw(_import_wh(r), r.facts["minutes"])


@metric(unit="kW", better="lower", undefined_because="no intervals")
def peak_export_kw(r: Result) -> float | None:
    """Largest export of the community in an interval / its length."""
    return grid.peak_kw(_export_wh(r), r.facts["minutes"])


@metric(unit="ratio", better="lower", undefined_because="nothing is imported")
def peak_to_average(r: Result) -> float | None:
    """Largest import / mean import of the community."""
    return grid.peak_to_average(_import_wh(r))


@metric(unit="kW", better="lower", undefined_because="fewer than two intervals")
def ramping_kw(r: Result) -> float | None:
    """Mean change of power from one interval to the next: sum abs(P_t - P_(t-1)) / (T - 1)."""
    return grid.ramping_kw(_import_wh(r), _export_wh(r), r.facts["minutes"])


@metric(
    unit="kg",
    better="lower",
    undefined_because="the emission factor of an interval with import is not known",
    source="GHG Protocol Scope 2, location-based",
)
def co2_kg(r: Result) -> float | None:
    """Emissions of the energy from outside the community: sum import_t EF_t."""
    imported = _import_wh(r)
    return grid.co2_kg(imported, np.full(len(imported), float(r.facts.get("emission_g_per_kwh", np.nan))))


def _import_wh(r: Result) -> IntArray:
    """What the community draws from outside in each interval, all meters netted. [Wh]"""
    net_wh: IntArray = np.maximum(_net_wh(r), 0)
    return net_wh


def _export_wh(r: Result) -> IntArray:
    """What the community feeds in in each interval, all meters netted. [Wh]"""
    net_wh: IntArray = np.maximum(-_net_wh(r), 0)
    return net_wh


def _net_wh(r: Result) -> IntArray:
    """All meters netted, that of a battery in common included. [Wh]"""
    net_wh: IntArray = r.intervals["import_wh"] - r.intervals["export_wh"]
    return net_wh + r.intervals["battery_wh"] if "battery_wh" in r.intervals else net_wh
