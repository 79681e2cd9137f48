"""The clearing of a horizon as a linear program: simple orders, shares of lumps, flows, storages; all is balanced.

What is accepted whole or not at all is divisible here; the search in `optimizer.blocks` sets bounds of shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from market.horizon import Flow, Horizon, Store
from market.orders import NONE
from market.units import PPM, BoolArray, FloatArray, IntArray
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
    stored = _StoredIntervals.of(horizon)
    charge, discharge, content = _storage_columns(model, horizon, stored, no_discharge, rounded)
    short = model.variables("short", periods, 0.0, 0.0, float(highest))
    spare = model.variables("spare", periods, 0.0, 0.0, -float(lowest))
    balance = [(charge, stored.interval, 1.0), (discharge, stored.interval, -1.0)]
    _balance(model, horizon, quantity, share, flow, balance, short, spare)
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
    if horizon.stores:
        _contents(model, horizon, stored, charge, discharge, content)
    into, out, inside = (stored.split(columns) for columns in (charge, discharge, content))
    return HorizonModel(model.compile(), quantity, share, flow, into, out, inside, short, spare)


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


class _StoredIntervals(NamedTuple):
    """The intervals of all storages, one storage after the other.

    Args:
        interval: Of each place.
        begin: First place of each storage, and one behind the last of all.
    """

    interval: IntArray
    begin: IntArray

    @classmethod
    def of(cls, horizon: Horizon) -> _StoredIntervals:
        """Those of the storages of a horizon."""
        first, last = (
            np.array([(s.terms.first, s.terms.last) for s in horizon.stores], dtype=np.int64).reshape(-1, 2).T
        )
        begin = np.concatenate(([0], (last - first + 1).cumsum()))
        return cls(np.arange(begin[-1]) + (first - begin[:-1]).repeat(np.diff(begin)), begin)

    def each(self, values: list[float]) -> FloatArray:
        """A value of each storage in each of its places."""
        return np.array(values, dtype=np.float64).repeat(np.diff(self.begin))

    def split(self, columns: Columns) -> tuple[Columns, ...]:
        """Columns of all places by storage."""
        return tuple(columns[begin:end] for begin, end in pairwise(self.begin.tolist()))


def _storage_columns(
    model: ModelBuilder,
    horizon: Horizon,
    stored: _StoredIntervals,
    no_discharge: BoolArray | None,
    rounded: bool,
) -> tuple[Columns, Columns, Columns]:
    terms, left = [s.terms for s in horizon.stores], [float(s.left_micro_per_kwh) for s in horizon.stores]
    each, size = stored.each, len(stored.interval)
    cost = each([-value * (t.charge_ppm / PPM) for value, t in zip(left, terms, strict=True)])
    charge = model.variables("charge", size, 0.0, each([t.charge_wh for t in terms]), cost)
    out = each([t.discharge_wh for t in terms])
    if no_discharge is not None:
        out[no_discharge[stored.interval]] = 0.0
    cost = each(
        [t.wear_micro_per_kwh + value * (PPM / t.discharge_ppm) for value, t in zip(left, terms, strict=True)]
    )
    discharge = model.variables("discharge", size, 0.0, out, cost)
    least = np.zeros(size)
    # Rounded: one Wh out of it.
    final = [max(0.0, t.final_wh - PPM / t.discharge_ppm) if rounded else t.final_wh for t in terms]
    least[stored.begin[1:] - 1] = final
    content = model.variables("content", size, least, each([t.capacity_wh for t in terms]))
    return charge, discharge, content


def _contents(
    model: ModelBuilder,
    horizon: Horizon,
    stored: _StoredIntervals,
    charge: Columns,
    discharge: Columns,
    content: Columns,
) -> None:
    """One row an interval of each storage: what is in it comes from the interval before."""
    terms, first = [store.terms for store in horizon.stores], stored.begin[:-1]
    before: Columns = content - np.int32(1)
    start = np.zeros(len(content))
    before[first], start[first] = NO_COLUMN, [t.initial_wh for t in terms]
    rows: list[tuple[Columns, float | FloatArray]] = [
        (content, 1.0),
        (charge, stored.each([-t.charge_ppm / PPM for t in terms])),
        (discharge, stored.each([PPM / t.discharge_ppm for t in terms])),
        (before, -1.0),
    ]
    model.constraints("stored", rows, start, start)


def _balance(
    model: ModelBuilder,
    horizon: Horizon,
    quantity: Columns,
    share: Columns,
    flow: tuple[Columns, ...],
    stored: list[tuple[Columns, IntArray, float]],
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
    parts += stored
    every = np.arange(horizon.intervals)
    parts += [(spare, every, 1.0), (short, every, -1.0)]
    model.sums("balance", horizon.intervals, parts, 0.0, 0.0)
