"""Why a horizon has no clearing: the storages that cannot reach their final contents, alone or together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from market.horizon import Horizon, Store
from market.units import PPM
from optimizer.blocks.hot import HotModel
from optimizer.errors import Infeasible
from optimizer.models.multi_interval import compiled


class Unreachable(Infeasible):
    """Storages that must end fuller than they can; `rows` are theirs, and none of them could be left out.

    Args:
        rows: Rows of the book.
        alone: Whether their own limits rule it out; otherwise nobody sells what they need together.
    """

    def __init__(self, rows: Sequence[int], alone: bool) -> None:
        self.rows, self.alone = tuple(rows), alone
        super().__init__(rows, alone)

    def said_of(self, names: Sequence[str]) -> str:
        """The reason in words, with these names."""
        who = f"the storage{'s' * (len(names) > 1)} {', '.join(names)}"
        what = "their final contents" if len(names) > 1 else "its final content"
        if self.alone:
            cure = "lower the final content, or raise power, initial content or the number of periods"
            return f"{who} cannot reach {what} even by charging at full power all the time; {cure}"
        cure = "lower a final content or add offers"
        return f"{who} cannot reach {what}: too little is offered while there is time to charge; {cure}"

    def __str__(self) -> str:
        return self.said_of([f"of row {row}" for row in self.rows])


def fullest_wh(store: Store) -> float:
    """What a storage holds at its end if it charges all the time. [Wh]"""
    terms = store.terms
    more = (terms.last - terms.first + 1) * terms.charge_wh * terms.charge_ppm / PPM
    return float(min(terms.capacity_wh, terms.initial_wh + more))


def refuse_unreachable(horizon: Horizon) -> None:
    """Raise for storages whose own limits keep them from their final contents.

    Raises:
        Unreachable: Names them.
    """
    rows = [store.row for store in horizon.stores if fullest_wh(store) < store.terms.final_wh]
    if rows:
        raise Unreachable(rows, alone=True)


def culprits(horizon: Horizon, price_range: tuple[int, int]) -> list[int]:
    """Rows of storages that cannot all reach their final contents, none of which could be left out; often one."""
    must = [store for store in horizon.stores if store.terms.final_wh > store.terms.initial_wh]
    others = tuple(store for store in horizon.stores if store not in must)
    for one in list(must):
        fewer = [store for store in must if store is not one]
        if not _clears(replace(horizon, stores=(*fewer, *others)), price_range):
            must = fewer
    return [store.row for store in must]


def _clears(horizon: Horizon, price_range: tuple[int, int]) -> bool:
    model = compiled(horizon, price_range)
    nothing = np.zeros(len(model.share))
    return HotModel(model.arrays).solve(model.share, nothing, nothing) is not None
