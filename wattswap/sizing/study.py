"""A study of sizes as one result: what each size saves, who gains how much at one of them, and what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from market.units import money
from wattswap.errors import UsageError
from wattswap.runs.shown import days_text
from wattswap.scenario.basis import title_of
from wattswap.scenario.load import Scenario
from wattswap.sizing.asked import asked_of
from wattswap.sizing.homes import Homes, homes_of
from wattswap.sizing.sharing import NO_PEAK_PRICE, RULES, Sharing, charges_peak, share
from wattswap.sizing.sizes import Asked, Size, planner_of, sizes_of, way
from wattswap.sizing.walk import walked

if TYPE_CHECKING:
    import pandas as pd

SAMPLES: Final = 1_000
LEAST_SAID: Final = 0.005
"""Less money is nothing. [currency]"""
NEARLY_A_YEAR: Final = 360
"""Windows of fewer days are a season. [days]"""

_RULE: Final = (
    "By rule: the battery stores what homes offer and gives what they need, and knows nothing of the future."
)
_BOUND: Final = "(perfect foresight). It is a bound that nobody can be promised."
_FORESIGHT: Final = {
    "welfare": (
        f"At most: load, sun and prices are known ahead {_BOUND} {_RULE} Decide by what the rule, or a plan, saves."
    ),
    "peak": (
        f"The peak is the least that a battery can keep to if load and sun are known ahead {_BOUND} {_RULE} Without"
        " knowledge of the future the peak may stay as it is."
    ),
    "self_consumption": f"{_RULE} So the figures are no bound.",
}

OnStep = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is done."""


@dataclass(frozen=True, eq=False)
class Study:
    """What sizes of a common battery do for the homes of a scenario.

    Args:
        scenario: The scenario.
        homes: Its homes, without a market.
        asked: What was asked.
        sizes: One result a size, ascending.
        shared_at: Place in `sizes` of the size whose saving is shared; None where there is no size above 0.
        sharing: The shares there.
        seed: Of drawn orders.
    """

    scenario: Scenario
    homes: Homes
    asked: Asked
    sizes: tuple[Size, ...]
    shared_at: int | None
    sharing: Sharing | None
    seed: int

    @property
    def foresight(self) -> bool:
        """Whether the figures of the goal assume that the future is known."""
        return self.asked.goal != "self_consumption"

    @property
    def extrapolates(self) -> bool:
        """Whether figures of a year are those of a season, multiplied."""
        return self.homes.days < NEARLY_A_YEAR

    @property
    def walks(self) -> bool:
        """Whether plans from forecasts were asked for."""
        return any(size.planned is not None for size in self.sizes)

    def best(self, by: str) -> float | None:
        """The size that saves most a year beyond its cost, "best" or by "rule"; None where that is not known. [kWh]"""
        known = [(getattr(size, f"{by}_net_per_year"), size.capacity_kwh) for size in self.sizes]
        paying = [(net, -capacity) for net, capacity in known if net is not None]
        return -max(paying)[1] if paying else None

    def to_dict(self) -> dict[str, Any]:
        """The study as JSON values, as docs/how-to/size-a-battery.md describes them; what is undefined is None."""
        homes, setup = self.homes, self.homes.setup
        return {
            "scenario": self.scenario.name,
            "title": title_of(self.scenario.resolved()),
            "currency": self.scenario.currency,
            "homes": len(setup.roster),
            "start": setup.interval(0).start.isoformat(),
            "intervals": setup.intervals,
            "interval_minutes": setup.minutes,
            "zone": setup.zone,
            "days": homes.days,
            "year_is_extrapolated": self.extrapolates,
            "goal": self.asked.goal,
            "perfect_foresight": self.foresight,
            "power_kw_per_kwh": float(self.asked.power_w_per_kwh / 1_000),
            "cost_alone": None if self.sharing is None else money(int(self.sharing.alone_nano.sum())),
            "cost_without_battery": money(homes.demand.cost_nano()),
            "best_capacity_kwh": self.best("best"),
            "best_capacity_by_rule_kwh": self.best("rule"),
            "sizes": [_size_dict(size) for size in self.sizes],
            "shares": None if self.sharing is None else self._shares_dict(self.sharing),
            "notes": self.notes(),
        }

    def _shares_dict(self, sharing: Sharing) -> dict[str, Any]:
        assert self.shared_at is not None
        size = self.sizes[self.shared_at]
        return {
            "capacity_kwh": size.capacity_kwh,
            "method": sharing.method,
            "samples": sharing.samples,
            "seed": None if sharing.samples is None else self.seed,
            "undefined_because": dict(sharing.reasons),
            "homes": [
                {
                    "home": home,
                    "cost_alone": money(int(sharing.alone_nano[i])),
                    "saved": {
                        rule: _amount(getattr(sharing.with_battery, f"by_{rule}"), i) for rule in RULES
                    },
                    "saved_without_battery": {
                        rule: _amount(getattr(sharing.without_battery, f"by_{rule}"), i) for rule in RULES
                    },
                }
                for i, home in enumerate(self.homes.setup.roster)
            ],
        }

    @property
    def frame(self) -> pd.DataFrame:
        """One row a size, by capacity_kwh: the figures of the goal, then those of rule and plan with a prefix."""
        import pandas as pd

        rows = []
        for row in self.to_dict()["sizes"]:
            ways = {name: row.pop(name) for name in ("rule", "plan")}
            for name, figures in ways.items():
                row |= {f"{name}_{key}": value for key, value in (figures or {}).items()}
            if not self.walks:
                del row["kept_by_plan"]
            rows.append(row)
        frame = pd.DataFrame(rows).astype("float64").set_index("capacity_kwh")
        frame.attrs["currency"] = self.scenario.currency
        return frame

    @property
    def shares(self) -> pd.DataFrame:
        """One row a home: what it pays alone and saves by each rule, with the battery and without."""
        import pandas as pd

        found = self.to_dict()["shares"]
        rows = [
            {
                "home": one["home"],
                "cost_alone": one["cost_alone"],
                **{f"saved_by_{rule}": one["saved"][rule] for rule in RULES},
                **{f"without_battery_by_{rule}": one["saved_without_battery"][rule] for rule in RULES},
            }
            for one in (found["homes"] if found else [])
        ]
        return pd.DataFrame(rows).set_index("home") if rows else pd.DataFrame()

    def notes(self) -> list[str]:
        """What people must know before they believe the figures."""
        found = [_FORESIGHT[self.asked.goal]]
        if self.walks:
            found.append("By plan: planned a day ahead from forecasts, interval by interval.")
        if self.extrapolates:
            found.append(
                f"A year is {days_text(self.homes.days)} times {self.homes.per_year:.2f}: a season is"
                " not a year. Take a whole year for a decision."
            )
        if self.asked.battery.cost_micro_per_kwh is None:
            found.append(
                "What the battery costs is not known, so payback is undefined: give community.battery.cost_per_kwh."
            )
        beyond = max(size.unproven for size in self.sizes)
        if beyond >= LEAST_SAID:
            found.append(
                "Prices below 0 make a search of the best plan, which ended early: up to"
                f" {beyond:.2f} less might be saved over the window than the bound here."
            )
        if self.homes.setup.grid is not None or self.homes.setup.zones is not None:
            found.append(
                "Lines and transformers of the scenario limit nothing here, and fees between its zones are not counted:"
                " homes and battery net as at one point."
            )
        if self.homes.generation_wh is None:
            found.append("Own use is undefined: the data do not have the production behind the meters.")
        if self.sharing is not None:
            found += self._notes_on_shares(self.sharing)
        return found

    def _notes_on_shares(self, sharing: Sharing) -> list[str]:
        by_reason: dict[str, list[str]] = {}
        for rule, why in sharing.reasons.items():
            by_reason.setdefault(why, []).append(rule)
        found = [f"No shares by {', '.join(rules)}: {why}." for why, rules in by_reason.items()]
        if self.asked.goal == "peak" and sharing.method is not None:
            found.append(
                "Shares are of what the charge for the peak falls by if it is asked of the meter that a group has in"
                " common, and not of each home's; energy is not counted, and each month begins with the battery empty."
            )
        if sharing.samples is not None:
            found.append(
                f"Shapley shares are sampled: {sharing.samples} orders of arrival, seed {self.seed}."
            )
        return found


Made = TypeVar("Made", bound=Study)


def study_of(
    kind: type[Made],
    scenario: Scenario,
    sizes: str | Iterable[float] | None = None,
    *,
    power_per_kwh: float | None = None,
    goal: str | None = None,
    share_at: float | None = None,
    plan: bool = False,
    samples: int = SAMPLES,
    on_step: OnStep | None = None,
) -> Made:
    """Study sizes of a common battery, in a class made of `Study`; see `wattswap.api.size_battery`."""
    asked, shared_wh = asked_of(scenario, sizes, power_per_kwh, goal, share_at)
    if share_at is not None and asked.goal == "peak" and not charges_peak(scenario):
        cure = "give tariff.peak_per_kw_month, or choose another goal"
        raise UsageError.of("--share-at", f"has nothing to share: {NO_PEAK_PRICE}", cure)
    homes = homes_of(scenario)
    tell = on_step or (lambda what, done, total: None)
    planner = planner_of(homes, asked)
    found = list(sizes_of(homes, asked, planner, lambda done, total: tell("sizes", done, total)))
    if plan:
        found = _with_plans(homes, asked, found, tell)
    at = _shared_at(asked, found, shared_wh)
    sharing = None
    if at is not None:
        tell("shares", 0, 1)
        store = asked.store(asked.capacities_wh[at], homes.setup.minutes)
        sharing = share(homes, store, planner, asked.goal, samples, scenario.seed)
    return kind(scenario, homes, asked, tuple(found), at, sharing, scenario.seed)


def _with_plans(homes: Homes, asked: Asked, sizes: list[Size], tell: OnStep) -> list[Size]:
    """The sizes with what plans from forecasts make of each that holds anything."""
    demand = homes.demand
    stores = [asked.store(capacity, homes.setup.minutes) for capacity in asked.capacities_wh]
    real = [i for i, store in enumerate(stores) if store.capacity_wh and store.power_wh]
    if not real:
        return sizes
    done = walked(
        homes,
        demand,
        [stores[i] for i in real],
        lambda now, total: tell("intervals of plans", now, total),
        asked.goal,
    )
    found = list(sizes)
    for i, one in zip(real, done, strict=True):
        purchase = asked.purchase(asked.capacities_wh[i])
        found[i] = replace(found[i], planned=way(homes, demand, stores[i], one, purchase))
    return found


def _shared_at(asked: Asked, sizes: list[Size], shared_wh: int | None) -> int | None:
    """The size whose saving is shared: that asked for, the scenario's, that which nets most by rule, or the largest."""
    if not any(asked.capacities_wh):
        return None
    for given in (shared_wh, asked.battery.capacity_wh):
        if given:
            return list(asked.capacities_wh).index(given)
    nets = [(size.rule_net_per_year, i) for i, size in enumerate(sizes) if size.capacity_kwh]
    known = [(net, -i) for net, i in nets if net is not None]
    return -max(known)[1] if known else len(sizes) - 1


def _size_dict(size: Size) -> dict[str, Any]:
    """A size with the figures of its goal beside it, and those of the other ways by their names."""
    return {
        "capacity_kwh": size.capacity_kwh,
        "power_kw": size.power_kw,
        "battery_cost_per_year": size.cost_per_year,
        **asdict(size.best),
        "net_per_year": size.best_net_per_year,
        "unproven": size.unproven,
        "rule": asdict(size.rule) | {"net_per_year": size.rule_net_per_year},
        "plan": None if size.planned is None else asdict(size.planned) | {"net_per_year": _net(size)},
        "kept_by_rule": _kept(size.rule.saving, size.best.saving),
        "kept_by_plan": None if size.planned is None else _kept(size.planned.saving, size.best.saving),
    }


def _net(size: Size) -> float | None:
    if size.planned is None or size.cost_per_year is None:
        return None
    return size.planned.saving_per_year - size.cost_per_year


def _kept(saving: float, most: float) -> float | None:
    """Share of a bound that is reached; None where the bound is nothing."""
    return saving / most if most > 0 else None


def _amount(shares: Any, i: int) -> float | None:
    return None if shares is None else money(int(shares[i]))
