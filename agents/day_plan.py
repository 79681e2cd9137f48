"""The least costly day of a home with all its devices, as a linear program that is kept and solved again.

What is imported less what is exported is the net energy and what the devices take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.devices import Fleet, Moment
from agents.state import State
from market.units import FloatArray, IntArray
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.compile import CompiledModel
from optimizer.solver.session import Session


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Day:
    """The intervals of a horizon as one home sees them.

    Args:
        moments: The intervals.
        net_wh: Import minus export without devices. [Wh]
        bought: What a kWh costs that is imported. [micro-currency/kWh]
        sold: What a kWh brings that is exported. [micro-currency/kWh]
        left: What a kWh that the battery stores at the end is worth. [micro-currency/kWh]
    """

    moments: Sequence[Moment]
    net_wh: IntArray
    bought: FloatArray
    sold: FloatArray
    left: float


class DayPlan:
    """The linear program of one home; its session lives as long as only bounds and costs change."""

    def __init__(self) -> None:
        self._model: CompiledModel | None = None
        self._session: Session | None = None

    def solve(
        self, fleets: Mapping[str, Fleet], home: int, states: Mapping[str, State], day: Day
    ) -> tuple[dict[str, FloatArray], float]:
        """What each device takes in each interval [Wh], and what the day costs [nano-currency].

        Args:
            fleets: The devices by name.
            home: Row of the home.
            states: States of the devices at the start of the day.
            day: The intervals.

        Raises:
            Infeasible: No plan keeps to all limits of the devices.
        """
        builder, steps = ModelBuilder(), len(day.net_wh)
        imported = builder.variables("import_wh", steps, cost=np.maximum(day.bought, day.sold))
        exported = builder.variables("export_wh", steps, cost=-day.sold)
        taken = {
            name: fleet.block(builder, home, states[name], day.moments) for name, fleet in fleets.items()
        }
        moved = [
            (columns, sign) for one in taken.values() for columns, sign in zip(one, (-1.0, 1.0), strict=True)
        ]
        net_wh = day.net_wh.astype(np.float64)
        terms = [(imported, 1.0), (exported, -1.0), *moved]
        builder.constraints("balance", terms, lower=net_wh, upper=net_wh)
        stored = builder.named(f"battery{home}.stored_wh")
        if stored is not None:
            builder.add_cost(stored[-1:], -day.left)
        model = builder.compile()
        session = self._kept(model)
        # From the last basis another of several optimal plans could come out, and a resumed run would differ.
        session.forget_basis()
        x = session.answer(model.cost, model.lower, model.upper, model.row_lower, model.row_upper)
        energy = {name: x[one[0]] - x[one[1]] for name, one in taken.items()}
        return energy, float(model.cost @ x)

    def _kept(self, model: CompiledModel) -> Session:
        """The session of the last solve where the constraints are the same but for their bounds, else a new one."""
        old = self._model
        same = (
            old is not None
            and np.array_equal(old.start, model.start)
            and np.array_equal(old.index, model.index)
            and np.array_equal(old.value, model.value)
        )
        if self._session is None or not same:
            self._session = Session(model)
        self._model = model
        return self._session
