"""[community]: what the homes have in common, so far a battery."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Literal, Self, get_args

from pydantic import Field, model_validator

from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, PPM, WH_PER_KWH
from wattswap.scenario.fields import Efficiency, Energy, Fee, Power, Share
from wattswap.scenario.time import Faults, Table, finish

Goal = Literal["welfare", "peak", "self_consumption"]
GOALS: Final[tuple[str, ...]] = get_args(Goal)
ShareRule = Literal["price", "shapley", "nucleolus"]
MOST_YEARS: Final = 50
MOST_SHARED: Final = 13
"""Homes of which a run computes the value of every group."""
POWER_W_PER_KWH: Final = Fraction(500)
"""Power of a battery where nothing says it, per kWh of its capacity. [W]"""


class CommonBattery(Table):
    """[community.battery]: a battery that the homes have in common; `wattswap size battery` sizes it."""

    capacity_wh: Energy | None = Field(
        default=None, alias="capacity_kwh", description="Capacity in kWh; left out: still to be decided."
    )
    power_w: Power | None = Field(
        default=None, alias="power_kw", description="The most that it takes in or gives out, in kW."
    )
    charge_efficiency_ppm: Efficiency = Field(
        default=PPM * 95 // 100,
        alias="charge_efficiency",
        description="Share of the charged energy that is stored.",
    )
    discharge_efficiency_ppm: Efficiency = Field(
        default=PPM * 95 // 100,
        alias="discharge_efficiency",
        description="Share of the stored energy that comes out.",
    )
    reserve_share_ppm: Share = Field(
        default=0,
        alias="reserve_share",
        description="Share of the capacity below which it gives nothing, 0 to 1.",
    )
    cost_micro_per_kwh: Fee | None = Field(
        default=None, alias="cost_per_kwh", description="What it costs to buy, per kWh of capacity."
    )
    fixed_cost_micro: Fee = Field(
        default=0, alias="fixed_cost", description="What it costs to buy beside that, whatever its capacity."
    )
    life_years: int = Field(default=15, ge=1, le=MOST_YEARS, description="Years over which that is spread.")
    run_for: Goal = Field(
        default="welfare",
        description="What it is run for: the least cost, the least peak, or to use most energy inside.",
    )
    shares: ShareRule = Field(
        default="price",
        description="How a run shares what it saves: equal parts of what it earns at the prices of the market, or such"
        " that all savings are by the Shapley value or the nucleolus.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        faults: Faults = []
        if self.power_w is not None and not self.capacity_wh:
            cure = "give capacity_kwh above 0, or remove it"
            faults.append(("power_kw", "is the power of a battery without a capacity", cure))
        if self.fixed_cost_micro and self.cost_micro_per_kwh is None:
            cure = "give cost_per_kwh (0 where the capacity costs nothing)"
            faults.append(("fixed_cost", "is only a part of what a battery costs", cure))
        if self.reserve_share_ppm == PPM:
            faults.append(("reserve_share", "leaves nothing to use", "give less than 1"))
        finish(faults)
        return self

    def power_of(self, capacity_wh: int) -> int:
        """Power of it at its own capacity; what each kWh has where nothing says it. [W]"""
        return int(capacity_wh * POWER_W_PER_KWH / WH_PER_KWH) if self.power_w is None else self.power_w

    def purchase_nano(self, capacity_wh: int) -> int | None:
        """What a capacity costs to buy; None where nothing says it. [nano-currency]"""
        if self.cost_micro_per_kwh is None:
            return None
        fixed = self.fixed_cost_micro if capacity_wh else 0
        return self.cost_micro_per_kwh * capacity_wh + fixed * (NANO_PER_UNIT // MICRO_PER_UNIT)


class Common(Table):
    """[community]: what the homes have in common."""

    battery: CommonBattery | None = Field(
        default=None, description="A battery that the homes have in common."
    )
