"""Totals of a run or a cell: the named columns of its intervals, and the bills of the homes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from agents.meters import ALONE
from agents.state import whole_from_json
from market.auctions.uniform import optimum
from market.book import OrderBook
from market.errors import AmountTooLarge
from market.metrics.table import Result, system_facts
from market.rounds import offered_wh
from market.settlement.accounts import (
    BOUGHT,
    COLUMNS,
    EXPORT,
    IMPORT,
    LOCAL,
    RETAIL_EXPORT,
    RETAIL_IMPORT,
    SOLD,
    SYSTEM_ACCOUNTS,
    TRADE,
)
from market.units import INT64_SAFE, IntArray
from wattswap.runs.battery_account import BatteryAccount, account_nano, battery_netting_nano
from wattswap.runs.charges import Charges
from wattswap.runs.going_without import GoingWithout
from wattswap.runs.grid import of_homes
from wattswap.runs.grid_columns import grid_columns
from wattswap.runs.interval import IntervalRecord
from wattswap.runs.prepare import Setup

BEHIND_METER = ("load_wh", "pv_wh")
"""Columns without a value if the data do not have what is behind the meters."""
STORED = "stored_wh"
"""What batteries hold."""
OWN_COLUMNS = ("baseline_nano", "imbalance_cost_nano", "netting_nano")
"""Columns of a settled interval beside its postings."""
BILL_COLUMNS = (*COLUMNS, *OWN_COLUMNS, *BEHIND_METER)

Columns = Mapping[str, Sequence[int | None]]
"""Values of each interval by name; None where a value does not exist."""


def interval_columns(records: Sequence[IntervalRecord]) -> dict[str, list[int | None]]:
    """The columns of some intervals, as tables and metrics have them, computed for all of them at once.

    `import_wh` and `export_wh` are sums over the meters of all homes, `local_wh` is all energy that changed
    hands inside, traded or netted, `delivered_wh` what homes gave each other by the meters, each meter netted
    first, `competitive` the price of the efficient clearing of the same book, `bought_nano` what buyers pay and
    `sold_nano` what sellers get for traded energy, rebates included and fees not, `worse_orders` counts orders
    that pay more, or get less, than their accepted energy is worth at their limit, charges included,
    `import_micro_per_kwh` and `feed_in_micro_per_kwh` are those of homes without another retailer,
    `members_nano` what all homes are credited, `baseline_nano` what they would be without a market,
    `netting_nano` what of the difference the imbalance rule brings, and `bound_nano` the most that the
    difference can be. On a grid these are of the homes' orders; what homes bought and sold outside at its root counts
    as energy of the retailer. Where there is a grid, the columns of `grid_columns` follow.

    A battery in common counts as a home in all of them but `import_wh` and `export_wh`, and `baseline_nano`, and has
    columns of its own: `battery_wh` is what it took, negative where it gave, `battery_stored_wh` what it held at the
    end, and `battery_account_nano` what it was credited.
    """
    pairs = [of_homes(_offered(r), r.clearing, _traders(r)) for r in records]
    books, clearings = [book for book, _ in pairs], [clearing for _, clearing in pairs]
    ends = np.cumsum([len(book) for book in books])

    def joined(arrays: Iterable[IntArray]) -> IntArray:
        return np.concatenate(list(arrays)).astype(np.int64, copy=False)

    def sums(values: IntArray) -> list[int]:
        running = np.concatenate(([0], np.cumsum(values)))[ends]
        found: list[int] = np.diff(
            running, prepend=0
        ).tolist()  # exact also where the running sum has wrapped
        return found

    side, energy, limit = (
        joined(getattr(book, name) for book in books) for name in ("side", "energy_wh", "limit_micro_per_kwh")
    )
    accepted = joined(c.accepted_wh for c in clearings)
    charge = joined(c.charges_nano for c in clearings)
    amount = accepted * joined(c.price_micro_per_kwh for c in clearings)
    gain = side * (accepted * limit - amount) - charge
    turnover, buys = amount + side * np.minimum(charge, 0), side > 0
    prices, best = [c.node_price[0] for c in clearings], [optimum(book) for book in books]
    bought_wh, sold_wh = sums(accepted * buys), sums(accepted * ~buys)
    # On a grid homes trade with the outside too: what neighbours traded is the smaller side.
    traded = [min(pair) for pair in zip(bought_wh, sold_wh, strict=True)]
    sold_outside, bought_outside, back = _outside_wh(records)
    lines = np.stack([r.settled.postings.lines[: _traders(r)] for r in records])
    homes = len(records[0].roster)
    total, net = lines.sum(axis=1), lines[:, :, IMPORT] - lines[:, :, EXPORT]
    local = np.maximum(lines[:, :, LOCAL], 0).sum(axis=1).tolist()
    behind = {
        name: [int(r.columns[name].sum()) if name in r.columns else None for r in records]
        for name in BEHIND_METER
    }
    return {
        "orders": [len(book) for book in books],
        "demand_wh": sums(energy * buys),
        "supply_wh": sums(energy * ~buys),
        "traded_wh": traded,
        "lo_micro_per_kwh": [None if price is None else price.lo for price in prices],
        "hi_micro_per_kwh": [None if price is None else price.hi for price in prices],
        "price_micro_per_kwh": [c.average_price_micro_per_kwh(book) for book, c in pairs],
        "competitive_micro_per_kwh": [b.price_micro_per_kwh for b in best],
        "welfare_nano": [c.welfare_nano for c in clearings],
        "optimum_nano": [
            b.welfare_nano if len(book) == len(r.book) else optimum(r.book).welfare_nano
            for b, book, r in zip(best, books, records, strict=True)
        ],
        "optimum_wh": [b.traded_wh for b in best],
        "buyer_surplus_nano": sums(gain * buys),
        "seller_surplus_nano": sums(gain * ~buys),
        "operator_surplus_nano": [c.operator_surplus_nano for c in clearings],
        "bought_nano": _part_of(sums(turnover * buys), bought_wh, traded),
        "sold_nano": _part_of(sums(turnover * ~buys), sold_wh, traded),
        "worse_orders": sums((gain < 0).astype(np.int64)),
        "import_micro_per_kwh": [r.prices.main.import_micro_per_kwh for r in records],
        "feed_in_micro_per_kwh": [r.prices.main.feed_in_micro_per_kwh for r in records],
        "import_wh": lines[:, :homes, IMPORT].sum(axis=1).tolist(),
        "export_wh": lines[:, :homes, EXPORT].sum(axis=1).tolist(),
        "local_wh": [a + b for a, b in zip(traded, local, strict=True)],
        "delivered_wh": np.minimum(np.maximum(net, 0).sum(axis=1), np.maximum(-net, 0).sum(axis=1)).tolist(),
        "retail_import_wh": (total[:, RETAIL_IMPORT] + sold_outside - back).tolist(),
        "retail_export_wh": (total[:, RETAIL_EXPORT] + bought_outside - back).tolist(),
        **behind,
        "members_nano": total[:, TRADE:].sum(axis=1).tolist(),
        "baseline_nano": [int(r.settled.baseline_nano.sum()) for r in records],
        "netting_nano": [
            int(r.settled.netting_nano.sum()) + (0 if r.battery is None else battery_netting_nano(r))
            for r in records
        ],
        "bound_nano": [r.settled.bound_nano for r in records],
        **_battery_columns(records),
        **grid_columns(records),
    }


def _traders(record: IntervalRecord) -> int:
    """Accounts that trade for the homes: their own, and that of a battery in common."""
    return len(record.roster) + (record.battery is not None)


def _battery_columns(records: Sequence[IntervalRecord]) -> dict[str, list[int | None]]:
    """What a battery in common did, held and was credited in each interval; nothing without one."""
    moved = [record.battery for record in records]
    if None in moved:
        return {}
    return {
        "battery_wh": [one.taken_wh for one in moved if one is not None],
        "battery_stored_wh": [one.stored_wh for one in moved if one is not None],
        "battery_account_nano": [account_nano(record) for record in records],
    }


def _part_of(amounts_nano: list[int], energy_wh: list[int], part_wh: list[int]) -> list[int]:
    """What a part of the energy of each interval cost at its average price, rounded down. [nano-currency]"""
    rows = zip(amounts_nano, energy_wh, part_wh, strict=True)
    return [nano if part == whole else nano * part // whole for nano, whole, part in rows]


def _outside_wh(records: Sequence[IntervalRecord]) -> tuple[IntArray, IntArray, IntArray]:
    """What accounts outside sold and bought in each interval, and what of it was returned. [Wh]"""
    external = (r.settled.postings.lines[_traders(r) : -len(SYSTEM_ACCOUNTS)] for r in records)
    sums = np.stack([lines[:, [SOLD, BOUGHT]].sum(axis=0) for lines in external])
    returned = (r.settled.postings.back_wh for r in records)
    back = [0 if wh is None else int(wh.sum()) for wh in returned]
    return sums[:, 0], sums[:, 1], np.array(back, dtype=np.int64)


def _offered(record: IntervalRecord) -> OrderBook:
    """The orders of an interval; where its market had several rounds, without what was withdrawn of them."""
    return replace(record.book, energy_wh=offered_wh(record.book, record.clearing))


class Totals:
    """The bills of the homes and the accounts of the system, summed over the intervals.

    Args:
        setup: The prepared scenario.
        what: What they are the totals of, for messages: "run" or "cell".
    """

    def __init__(self, setup: Setup, what: str) -> None:
        self._setup, self._what = setup, what
        self._lines = np.zeros((len(setup.roster), len(BILL_COLUMNS)), dtype=np.int64)
        self.system_nano = np.zeros(len(SYSTEM_ACCOUNTS), dtype=np.int64)
        self.turnover_nano = 0.0
        self._charges, self._without = Charges(setup), GoingWithout(setup)
        self.battery = BatteryAccount(setup)
        self.beyond_alone_wh: int | None = None
        self.alone_wh: dict[str, int] = {}
        """What homes that react would import and use without a market."""

    def add(self, record: IntervalRecord) -> None:
        """Add one interval, and stop before any sum could wrap: no bill can pass twice the sum of all amounts
        without signs.

        Raises:
            AmountTooLarge: That sum passes 2^62.
        """
        settled, homes = record.settled, len(self._lines)
        lines = settled.postings.lines
        for amounts in (lines[:, TRADE:], settled.baseline_nano):
            self.turnover_nano += float(np.abs(amounts).sum(dtype=np.float64))
        if self.turnover_nano >= INT64_SAFE:
            raise AmountTooLarge(f"the amounts of the {self._what} together")
        self._lines[:, : len(COLUMNS)] += lines[:homes]
        for i, name in enumerate(BILL_COLUMNS[len(COLUMNS) :], len(COLUMNS)):
            own = name in OWN_COLUMNS
            self._lines[:, i] += getattr(settled, name) if own else record.columns.get(name, 0)
        self.system_nano += settled.postings.total_nano[-len(SYSTEM_ACCOUNTS) :]
        self._charges.add(record)
        self._without.add(record)
        self.battery.add(record)
        if f"{ALONE}{STORED}" in record.columns:
            self.beyond_alone_wh = int((record.columns[STORED] - record.columns[f"{ALONE}{STORED}"]).sum())
        i = self._setup.index_of(record.start_s)
        for name, column in self._setup.alone(i, record.columns).items():
            self.alone_wh[name] = self.alone_wh.get(name, 0) + int(column.sum())

    @property
    def bills(self) -> dict[str, IntArray]:
        """Every column of the bills by name, one value a home; what is not known is absent."""
        # Losses are posted with the grid operator: a home has none.
        unknown = ("loss_wh",) if self._setup.has_load else ("loss_wh", *BEHIND_METER)
        posted = {name: self._lines[:, i] for i, name in enumerate(BILL_COLUMNS) if name not in unknown}
        more = self._charges.columns(posted) | self.battery.columns(posted)
        return posted | more | self._without.columns()

    def saved(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "bills": self._lines.tolist(),
            "system_nano": self.system_nano.tolist(),
            "turnover_nano": self.turnover_nano,
            "charges": self._charges.saved(),
            "without": self._without.saved(),
            "battery": self.battery.saved(),
            "beyond_alone_wh": self.beyond_alone_wh,
            "alone_wh": self.alone_wh,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            KeyError, TypeError, ValueError: It is not of this run.
        """
        turnover_nano, beyond, alone = (
            saved[name] for name in ("turnover_nano", "beyond_alone_wh", "alone_wh")
        )
        names = (
            {f"{ALONE}import_wh", f"{ALONE}load_wh"} if self._setup.reacts and self._setup.has_load else ()
        )
        if type(turnover_nano) is not float or not 0 <= turnover_nano < INT64_SAFE:
            raise ValueError(f"turnover_nano is {turnover_nano!r}")
        if beyond is not None and type(beyond) is not int:
            raise TypeError(f"beyond_alone_wh is {beyond!r}")
        if set(alone) != set(names) or any(type(value) is not int for value in alone.values()):
            raise ValueError(f"alone_wh holds {alone!r}, not whole numbers of {sorted(names)}")
        self._lines[:] = whole_from_json("bills", saved["bills"], self._lines.shape)
        self.system_nano[:] = whole_from_json("system_nano", saved["system_nano"], self.system_nano.shape)
        self._charges.restore(saved["charges"], saved["done"])
        self._without.restore(saved["without"])
        self.battery.restore(saved["battery"])
        self.turnover_nano, self.beyond_alone_wh, self.alone_wh = turnover_nano, beyond, alone


def result_of(setup: Setup, intervals: Columns, totals: Totals) -> Result:
    """What metrics are computed from."""
    values, known = {}, {}
    for name, column in intervals.items():
        if setup.has_load or name not in BEHIND_METER:
            gaps = None in column
            known[name] = (
                np.array([v is not None for v in column]) if gaps else np.ones(len(column), np.bool_)
            )
            values[name] = np.array([v or 0 for v in column] if gaps else column, dtype=np.int64)
    prices, emission = setup.prices, setup.scenario.tariff.emission_g_per_kwh
    facts = {
        "minutes": setup.minutes,
        "grid_fee_local_micro_per_kwh": prices.grid_fee_local_micro_per_kwh,
        "grid_fee_remote_micro_per_kwh": prices.grid_fee_remote_micro_per_kwh,
        **system_facts(totals.system_nano),
        **totals.battery.facts,
        **({} if emission is None else {"emission_g_per_kwh": emission}),
        **({} if totals.beyond_alone_wh is None else {"beyond_alone_wh": totals.beyond_alone_wh}),
        **totals.alone_wh,
    }
    return Result(values, totals.bills, facts, known)
