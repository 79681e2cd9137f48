"""The content of a report, the same for a run and a comparison: outcomes by mechanism, one order book, provenance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from wattswap.comparison.statistics import mean_interval
from wattswap.runs.shown import money_in_cents
from wattswap.scenario.basis import rests_on, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from market.mechanism import Promises
    from wattswap.runs.ac import AcOfRun
    from wattswap.runs.grid_shown import GridShown


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds: its mean and the 95 % interval of the mean.

    Args:
        mean: None where the figure is undefined under any seed: the mean of the others would flatter it.
        low: Lower end; None with fewer than two seeds.
        high: Upper end; None with fewer than two seeds.
        seeds: For how many seeds it is defined.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    seeds: int = 1

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread:
        """Mean of the values, with the interval of Student's t."""
        every = list(values)
        defined = [float(v) for v in every if v is not None and v == v]
        if len(defined) < len(every):
            return cls(None, seeds=len(defined))
        found = mean_interval(defined)
        return cls(found.mean, found.low, found.high, found.n)


UNDEFINED = Spread(None, seeds=0)


@dataclass(frozen=True, slots=True)
class Observed:
    """Observations to compare with a mechanism's promises; None where there is none.

    Args:
        deficit_intervals: Intervals in which the operator had to add money.
        surplus_intervals: Intervals in which the operator kept money.
        worse_than_limit: Homes and intervals in which more was paid, or less got, than the limit says, fees included.
        efficiency: Welfare over the largest possible welfare at the same stated limits, 0 to 1.
        volume_share: Traded energy over that of the welfare optimum.
    """

    deficit_intervals: int | None = None
    surplus_intervals: int | None = None
    worse_than_limit: int | None = None
    efficiency: float | None = None
    volume_share: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one mechanism.

    Args:
        label: Its name, as the scenario or the comparison calls it.
        metrics: Figures by name, in kWh, kW and currency.
        intervals: Indexed by interval_start local: price_per_kwh, import_per_kwh, feed_in_per_kwh, traded_kwh, and
            import_kwh and export_kwh of all meters.
        bills: Indexed by home: cost_without_market, cost_with_market, saving and energy in kWh.
        observed: What it did.
        promises: What it promises; None for a mechanism that is not registered here.
    """

    label: str
    metrics: Mapping[str, Spread]
    intervals: pd.DataFrame
    bills: pd.DataFrame
    observed: Observed = field(default_factory=Observed)
    promises: Promises | None = None

    def value(self, metric: str) -> float | None:
        """Mean of a figure, or None."""
        return self.metrics.get(metric, UNDEFINED).mean

    def shown(self, metric: str) -> Spread:
        """A figure as pages show it: the mean of money in cents that add up."""
        found = self.metrics.get(metric, UNDEFINED)
        return replace(found, mean=self.cents.get(metric, found.mean))

    @property
    def cents(self) -> dict[str, float]:
        """The money of all homes together by metric, in cents that add up."""
        return money_in_cents({name: found.mean for name, found in self.metrics.items()})


@dataclass(frozen=True, slots=True)
class Curve:
    """The order book of one interval and its clearing.

    Args:
        start: Start of the interval, UTC.
        orders: `household`, side ("buy" or "sell"), energy_kwh, limit_per_kwh, accepted_kwh, price_per_kwh.
        price: Clearing price per kWh; None where nothing traded or orders have prices of their own.
        traded_kwh: Energy traded.
    """

    start: datetime
    orders: pd.DataFrame
    price: float | None
    traded_kwh: float


@dataclass(frozen=True, slots=True)
class Sweep:
    """Figures of all points of a sweep.

    Args:
        keys: Keys of the scenario that are varied.
        points: Names of all points.
        frames: By metric, one row a point and mechanism: a column for each key with its value as it was written,
            mechanism, and mean, low and high of the metric over the seeds.
        bound: Label of the upper bound.
        seeds: For how many seeds each was run.
    """

    keys: tuple[str, ...]
    points: tuple[str, ...]
    frames: Mapping[str, pd.DataFrame]
    bound: str
    seeds: int


@dataclass(frozen=True, slots=True)
class Story:
    """The content of a report.

    Args:
        kind: What the folder is.
        title: Title of the scenario, or its name.
        currency: Currency code.
        homes: Number of homes.
        start: First interval, as text, UTC.
        intervals: Number of intervals.
        interval_minutes: Length of one.
        seeds: Seeds that were run.
        outcomes: One a mechanism, in the order to show; the reference is one of them.
        reference: Label of the outcome without a market.
        bound: Label of the outcome that no mechanism can pass, if there is one.
        focus: Label of the mechanism that bills, curve and flows are shown for.
        curve: Gives the book of an interval, by default the one with the most traded energy.
        flows: Source, target and kWh of each flow of energy, of `focus`.
        seconds: Computing time of the whole.
        chain: Facts about the chain, or None.
        provenance: What it was made of, by name.
        repeat: The command that makes it again.
        scenario: The resolved scenario.
        notes: Sentences about the data.
        history: Sentences about homes with too short a history.
        metered_pv: Whether any home has a meter of its production.
        point: The point of a sweep; empty if nothing was varied.
        sweep: All points of the sweep; None where there are no others.
        effects: What each mechanism saves more than the one that its attribute `reference` names, and why; see
            `wattswap.comparison.effects.by_mechanism`. None where none is named.
        rationing: How each mechanism rations, by label: as the market declares it, or by its own rule.
        grid: Lines and nodes of a run whose scenario has a grid.
        ac: Its AC check, or why there is none.
    """

    kind: Literal["run", "comparison"]
    title: str
    currency: str
    homes: int
    start: str
    intervals: int
    interval_minutes: int
    seeds: tuple[int, ...]
    outcomes: tuple[Outcome, ...]
    reference: str
    bound: str | None
    focus: str
    curve: Callable[[datetime | None], Curve]
    flows: pd.DataFrame
    seconds: float | None
    chain: Mapping[str, Any] | None
    provenance: Mapping[str, str]
    repeat: str
    scenario: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    metered_pv: bool = True
    point: str = ""
    sweep: Sweep | None = None
    effects: pd.DataFrame | None = None
    rationing: Mapping[str, str] = field(default_factory=dict)
    grid: GridShown | None = None
    ac: AcOfRun | str | None = None

    def outcome(self, label: str) -> Outcome:
        """The outcome of a mechanism."""
        return next(o for o in self.outcomes if o.label == label)

    @property
    def figures(self) -> dict[str, dict[str, float | None]]:
        """Mean of every metric by mechanism."""
        return {o.label: {name: found.mean for name, found in o.metrics.items()} for o in self.outcomes}

    @property
    def focused(self) -> Outcome:
        """The outcome of the mechanism in focus."""
        return self.outcome(self.focus)

    @property
    def without(self) -> Outcome:
        """The outcome without a market."""
        return self.outcome(self.reference)

    @property
    def rivals(self) -> tuple[Outcome, ...]:
        """The mechanisms proper: neither the reference nor the bound."""
        return tuple(o for o in self.outcomes if o.label not in (self.reference, self.bound))

    @property
    def shown(self) -> tuple[Outcome, ...]:
        """The outcomes whose bills are shown: the mechanisms proper, or the only one there is."""
        return self.rivals or (self.focused,)

    @property
    def nets_imbalance(self) -> bool:
        """Whether homes settle among each other, before the retailer, what was not traded."""
        market = self.scenario.get("market", {})
        return bool(market.get("quantities") != "metered" and market.get("imbalance") != "retailer")

    @property
    def metered(self) -> bool:
        """Whether quantities come from the meters instead of from orders."""
        return bool(self.scenario.get("market", {}).get("quantities") == "metered")

    @property
    def basis(self) -> dict[str, str]:
        """What the figures rest on, by topic."""
        mechanism = self.focus if self.kind == "run" else ""
        return rests_on(self.scenario, self.history, mechanism, metered_pv=self.metered_pv)

    @property
    def zone(self) -> str:
        """Time zone in which people read its times."""
        return zone_of(self.scenario)

    @property
    def length(self) -> timedelta:
        """How long the simulated time is."""
        return timedelta(minutes=self.intervals * self.interval_minutes)


KEPT, RELEASED = "Kept or lost in batteries", "Out of batteries beyond what went in"
"""Batteries as ends of flows: into them less out of them, or the other way round."""

IN_COMMON = "Battery in common"
"""The battery in common as an end of flows, net of what it took and gave."""


def energy_flows(sums: Mapping[str, float | None], *, in_common: bool = False) -> pd.DataFrame:
    """Flows of energy between sources and uses, over the whole time.

    Args:
        sums: import_kwh, export_kwh, retail_import_kwh, retail_export_kwh of all homes together; load_kwh and pv_kwh,
            or None if the data do not have them.
        in_common: Whether the homes have a battery in common; what it buys and sells outside is in `sums` then.

    Returns:
        Columns source, target, energy_kwh. What neighbours gave each other is the metered export that no retailer
        bought, and what they got the metered import that no retailer sold: the same, but for grid losses. Of batteries
        only the net energy is known: what they kept or lost of what went in, or gave beyond it. A battery in common
        takes what neighbours gave and none of them got: there are no grid losses beside it.
    """
    import pandas as pd

    imported, exported = float(sums["import_kwh"] or 0), float(sums["export_kwh"] or 0)
    bought, sold = float(sums["retail_import_kwh"] or 0), float(sums["retail_export_kwh"] or 0)
    given, got = exported - sold, imported - bought
    load, pv = sums.get("load_kwh"), sums.get("pv_kwh")
    source, use = "Surplus of homes", "Needs of homes"
    rows: list[tuple[str, str, float]] = []
    if load is not None and pv is not None and pv >= exported and load >= imported:
        source, use = "PV", "Consumption"
        kept, own = pv - exported, load - imported
        rows.append((source, use, min(kept, own)))
        rows.append((source, KEPT, max(kept - own, 0.0)))
        rows.append((RELEASED, use, max(own - kept, 0.0)))
    rows += _in_common(given, got) if in_common else [("Neighbours", "Grid losses", given - got)]
    rows += [
        (source, "Neighbours", given),
        ("Neighbours", use, got),
        (source, "Retailer buys", min(sold, exported) if in_common else sold),
        ("Retailer sells", use, min(bought, imported) if in_common else bought),
    ]
    frame = pd.DataFrame(rows, columns=["source", "target", "energy_kwh"])
    return frame[frame["energy_kwh"] > 5e-4].reset_index(drop=True)


def _in_common(given: float, got: float) -> list[tuple[str, str, float]]:
    """The net of a battery in common: with neighbours, and outside what it trades there beyond all homes."""
    kept = max(given, 0.0) - max(got, 0.0)
    return [
        ("Neighbours", IN_COMMON, kept),
        (IN_COMMON, "Neighbours", -kept),
        (IN_COMMON, "Retailer buys", -given),
        ("Retailer sells", IN_COMMON, -got),
    ]
