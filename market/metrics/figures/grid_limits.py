"""What the grid carries, where a scenario has one: overload and voltages by the meters, and what binds in clearings."""

from __future__ import annotations

from market.metrics.table import Result, metric
from market.units import PPM, IntArray

NO_GRID = "the scenario has no grid"
NO_NODES = "the mechanism does not clear on a grid"
MINUTES_PER_HOUR = 60


@metric(
    unit="h",
    better="lower",
    needs=("overloaded_lines",),
    undefined_because=NO_GRID,
    heading="overload, h",
    decimals=1,
)
def overload_hours(r: Result) -> float:
    """Time in which a line or transformer carries more than its limit, by the meters."""
    return _hours(r, r.intervals["overloaded_lines"])


@metric(unit="kW", better="lower", needs=("overload_wh",), undefined_because=NO_GRID, decimals=1)
def overload_kw(r: Result) -> float:
    """The most power beyond the limit of a line or transformer in an interval, by the meters."""
    most = int(r.intervals["overload_wh"].max(initial=0))
    return most * MINUTES_PER_HOUR / r.facts["minutes"] / 1_000


@metric(
    unit="share",
    better="lower",
    needs=("loading_ppm",),
    undefined_because=NO_GRID,
    percent=True,
    decimals=1,
)
def highest_loading(r: Result) -> float:
    """Highest flow of a line or transformer / its limit, by the meters."""
    return int(r.intervals["loading_ppm"].max(initial=0)) / PPM


@metric(
    unit="h",
    better="lower",
    needs=("nodes_out_of_band",),
    undefined_because="the grid has no voltages, or there is none",
    decimals=1,
)
def voltage_hours(r: Result) -> float:
    """Time in which the voltage of a node is outside of the band, by the meters and the fixed reactive load."""
    return _hours(r, r.intervals["nodes_out_of_band"])


@metric(
    unit="share",
    better="neither",
    needs=("binding_limits",),
    undefined_because=NO_NODES,
    percent=True,
    decimals=1,
)
def binding_share(r: Result) -> float | None:
    """Intervals in whose clearing a limit of the grid binds / intervals."""
    binding = r.intervals["binding_limits"]
    return float((binding > 0).mean()) if len(binding) else None


@metric(unit="currency", needs=("rent_nano",), undefined_because=NO_NODES, heading="congestion rent, {money}")
def congestion_rent(r: Result) -> float:
    """What buyers pay more than sellers get, because prices of nodes differ."""
    return r.money("rent_nano")


def _hours(r: Result, count: IntArray) -> float:
    return int((count > 0).sum()) * r.facts["minutes"] / MINUTES_PER_HOUR
