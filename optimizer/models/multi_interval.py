"""The clearing of a horizon as a linear program: simple orders, shares of lumps, flows, storages; all is balanced.

What is accepted whole or not at all is divisible here; the search in `optimizer.blocks` sets bounds of shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from market.horizon import Flow, Horizon, Store
from market.orders import NONE
from market.units import PPM, BoolArray, FloatArray
from optimizer.solver.builder import NONE as NO_COLUMN
from optimizer.solver.builder import Columns, ModelBuilder
from optimizer.solver.compile import CompiledModel


@dataclass(frozen=True, slots=True, eq=False)
class HorizonModel:
    """The arrays of the program and what its columns are.

    Args:
        arrays: Minimises minus welfare [nano-currency]; its first rows are the balances of the intervals.
        simple: Quantity of each simple order, bought positive. [Wh]
        share: Share of each lump, from 0 to 1.
        flow: Of each flow, energy in each interval of its window. [Wh]
        charge: Of each storage, energy into it in each of its intervals. [Wh]
        discharge: Energy out of it. [Wh]
        content: What is in it at the end of the interval. [Wh]
        short: By interval, energy from nowhere at the highest price, bounded to 0 in a clearing. [Wh]
        spare: Energy to nowhere at the lowest price, bounded to 0 too. [Wh]
    """

    arrays: CompiledModel
    simple: Columns
    share: Columns
    flow: tuple[Columns, ...]
    charge: tuple[Columns, ...]
    discharge: tuple[Columns, ...]
    content: tuple[Columns, ...]
    short: Columns
    spare: Columns


def build(horizon: Horizon, price_range: tuple[int, int], no_discharge: BoolArray | None = None) -> Any:
    """Write the model of a horizon.

    Args:
        horizon: Its orders.
        price_range: Lowest and highest price of the market. [micro-currency/kWh]
        no_discharge: Intervals in which storages do not discharge; none where None.

    Returns:
        A ConcreteModel: objective `welfare` [nano-currency], constraints `balance` by interval, `with_parent`,
        `one_of`, `shared_out` and `stored`.
    """
    from pyomo.environ import ConcreteModel, Constraint, Objective, Var, maximize

    simple, lumps, flows, stores = horizon.simple, horizon.lumps, horizon.flows, horizon.stores
    signed = (simple.side * simple.energy_wh).tolist()
    periods, lowest, highest = range(horizon.intervals), *price_range
    windows = [(f, t) for f, flow in enumerate(flows) for t in _window(flow)]
    times = [(s, t) for s, store in enumerate(stores) for t in _window(store)]
    power = [flow.terms.power_wh for flow in flows]
    terms = [store.terms for store in stores]
    stopped = [False] * horizon.intervals if no_discharge is None else no_discharge.tolist()

    model = ConcreteModel(name="multi_interval")
    model.quantity = Var(range(len(signed)), bounds=lambda _, i: (min(signed[i], 0), max(signed[i], 0)))
    model.share = Var(range(len(lumps.row)), bounds=(0, 1))
    model.flow = Var(windows, bounds=lambda _, f, t: (0, power[f]))
    model.charge = Var(times, bounds=lambda _, s, t: (0, terms[s].charge_wh))
    model.discharge = Var(times, bounds=lambda _, s, t: (0, 0 if stopped[t] else terms[s].discharge_wh))
    model.content = Var(times, bounds=lambda _, s, t: _content_bounds(stores[s], t))
    model.short = Var(periods, bounds=(0, 0))
    model.spare = Var(periods, bounds=(0, 0))
    limit, value = simple.limit_micro_per_kwh.tolist(), lumps.value_nano.tolist()
    model.welfare = Objective(
        expr=sum(limit[i] * model.quantity[i] for i in model.quantity)
        + sum(value[j] * model.share[j] for j in model.share)
        + sum(
            stores[s].left_micro_per_kwh * _stored(stores[s], model.charge[s, t], model.discharge[s, t])
            - terms[s].wear_micro_per_kwh * model.discharge[s, t]
            for s, t in times
        )
        - sum(highest * model.short[t] - lowest * model.spare[t] for t in periods),
        sense=maximize,
    )
    profile, interval = lumps.profile_wh.tolist(), simple.interval.tolist()
    at: list[list[int]] = [[] for _ in periods]
    for i, t in enumerate(interval):
        at[t].append(i)
    model.balance = Constraint(
        periods,
        rule=lambda m, t: (
            sum(m.quantity[i] for i in at[t])
            + sum(profile[j][t] * m.share[j] for j in m.share if profile[j][t])
            + sum(flow.side * m.flow[f, t] for f, flow in enumerate(flows) if t in _window(flow))
            + sum(m.charge[s, t] - m.discharge[s, t] for s, store in enumerate(stores) if t in _window(store))
            + m.spare[t]
            - m.short[t]
            == 0
        ),
    )
    parents = {j: p for j, p in enumerate(lumps.parent.tolist()) if p != NONE}
    model.with_parent = Constraint(list(parents), rule=lambda m, j: m.share[j] - m.share[parents[j]] <= 0)
    group = lumps.group.tolist()
    model.one_of = Constraint(
        range(1 + max(group, default=NONE)),
        rule=lambda m, g: sum(m.share[j] for j in m.share if group[j] == g) <= 1,
    )
    model.shared_out = Constraint(
        range(len(flows)),
        rule=lambda m, f: (
            sum(m.flow[f, t] for t in _window(flows[f])) - flows[f].energy_wh * m.share[flows[f].lump] == 0
        ),
    )
    model.stored = Constraint(
        times,
        rule=lambda m, s, t: (
            m.content[s, t]
            - _stored(stores[s], m.charge[s, t], m.discharge[s, t])
            - (m.content[s, t - 1] if t > terms[s].first else 0)
            == (0 if t > terms[s].first else terms[s].initial_wh)
        ),
    )
    return model


def compiled(
    horizon: Horizon,
    price_range: tuple[int, int],
    no_discharge: BoolArray | None = None,
    *,
    rounded: bool = False,
) -> HorizonModel:
    """The arrays of `build`, without Pyomo.

    Args:
        horizon: Its orders.
        price_range: Lowest and highest price of the market. [micro-currency/kWh]
        no_discharge: Intervals in which storages do not discharge; none where None.
        rounded: Whether final contents may be short by what rounding to whole Wh may take: see `market.schedule`.
    """
    simple, lumps, model = horizon.simple, horizon.lumps, ModelBuilder()
    periods, (lowest, highest) = horizon.intervals, price_range
    signed = (simple.side * simple.energy_wh).astype(np.float64)
    quantity = model.variables(
        "quantity",
        len(signed),
        np.minimum(signed, 0),
        np.maximum(signed, 0),
        -_float(simple.limit_micro_per_kwh),
    )
    share = model.variables("share", len(lumps.row), 0.0, 1.0, -_float(lumps.value_nano))
    flow = tuple(
        model.variables(f"flow {f}", len(_window(one)), 0.0, float(one.terms.power_wh))
        for f, one in enumerate(horizon.flows)
    )
    charge, discharge, content = _storage_columns(model, horizon, no_discharge, rounded)
    short = model.variables("short", periods, 0.0, 0.0, float(highest))
    spare = model.variables("spare", periods, 0.0, 0.0, -float(lowest))
    _balance(model, horizon, quantity, share, flow, charge, discharge, short, spare)
    children = np.flatnonzero(lumps.parent != NONE)
    if len(children):
        model.constraints(
            "with_parent", [(share[children], 1.0), (share[lumps.parent[children]], -1.0)], upper=0.0
        )
    for g in range(1 + int(lumps.group.max(initial=NONE))):
        model.constraint(
            f"one_of {g}", [(share[j], 1.0) for j in np.flatnonzero(lumps.group == g)], upper=1.0
        )
    for f, one in enumerate(horizon.flows):
        terms = [(column, 1.0) for column in flow[f]] + [(share[one.lump], -float(one.energy_wh))]
        model.constraint(f"shared_out {f}", terms, 0.0, 0.0)
    for s, store in enumerate(horizon.stores):
        t = store.terms
        before = np.concatenate(([NO_COLUMN], content[s][:-1])).astype(np.int32)
        start = np.zeros(len(before))
        start[0] = t.initial_wh
        rows = [
            (content[s], 1.0),
            (charge[s], -t.charge_ppm / PPM),
            (discharge[s], PPM / t.discharge_ppm),
            (before, -1.0),
        ]
        model.constraints(f"stored {s}", rows, start, start)
    return HorizonModel(model.compile(), quantity, share, flow, charge, discharge, content, short, spare)


def _float(values: Any) -> FloatArray:
    found: FloatArray = values.astype(np.float64)
    return found


def _window(order: Flow | Store) -> range:
    return range(order.terms.first, order.terms.last + 1)


def _stored(store: Store, into: Any, out: Any) -> Any:
    """What energy into and out of a storage adds to its content."""
    return store.terms.charge_ppm / PPM * into - PPM / store.terms.discharge_ppm * out


def _content_bounds(store: Store, interval: int) -> tuple[int, int]:
    return (store.terms.final_wh if interval == store.terms.last else 0), store.terms.capacity_wh


def _storage_columns(
    model: ModelBuilder, horizon: Horizon, no_discharge: BoolArray | None, rounded: bool
) -> tuple[tuple[Columns, ...], ...]:
    charge, discharge, content = [], [], []
    for s, store in enumerate(horizon.stores):
        t, left = store.terms, float(store.left_micro_per_kwh)
        most, cost = float(t.charge_wh), -left * (t.charge_ppm / PPM)
        charge.append(model.variables(f"charge {s}", len(_window(store)), 0.0, most, cost))
    for s, store in enumerate(horizon.stores):
        t, left = store.terms, float(store.left_micro_per_kwh)
        out = np.full(len(_window(store)), float(t.discharge_wh))
        if no_discharge is not None:
            out[no_discharge[t.first : t.last + 1]] = 0.0
        cost = t.wear_micro_per_kwh + left * (PPM / t.discharge_ppm)
        discharge.append(model.variables(f"discharge {s}", len(out), 0.0, out, cost))
    for s, store in enumerate(horizon.stores):
        least = np.zeros(len(_window(store)))
        least[-1] = store.terms.final_wh
        if rounded:  # one Wh out of it
            least[-1] = max(0.0, least[-1] - PPM / store.terms.discharge_ppm)
        content.append(model.variables(f"content {s}", len(least), least, float(store.terms.capacity_wh)))
    return tuple(charge), tuple(discharge), tuple(content)


def _balance(
    model: ModelBuilder,
    horizon: Horizon,
    quantity: Columns,
    share: Columns,
    flow: tuple[Columns, ...],
    charge: tuple[Columns, ...],
    discharge: tuple[Columns, ...],
    short: Columns,
    spare: Columns,
) -> None:
    """One row an interval: all that is bought is sold."""
    lump, interval = np.nonzero(horizon.lumps.profile_wh)
    parts: list[tuple[Any, Any, Any]] = [
        (quantity, horizon.simple.interval, 1.0),
        (share[lump], interval, _float(horizon.lumps.profile_wh[lump, interval])),
    ]
    for f, one in enumerate(horizon.flows):
        parts.append((flow[f], np.array(_window(one)), float(one.side)))
    for s, store in enumerate(horizon.stores):
        parts += [(charge[s], np.array(_window(store)), 1.0), (discharge[s], np.array(_window(store)), -1.0)]
    every = np.arange(horizon.intervals)
    parts += [(spare, every, 1.0), (short, every, -1.0)]
    model.sums("balance", horizon.intervals, parts, 0.0, 0.0)
