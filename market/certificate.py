"""Proofs that a clearing is optimal, each of which numpy alone can check: the union `OptimalityCertificate`.

A certificate is evidence and not a claim: `holds` is recomputed from its numbers by whoever reads it. Which kind a
mechanism gives depends on the problem it solves: one price, a linear program, prices by node or by zone, or an integer
program.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from market.units import FloatArray, IntArray

RESIDUAL_TOLERANCE = 1e-7
GAP_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class DualPrice:
    """A price at which nobody wants to trade differently: the exact proof for one market of simple orders.

    Args:
        dual_price_micro_per_kwh: Any price of the price interval.
        gap_nano: Dual value at that price minus welfare; 0 proves the optimum (strong duality of the welfare LP).
        residual_wh: Bought minus sold, 0 when the clearing balances.
    """

    dual_price_micro_per_kwh: int
    gap_nano: int
    residual_wh: int

    @property
    def holds(self) -> bool:
        """Whether the clearing is feasible and optimal, exactly."""
        return self.gap_nano == 0 and self.residual_wh == 0


@dataclass(frozen=True, slots=True)
class KktResiduals:
    """How far a solver's answer is from feasible and optimal, relative to the size of its numbers.

    Args:
        primal_residual: Largest violation of a bound of a column or row.
        dual_residual: Largest reduced cost or row price that points to an infinite bound.
        gap: Primal minus dual objective.
    """

    primal_residual: float
    dual_residual: float
    gap: float

    @property
    def holds(self) -> bool:
        """Whether the answer is feasible and optimal within the tolerances; a NaN or a negative residual never is."""
        return (
            0 <= self.primal_residual <= RESIDUAL_TOLERANCE
            and 0 <= self.dual_residual <= RESIDUAL_TOLERANCE
            and abs(self.gap) <= GAP_TOLERANCE
        )


@dataclass(frozen=True, slots=True, eq=False)
class LpDuals:
    """The dual solution of a linear program, with the residuals that it leaves.

    Args:
        row_price: Price of each row: change of the objective per unit of its bound.
        reduced_cost: Of each column, c - A'y.
        residuals: How far primal and dual together are from optimal.
    """

    row_price: FloatArray
    reduced_cost: FloatArray
    residuals: KktResiduals

    @property
    def holds(self) -> bool:
        """Whether the residuals are within the tolerances and every dual is a number."""
        finite = bool(np.isfinite(self.row_price).all() and np.isfinite(self.reduced_cost).all())
        return finite and self.residuals.holds


@dataclass(frozen=True, slots=True)
class WithinRule:
    """The proof of an optimum within constraints of the mechanism's own, which says nothing of the book without them.

    Args:
        residuals: How far the answer is from feasible and optimal.
    """

    residuals: KktResiduals

    @property
    def holds(self) -> bool:
        """Whether the residuals are within the tolerances."""
        return self.residuals.holds


@dataclass(frozen=True, slots=True, eq=False)
class NodalPrices:
    """Prices by node that support a clearing on a grid, in whole units after rounding.

    Args:
        price_micro_per_kwh: Dual price of each node. [micro-currency/kWh]
        gap_nano: Dual value at these prices minus welfare.
        allowed_gap_nano: What rounding to whole Wh may cost. [nano-currency]
        residual_wh: Of each node, energy in minus energy out, losses included. [Wh]
        overload_wh: Largest flow beyond a limit of a line; at most 0 where all limits hold. [Wh]
        solution: What the solver found, as `market.witness` writes it; empty where none was asked, None where it cannot
            be written down.
    """

    price_micro_per_kwh: IntArray
    gap_nano: int
    allowed_gap_nano: int
    residual_wh: IntArray
    overload_wh: int
    solution: bytes | None = field(default=b"", repr=False)

    @property
    def holds(self) -> bool:
        """Whether every node balances, no line is overloaded and the gap is within that of rounding."""
        every = self.residual_wh.shape == self.price_micro_per_kwh.shape
        balanced = every and not self.residual_wh.any() and self.overload_wh <= 0
        return balanced and 0 <= self.gap_nano <= self.allowed_gap_nano


@dataclass(frozen=True, slots=True, eq=False)
class ZonePrices:
    """Prices by zone that support a clearing with fees between zones, and the flows that pay them; all exact.

    Args:
        sell_micro_per_kwh: What a seller of each zone gets. [micro-currency/kWh]
        buy_micro_per_kwh: What a buyer of each zone pays, fees included. [micro-currency/kWh]
        flow_wh: Energy from the zone of the row to the zone of the column. [Wh]
        gap_nano: Dual value at these prices minus welfare after fees; 0 proves the optimum.
        residual_wh: Of each zone, sold minus what leaves its sellers; then what reaches its buyers minus bought. [Wh]
        arbitrage_micro_per_kwh: The most that carrying a kWh from one zone to another would bring after the fee.
    """

    sell_micro_per_kwh: IntArray
    buy_micro_per_kwh: IntArray
    flow_wh: IntArray
    gap_nano: int
    residual_wh: IntArray
    arbitrage_micro_per_kwh: int

    @property
    def holds(self) -> bool:
        """Whether every zone balances, nothing is left to carry at a profit and the gap is closed, exactly."""
        zones = len(self.sell_micro_per_kwh)
        shapes = self.residual_wh.shape == (2 * zones,) and self.flow_wh.shape == (zones, zones)
        balanced = shapes and not self.residual_wh.any() and not (self.flow_wh < 0).any()
        return balanced and self.arbitrage_micro_per_kwh <= 0 and self.gap_nano == 0


@dataclass(frozen=True, slots=True)
class MilpGap:
    """Welfare of an integer program and the best bound on it, as far as the search came.

    Args:
        welfare_nano: Of the clearing. [nano-currency]
        bound_nano: No clearing has more. [nano-currency]
        allowed_gap_nano: Greatest difference that counts as proven; 0 where a limit ended the search. [nano-currency]
        complete: False where a limit ended the search.
    """

    welfare_nano: int
    bound_nano: int
    allowed_gap_nano: int = 0
    complete: bool = True

    @property
    def gap_nano(self) -> int:
        """How much more welfare there may be. [nano-currency]"""
        return self.bound_nano - self.welfare_nano

    @property
    def holds(self) -> bool:
        """Whether the gap is closed up to what is allowed."""
        return 0 <= self.gap_nano <= self.allowed_gap_nano


OptimalityCertificate = DualPrice | KktResiduals | LpDuals | WithinRule | NodalPrices | ZonePrices | MilpGap
"""Any proof of optimality; `holds` says whether it is one."""
