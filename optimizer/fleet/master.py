"""The program that mixes plans of groups of batteries: one balance an interval, and one mix for each group."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.units import FloatArray
from optimizer.blocks.hot import HotModel
from optimizer.errors import SolverFailed
from optimizer.fleet.steps import Steps
from optimizer.solver.builder import NONE, ModelBuilder

_NOTHING = 1e-9


class Mix(NamedTuple):
    """The best mix of the plans so far.

    Args:
        cost_nano: Of steps and batteries. [nano-currency]
        price: Of each interval. [micro-currency/kWh]
        weight: Of each plan, by round and group; those of a group add up to 1.
        short_wh: Energy from nowhere in each interval. [Wh]
        spare_wh: Energy to nowhere. [Wh]
    """

    cost_nano: float
    price: FloatArray
    weight: FloatArray
    short_wh: FloatArray
    spare_wh: FloatArray


class Master:
    """One hot program that grows by a plan of each group a round.

    Energies are in the unit of what is typical of a group, and prices in that of the highest, as HiGHS has absolute
    tolerances.
    """

    def __init__(
        self, steps: Steps, groups: int, highest: FloatArray, lowest: FloatArray, unit_wh: float
    ) -> None:
        """Start without any plan.

        Args:
            steps: What is for sale.
            groups: Number of groups.
            highest: Price of energy from nowhere, by interval. [micro-currency/kWh]
            lowest: What energy to nowhere is paid. [micro-currency/kWh]
            unit_wh: A typical energy. [Wh]
        """
        self._intervals, self._groups, self._wh = len(highest), groups, unit_wh
        self._micro = max(1.0, float(np.abs(np.concatenate((highest, lowest))).max()))
        every, model = np.arange(self._intervals), ModelBuilder()
        wh, micro = self._wh, self._micro
        sold = model.variables(
            "sold", len(steps.price), steps.least_wh / wh, steps.most_wh / wh, steps.price / micro
        )
        self._short = model.variables("short", self._intervals, cost=highest / micro)
        self._spare = model.variables("spare", self._intervals, cost=-lowest / micro)
        parts = [(sold, steps.interval, 1.0), (self._short, every, 1.0), (self._spare, every, -1.0)]
        model.sums("balance", self._intervals, parts, 0.0, 0.0)
        none = np.full(groups, NONE, dtype=np.int32)
        model.constraints("mixed", [(none, 1.0)], 1.0, 1.0)
        self._arrays = model.compile()
        self._hot: HotModel | None = None
        self._plans = 0

    def add(self, taken_wh: FloatArray, cost_nano: FloatArray) -> None:
        """Add a plan of each group.

        Args:
            taken_wh: What its batteries take from the balance, shape (groups, intervals). [Wh]
            cost_nano: Of its batteries. [nano-currency]

        Raises:
            SolverFailed: HiGHS refuses it.
        """
        if self._hot is None:
            self._hot = HotModel(self._arrays, grows=True)
        height = self._intervals + 1
        rows = np.tile(np.arange(height), (self._groups, 1))
        rows[:, -1] += np.arange(self._groups)
        value = np.concatenate((-taken_wh / self._wh, np.ones((self._groups, 1))), axis=1)
        is_there = np.abs(value) > _NOTHING  # HiGHS warns of less, and drops it
        kept, start = is_there.ravel(), np.concatenate(([0], np.cumsum(is_there.sum(axis=1))))
        entries = {"start": start, "index": rows.ravel()[kept], "value": value.ravel()[kept]}
        cost = cost_nano / (self._wh * self._micro)
        self._hot.add_columns(cost, np.zeros(self._groups), np.full(self._groups, np.inf), entries)
        self._plans += 1

    def mix(self) -> Mix:
        """The best mix of all plans.

        Raises:
            SolverFailed: HiGHS gives no answer.
        """
        assert self._hot is not None
        nothing = np.zeros(0)
        answer = self._hot.solve(np.zeros(0, dtype=np.int32), nothing, nothing)
        if answer is None:
            raise SolverFailed("the program that mixes plans has no answer, and it has one by construction")
        weight = answer.x[len(self._arrays.cost) :].reshape(self._plans, self._groups)
        return Mix(
            -answer.welfare_nano * self._wh * self._micro,
            answer.row_price[: self._intervals] * self._micro,
            np.maximum(weight, 0.0) / np.maximum(weight, 0.0).sum(axis=0),
            answer.x[self._short] * self._wh,
            answer.x[self._spare] * self._wh,
        )
