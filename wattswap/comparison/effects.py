"""What two mechanisms save differently, taken apart: by other prices, by other quantities, by the imbalance rule.

In every interval both mechanisms get one reference price r: the middle of their two prices, or the price of the one
that trades. With n the energy that a home buys less what it sells, t what it is credited for it, and F what it is
credited for the rest where all that is not traded is settled with the retailer,

    price effect        difference of t + r n    what its price is better than the reference
    rationing effect    difference of F - r n    who is served, and with how much
    imbalance rule      difference of what the imbalance rule saves

These three add up to the difference of the savings, to the nano and for every home. Where both mechanisms serve all
homes with the same energy, the rationing effect is 0; where both trade at one and the same price, the price effect is.
With one price each, the price effect is (p' - p) (n + n') / 2: the mean of changing prices before quantities and
quantities before prices (Shapley). All homes together, it is what the operators keep less or add more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from market.settlement.accounts import BOUGHT, SOLD, TRADE
from market.units import NANO_PER_UNIT, IntArray
from wattswap.errors import UsageError
from wattswap.runs.books import closed_book, columns_of
from wattswap.runs.interval import (
    IntervalRecord,
    clear_book,
    read_meters,
    sent_orders,
    settled_interval,
    step,
)
from wattswap.runs.prepare import Setup
from wattswap.runs.shown import adding_up, money_in_cents, rounded

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("saving_by_mechanism", "saving_from_outside", "saving_by_imbalance_rule")
"""Metrics of which the effects are differences."""


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """Why homes save more under one mechanism than under another.

    Args:
        price_nano: Per home, by other prices. [nano-currency]
        rationing_nano: Per home, by other quantities. [nano-currency]
        imbalance_rule_nano: Per home, by the imbalance rule. [nano-currency]
        outside_nano: What the operators add more from outside, all together; part of the price effect. [nano-currency]
    """

    price_nano: IntArray
    rationing_nano: IntArray
    imbalance_rule_nano: IntArray
    outside_nano: int

    @property
    def saving_nano(self) -> IntArray:
        """Per home, all three together: what it saves more. [nano-currency]"""
        return self.price_nano + self.rationing_nano + self.imbalance_rule_nano


def effects(setups: Mapping[str, Setup], against: str) -> dict[str, Effects]:
    """Take the savings under several mechanisms apart from those under one of them.

    Args:
        setups: The same scenario, prepared under each mechanism, by label.
        against: Label of the one that all are compared with.

    Raises:
        UsageError: The homes have a battery in common, whose account has a part in what they save.
        InfeasibleClearing: A mechanism broke a rule of the market.
    """
    if any(setup.store is not None for setup in setups.values()):
        what = "has an account of its own, which effects on homes do not take apart"
        raise UsageError.of("community.battery", what, "compare the bills, or compare without it")
    parts = {label: np.zeros((3, len(setup.roster)), dtype=np.int64) for label, setup in setups.items()}
    kept_nano = dict.fromkeys(setups, 0)
    for found in _side_by_side(setups):
        for label, record in found.items():
            parts[label] += _parts(record, found[against])
            kept_nano[label] += record.clearing.operator_surplus_nano
    added_nano = {label: max(-kept, 0) for label, kept in kept_nano.items()}
    return {
        label: Effects(price, rationing, rule, added_nano[label] - added_nano[against])
        for label, (price, rationing, rule) in parts.items()
    }


def by_home(found: Effects, roster: Sequence[str]) -> pd.DataFrame:
    """The effects on each home, which add up to its saving. [currency]"""
    import pandas as pd

    columns = {
        "price_effect": found.price_nano,
        "rationing_effect": found.rationing_nano,
        "imbalance_rule": found.imbalance_rule_nano,
        "saving": found.saving_nano,
    }
    return pd.DataFrame(columns, index=pd.Index(roster, name="household")) / NANO_PER_UNIT


def by_mechanism(found: Mapping[str, Effects]) -> pd.DataFrame:
    """The effects on all homes together, a row per mechanism; what comes from outside stands apart. [currency]

    price_effect and rationing_effect add up to by_mechanism, and with from_outside and imbalance_rule to saving.
    """
    import pandas as pd

    rows = []
    for one in found.values():
        price, rationing, rule = (
            int(part.sum()) for part in (one.price_nano, one.rationing_nano, one.imbalance_rule_nano)
        )
        own = price - one.outside_nano
        rows.append((own + rationing, own, rationing, one.outside_nano, rule, price + rationing + rule))
    names = ("by_mechanism", "price_effect", "rationing_effect", "from_outside", "imbalance_rule", "saving")
    frame = pd.DataFrame(rows, columns=names, index=pd.Index(found, name="mechanism"))
    return frame.astype(float) / NANO_PER_UNIT


def in_cents(
    frame: pd.DataFrame, figures: Mapping[str, Mapping[str, float | None]] | None = None
) -> pd.DataFrame:
    """A frame of `by_home` or `by_mechanism` in cents that add up across.

    Args:
        frame: The effects.
        figures: Every metric by mechanism: the effects then add up to the differences of the savings that are shown.
    """
    shown, effects = frame.copy(), ["price_effect", "rationing_effect"]
    others = [name for name in ("from_outside", "imbalance_rule") if name in frame]
    money = {label: money_in_cents(row) for label, row in (figures or {}).items()}
    for label, row in frame.iterrows():
        one, other = money.get(str(label), {}), money.get(frame.attrs.get("reference", ""), {})
        if one.keys() >= {*PARTS} and other.keys() >= {*PARTS}:
            own, outside, rule = (rounded(one[name] - other[name]) for name in PARTS)
            shown.loc[label, effects] = adding_up(row[effects].tolist(), total=own)
            shown.loc[label, others] = [outside, rule]
        else:
            shown.loc[label, [*effects, *others]] = adding_up(row[[*effects, *others]].tolist())
    if "by_mechanism" in shown:
        shown["by_mechanism"] = shown[effects].sum(axis=1).map(rounded)
    shown["saving"] = shown[[*effects, *others]].sum(axis=1).map(rounded)
    return shown


def _side_by_side(setups: Mapping[str, Setup]) -> Iterator[dict[str, IntervalRecord]]:
    """Every interval under each mechanism; homes that react to no result are simulated once for all."""
    first = next(iter(setups.values()))
    community = first.community()
    if community.learns or first.rounds > 1 or any(setup.looks_ahead for setup in setups.values()):
        own = {label: setup.community() for label, setup in setups.items()}
        for i in range(first.intervals):
            yield {label: step(setup, own[label], i) for label, setup in setups.items()}
        return
    for i in range(first.intervals):
        orders, meters = sent_orders(first, community, i), read_meters(first, community, i)
        energy = meters.import_wh, meters.export_wh
        book = closed_book(first, i, *columns_of(orders), net_wh=energy[0] - energy[1])
        yield {
            label: settled_interval(setup, i, book, clear_book(setup, i, book)[0], *energy, {})
            for label, setup in setups.items()
        }


def _parts(one: IntervalRecord, other: IntervalRecord) -> IntArray:
    """Price effect, rationing effect and difference by the imbalance rule in an interval, shape (3, homes). [nano]"""
    prices = [record.clearing.average_price_micro_per_kwh(record.book) for record in (one, other)]
    known = [price for price in prices if price is not None]
    reference = (sum(known) + len(known) // 2) // len(known) if known else 0

    def credited(record: IntervalRecord) -> IntArray:
        settled, postings = record.settled, record.settled.postings
        lines = postings.lines[: postings.members]
        by_price = lines[:, TRADE] + reference * (lines[:, BOUGHT] - lines[:, SOLD])
        saved = lines[:, TRADE:].sum(axis=1) - settled.baseline_nano
        return np.stack((by_price, saved - settled.netting_nano - by_price, settled.netting_nano))

    return credited(one) - credited(other)
