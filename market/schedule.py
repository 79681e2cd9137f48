"""The clearing of a horizon: what it is worth, what each order pays, and the checks that hold for every one of them.

Rounding to whole Wh and whole micro-currency may move an order a little from what its prices ask for. What it may move
is stated here, and the checks allow no more: a Wh an interval of each order that is served in part, the final content
of a storage short by what one Wh out of it takes, and transfers that pay back what rounding makes an order lose.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, wrong_type
from market.errors import InfeasibleClearing
from market.horizon import Horizon, Store, read_horizon, starts_of
from market.orders import NONE, Block, Flexible, Storage
from market.units import INT64_SAFE, PPM, IntArray


def content_change(store: Store, energy: IntArray) -> Fraction:
    """What energies add to a storage, exactly. [Wh]

    Args:
        store: The storage.
        energy: By interval, into it positive. [Wh]
    """
    into, out = int(np.maximum(energy, 0).sum()), int(np.maximum(-energy, 0).sum())
    return Fraction(into * store.terms.charge_ppm, PPM) - Fraction(out * PPM, store.terms.discharge_ppm)


def values_nano(book: OrderBook, horizon: Horizon, schedule_wh: IntArray) -> IntArray:
    """What the energies of each order are worth to it: at its limit, or of a storage what is left less its wear.

    Rounded down to a whole nano. [nano-currency]
    """
    value: IntArray = schedule_wh.sum(axis=1) * book.limit_micro_per_kwh
    for store in horizon.stores:
        energy = schedule_wh[store.row]
        worn = int(np.maximum(-energy, 0).sum()) * store.terms.wear_micro_per_kwh
        left = content_change(store, energy) * store.left_micro_per_kwh
        value[store.row] = (left.numerator // left.denominator) - worn
    return value


def losses_nano(book: OrderBook, horizon: Horizon, gain_nano: IntArray) -> IntArray:
    """What each order would have to be paid so that nobody loses, and no block with those that depend on it.

    Args:
        book: The orders.
        horizon: The same by kind.
        gain_nano: Value less payment of each order. [nano-currency]
    """
    gain = gain_nano.copy()
    missing = np.zeros_like(gain)
    parent = parents_of(book)
    for row in _children_first(parent):
        missing[row] = max(0, -int(gain[row]))
        if parent[row] != NONE:
            gain[parent[row]] += gain[row] + missing[row]
    rest = np.ones(len(book), dtype=np.bool_)
    rest[list(parent)] = False
    for store in horizon.stores:  # what must end fuller than it began may have to pay
        rest[store.row] = store.terms.final_wh <= store.terms.initial_wh
        gain[store.row] = gain[store.row] if rest[store.row] else 0
    missing[rest] = np.maximum(0, -gain[rest])
    return missing


def moving_places(horizon: Horizon, schedule_wh: IntArray) -> IntArray:
    """By interval, the orders whose energy rounding may have moved: served in part, flows, and storages.

    Args:
        horizon: The orders.
        schedule_wh: Energy of each row of the book in each interval. [Wh]
    """
    lumps, places = horizon.lumps, np.zeros(horizon.intervals, dtype=np.int64)
    taken, whole = np.abs(schedule_wh[lumps.row]).sum(axis=1), np.abs(lumps.profile_wh).sum(axis=1)
    in_part = (lumps.least_ppm < PPM) & (taken > 0) & (taken < whole)
    places += (lumps.profile_wh[in_part] != 0).sum(axis=0)
    windows: list[Flexible | Storage] = [f.terms for f in horizon.flows if schedule_wh[f.row].any()]
    for terms in (*windows, *(store.terms for store in horizon.stores)):
        places[terms.first : terms.last + 1] += 1
    return places


def moved_nano(horizon: Horizon, schedule_wh: IntArray, span_micro_per_kwh: int) -> int:
    """What rounding to whole Wh may cost in all: two Wh for each order and interval in which it may have moved it.

    Args:
        horizon: The orders.
        schedule_wh: Energy of each row of the book in each interval. [Wh]
        span_micro_per_kwh: Largest difference between two prices.
    """
    return 2 * int(moving_places(horizon, schedule_wh).sum()) * span_micro_per_kwh


def rounding_nano(horizon: Horizon, schedule_wh: IntArray, span_micro_per_kwh: int) -> int:
    """What rounding energies and prices may make orders lose in all: a whole micro is half a nano a Wh off.

    Args:
        horizon: The orders.
        schedule_wh: Energy of each row of the book in each interval. [Wh]
        span_micro_per_kwh: Largest difference between two prices.
    """
    energy = int(np.abs(schedule_wh).sum())
    return moved_nano(horizon, schedule_wh, span_micro_per_kwh) + energy // 2 + 1


def parents_of(book: OrderBook) -> dict[int, int]:
    """Row of the parent of each block, NONE where it has none."""
    blocks = {row: t for row, t in book.terms.items() if isinstance(t, Block)}
    named = {(int(book.participant[row]), t.label): row for row, t in blocks.items() if t.label != NONE}
    return {
        row: NONE if t.parent == NONE else named.get((int(book.participant[row]), t.parent), NONE)
        for row, t in blocks.items()
    }


def check_schedule(book: OrderBook, clearing: Clearing) -> None:
    """Raise unless a clearing of a horizon respects every order, balances in every interval and lets nobody lose.

    Args:
        book: The orders.
        clearing: Its result, with a schedule.

    Raises:
        InfeasibleClearing: Names the first broken rule and the rows or intervals that break it.
    """
    if wrong := wrong_type(book, clearing):
        raise InfeasibleClearing(wrong)
    horizon, schedule = read_horizon(book), clearing.schedule_wh
    if schedule is None or schedule.dtype != np.int64 or schedule.shape != (len(book), horizon.intervals):
        shape = (len(book), horizon.intervals)
        raise InfeasibleClearing(f"the schedule must be whole energies of the shape {shape}")
    if len(clearing.prices) != horizon.intervals:
        raise InfeasibleClearing(f"{len(clearing.prices)} prices for {horizon.intervals} intervals")
    if any(len(nodes) != 1 for nodes in clearing.prices):
        raise InfeasibleClearing("prices of several nodes in an interval; a horizon has one price in each")
    if clearing.losses_wh:
        raise InfeasibleClearing(f"losses of {clearing.losses_wh} Wh; a horizon has no lines that lose any")
    for column in (schedule, clearing.accepted_wh, clearing.price_micro_per_kwh, clearing.charge_nano):
        if column is not None:
            column.flags.writeable = False
    off = np.flatnonzero(schedule.sum(axis=0))
    if len(off):
        raise InfeasibleClearing(
            f"bought minus sold is not 0 in intervals {off[:5].tolist()}: {schedule.sum(axis=0)[off[0]]} Wh"
        )
    if (np.abs(schedule).sum(axis=1) != clearing.accepted_wh).any():
        raise InfeasibleClearing("the accepted energy is not that of the schedule")
    _check_simple(book, horizon, schedule)
    _check_blocks(book, schedule)
    _check_flexible(book, schedule)
    for store in horizon.stores:
        _check_store(store, schedule[store.row])
    _check_prices(book, horizon, clearing, schedule)
    _check_money(book, horizon, clearing, schedule)


def _children_first(parent: dict[int, int]) -> list[int]:
    def depth(row: int) -> int:
        found = 0
        while parent[row] != NONE:
            row, found = parent[row], found + 1
        return found

    return sorted(parent, key=depth, reverse=True)


def _refuse(rows: IntArray | list[int], what: str) -> None:
    if len(rows):
        raise InfeasibleClearing(f"{what} in rows {list(map(int, rows[:5]))}")


def _check_simple(book: OrderBook, horizon: Horizon, schedule: IntArray) -> None:
    simple = horizon.simple
    own = schedule[simple.row, simple.interval] * simple.side
    elsewhere = np.abs(schedule[simple.row]).sum(axis=1) != np.abs(own)
    _refuse(simple.row[(own < 0) | (own > simple.energy_wh)], "accepted outside 0..energy")
    _refuse(simple.row[elsewhere], "energy outside of the order's interval")
    wrong_way = np.any(schedule * book.side[:, None] < 0, axis=1).astype(np.bool_)
    wrong_way[[store.row for store in horizon.stores]] = False
    _refuse(np.flatnonzero(wrong_way), "energy against the direction of the order")
    idle = (book.energy_wh == 0) & (schedule != 0).any(axis=1)
    idle[[store.row for store in horizon.stores]] = False
    _refuse(np.flatnonzero(idle), "energy of an order without any")


def _share_range(terms: Block, energy: IntArray) -> tuple[Fraction, Fraction]:
    """Shares that round to these energies of a block, each less than a Wh off; empty where there are none."""
    profile = np.zeros(len(energy), dtype=np.int64)
    profile[terms.first : terms.first + len(terms.profile_wh)] = terms.profile_wh
    if (energy[profile == 0] != 0).any():
        return Fraction(1), Fraction(0)
    if (energy == profile).all():
        return Fraction(1), Fraction(1)
    pairs = [(int(e), int(p)) for e, p in zip(energy, profile, strict=True) if p]
    return max(Fraction(e - 1, p) for e, p in pairs), min(Fraction(e + 1, p) for e, p in pairs)


def _check_blocks(book: OrderBook, schedule: IntArray) -> None:
    blocks = {row: t for row, t in book.terms.items() if isinstance(t, Block) and book.energy_wh[row]}
    parent, taken = parents_of(book), dict[tuple[int, int], int]()
    accepted = {
        row: _share_range(t, np.abs(schedule[row])) for row, t in blocks.items() if schedule[row].any()
    }
    for row, (low, high) in accepted.items():
        terms = blocks[row]
        least = Fraction(terms.least_ppm, PPM)
        if low > high or (least == 1 and low != 1) or high < least:
            _refuse([row], "a block that is neither rejected nor accepted with a share that it allows")
        if terms.group != NONE:
            key = (int(book.participant[row]), terms.group)
            if key in taken:
                _refuse([taken[key], row], "two blocks of an exclusive group")
            taken[key] = row
        if terms.parent != NONE:
            above = accepted.get(parent[row])
            if above is None or above[1] < low:
                _refuse([row], "a block that is accepted beyond its parent")


def _check_flexible(book: OrderBook, schedule: IntArray) -> None:
    for row, terms in book.terms.items():
        if not isinstance(terms, Flexible) or not schedule[row].any():
            continue
        energy, total = np.abs(schedule[row]), int(np.abs(schedule[row]).sum())
        outside = energy[: terms.first].any() or energy[terms.last + 1 :].any()
        if (
            outside
            or int(energy.max()) > terms.power_wh
            or not terms.least_wh <= total <= book.energy_wh[row]
        ):
            _refuse([row], "a flexible order outside of its window, power or energy")
        if not terms.interruptible:
            first = int(energy.nonzero()[0][0])
            pieces = dict(starts_of(int(book.energy_wh[row]), terms))
            run = energy[first : first + len(pieces.get(first, ()))].tolist()
            if run != pieces.get(first) or total != book.energy_wh[row]:
                _refuse([row], "a flexible order that does not run in one piece")


def _check_store(store: Store, energy: IntArray) -> None:
    terms = store.terms
    if energy[: terms.first].any() or energy[terms.last + 1 :].any():
        _refuse([store.row], "a storage outside of its intervals")
    if int(energy.max()) > terms.charge_wh or int(energy.min()) < -terms.discharge_wh:
        _refuse([store.row], "a storage beyond its power")
    # In units in which everything is whole: a Wh stored, a Wh in, a Wh out.
    stored, into, out = PPM * terms.discharge_ppm, terms.charge_ppm * terms.discharge_ppm, PPM * PPM
    content = terms.initial_wh * stored
    for moved in energy.tolist():
        content += moved * (into if moved > 0 else out)
        if not 0 <= content <= terms.capacity_wh * stored:
            _refuse([store.row], "a storage emptier than empty or fuller than full")
    if content < terms.final_wh * stored - out:
        _refuse([store.row], "a storage that ends below its final content")


def _check_prices(book: OrderBook, horizon: Horizon, clearing: Clearing, schedule: IntArray) -> None:
    """Simple orders trade as their interval's price says, but for what rounding leaves unserved."""
    simple = horizon.simple
    accepted = np.abs(schedule[simple.row, simple.interval])
    moving = 2 * moving_places(horizon, schedule)
    for t, nodes in enumerate(clearing.prices):
        here = simple.interval == t
        found = nodes[0]
        if found is None:
            if schedule[:, t].any():
                raise InfeasibleClearing(f"interval {t} trades and has no price")
            continue
        if not found.lo <= found.price <= found.hi:
            raise InfeasibleClearing(f"the price of interval {t} is outside of its price interval")
        gain = simple.side * (simple.limit_micro_per_kwh - found.price)
        _refuse(simple.row[here & (gain < 0) & (accepted > 0)], "a price worse than the limit")
        unserved = int((simple.energy_wh - accepted)[here & (gain > 0)].sum())
        if unserved > moving[t]:
            raise InfeasibleClearing(
                f"orders that gain at the price of interval {t} lack {unserved} Wh; rounding explains {moving[t]}"
            )


def _check_money(book: OrderBook, horizon: Horizon, clearing: Clearing, schedule: IntArray) -> None:
    price = np.array([0 if nodes[0] is None else nodes[0].price for nodes in clearing.prices], dtype=np.int64)
    paid, owed = clearing.payment_nano(book), schedule @ price
    surplus = int(paid.sum())
    if surplus or clearing.operator_surplus_nano:
        raise InfeasibleClearing(f"buyers pay {surplus} nano more than sellers get; it must be 0")
    value = values_nano(book, horizon, schedule)
    if int(value.sum()) != clearing.welfare_nano:
        raise InfeasibleClearing(f"the welfare is {int(value.sum())} nano, not {clearing.welfare_nano}")
    losing = losses_nano(book, horizon, value - paid)
    _refuse(np.flatnonzero(losing), "an accepted order that loses")
    known = [nodes[0] for nodes in clearing.prices if nodes[0] is not None]
    span = max((abs(x) for one in known for x in (one.lo, one.hi)), default=0)
    moved = int(np.abs(paid - owed).sum())
    if moved > 2 * min(rounding_nano(horizon, schedule, 2 * span), INT64_SAFE):
        raise InfeasibleClearing(f"payments are {moved} nano off energy times price; rounding explains less")
