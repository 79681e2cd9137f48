"""The plan of a battery that a community has in common, as a linear program: least cost at the outside prices.

Columns of each interval: energy from outside and given to it, energy charged and discharged at the terminals of the
battery [Wh], content at the end [Wh]. Sizes are bounds, so that one model serves all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from market.units import FloatArray, IntArray
from optimizer.solver.builder import NONE, Columns, ModelBuilder
from optimizer.solver.compile import CompiledModel
from optimizer.storage.store import Demand, Store, floats


@dataclass(frozen=True, slots=True, eq=False)
class StorageModel:
    """The compiled program of all sizes of a battery, and where its columns are.

    Args:
        model: Bounds of a battery without capacity.
        imported: Energy from outside. [Wh]
        exported: Energy given outside. [Wh]
        charged: Energy taken by the battery. [Wh]
        discharged: Energy given by it. [Wh]
        stored: Content at the end of the interval. [Wh]
        one_way: Intervals with a row charged + discharged <= power.
    """

    model: CompiledModel
    imported: Columns
    exported: Columns
    charged: Columns
    discharged: Columns
    stored: Columns
    one_way: IntArray

    def bounds(self, store: Store, most_import_wh: float = np.inf) -> tuple[FloatArray, FloatArray]:
        """Upper bounds of the columns and of the rows for a battery.

        Args:
            store: Efficiencies and initial content are those of the model.
            most_import_wh: Most energy from outside in an interval. [Wh]
        """
        model = self.model
        upper, row_upper = model.upper.copy(), model.row_upper.copy()
        upper[self.charged] = upper[self.discharged] = store.power_wh
        upper[self.stored] = store.capacity_wh
        upper[self.imported] = np.minimum(upper[self.imported], most_import_wh)
        row_upper[2 * len(self.stored) :] = store.power_wh
        return upper, row_upper


def build(demand: Demand, store: Store) -> Any:
    """Write the program of one battery in Pyomo, without anything that forbids charging and discharging at once.

    Returns:
        A ConcreteModel: variables `imported`, `exported`, `charged`, `discharged`, `stored` [Wh], objective `cost`
        [nano-currency], constraints `balance` and `content`.
    """
    from pyomo.environ import ConcreteModel, Constraint, Objective, Var

    model = ConcreteModel(name="community_storage")
    steps = range(len(demand.need_wh))
    net_wh, bought, sold = (x.tolist() for x in (demand.net_wh, demand.bought, demand.sold))
    model.imported = Var(steps, bounds=(0, None))
    model.exported = Var(steps, bounds=(0, None))
    model.charged = Var(steps, bounds=(0, store.power_wh))
    model.discharged = Var(steps, bounds=(0, store.power_wh))
    model.stored = Var(steps, bounds=(0, store.capacity_wh))
    model.cost = Objective(
        expr=sum(
            bought[t] * model.imported[t] - sold[t] * model.exported[t] + demand.fee * model.charged[t]
            for t in steps
        )
    )
    model.balance = Constraint(
        steps,
        rule=lambda m, t: m.imported[t] - m.exported[t] - m.charged[t] + m.discharged[t] == net_wh[t],
    )
    model.content = Constraint(
        steps,
        rule=lambda m, t: (
            m.stored[t]
            - store.gain * m.charged[t]
            + m.discharged[t] / store.yields
            - (m.stored[t - 1] if t else 0)
            == (0 if t else store.initial_wh)
        ),
    )
    return model


def compiled(demand: Demand, store: Store) -> StorageModel:
    """The model of `build` straight as arrays, for all capacities and powers of a battery of these efficiencies."""
    steps, net = len(demand.need_wh), floats(demand.net_wh)
    model = ModelBuilder()
    imported = model.variables("imported", steps, cost=floats(demand.bought))
    exported = model.variables("exported", steps, cost=-floats(demand.sold))
    charged = model.variables("charged", steps, upper=0.0, cost=float(demand.fee))
    discharged = model.variables("discharged", steps, upper=0.0)
    stored = model.variables("stored", steps, upper=0.0)
    terms = [(imported, 1.0), (exported, -1.0), (charged, -1.0), (discharged, 1.0)]
    model.constraints("balance", terms, lower=net, upper=net)
    before, held = np.append(NONE, stored[:-1]).astype(np.int32), np.zeros(steps)
    held[:1] = store.initial_wh
    content = [(stored, 1.0), (charged, -store.gain), (discharged, 1 / store.yields), (before, -1.0)]
    model.constraints("content", content, lower=held, upper=held)
    one_way = np.flatnonzero(~demand.convex)
    if len(one_way):
        both = [(charged[one_way], 1.0), (discharged[one_way], 1.0)]
        model.constraints("one_way", both, upper=0.0)
    return StorageModel(model.compile(), imported, exported, charged, discharged, stored, one_way)
