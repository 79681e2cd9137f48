"""Accounts and postings of one interval: double entry, every column sums to exactly zero.

Accounts are the members in roster order, then the external accounts that trade beside them (such as the grid at a
transformer), then the retailer, the grid operator and the market operator. Every kind of posting is a column:

- trade: buyers pay, sellers get, the market operator keeps the surplus (or adds the deficit);
- imbalance: what members sell each other because their meters differ from their trades;
- loss: energy that was sold and not bought, with the grid operator;
- retail: what is left, bought at the import price or sold at the feed-in price;
- grid fee: paid by whoever imports, the local fee for energy from a neighbour, the remote fee for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.errors import AmountTooLarge, UnbalancedPostings
from market.units import INT64_SAFE, IntArray

SYSTEM_ACCOUNTS = ("retailer", "grid_operator", "market_operator")
RETAILER, GRID_OPERATOR, MARKET_OPERATOR = 0, 1, 2  # offsets behind the members

ENERGY_COLUMNS = (
    "import_wh",
    "export_wh",
    "bought_wh",
    "sold_wh",
    "local_wh",
    "retail_import_wh",
    "retail_export_wh",
    "loss_wh",
)
MONEY_COLUMNS = ("trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano")
COLUMNS = ENERGY_COLUMNS + MONEY_COLUMNS
COLUMN_INDEX = {name: i for i, name in enumerate(COLUMNS)}
(
    IMPORT,
    EXPORT,
    BOUGHT,
    SOLD,
    LOCAL,
    RETAIL_IMPORT,
    RETAIL_EXPORT,
    LOSS,
    TRADE,
    IMBALANCE,
    RETAIL,
    GRID_FEE,
) = range(len(COLUMNS))

TOO_LARGE = "the amounts of one interval"


@dataclass(frozen=True, slots=True, eq=False)
class Postings:
    """The postings of one interval; positive money is credited to the account.

    Args:
        lines: One row per account (members, external accounts, SYSTEM_ACCOUNTS), one column per name in COLUMNS.
            `local_wh` is imbalance settled inside the community: positive bought from, negative sold to other members.
        members: Number of member rows.
        external: Number of rows of external accounts.
        back_wh: On a grid, what of its retail energy each member returned to the connection at its price; None where
            nobody did. [Wh]
    """

    lines: IntArray
    members: int
    external: int = 0
    back_wh: IntArray | None = None

    def column(self, name: str) -> IntArray:
        """One column over all accounts."""
        return self.lines[:, COLUMN_INDEX[name]]

    @property
    def total_nano(self) -> IntArray:
        """Sum of all postings per account. [nano-currency]"""
        total: IntArray = self.lines[:, TRADE:].sum(axis=1)
        return total


def check_balanced(postings: Postings) -> None:
    """Raise unless every money column sums to zero and the members' energy adds up.

    Raises:
        UnbalancedPostings: Names the column and the amount that is left over.
        AmountTooLarge: The postings pass 2^62 without their signs, so their sums could wrap.
    """
    lines = postings.lines
    if float(np.abs(lines[:, TRADE:]).sum(dtype=np.float64)) >= INT64_SAFE:
        raise AmountTooLarge(TOO_LARGE)
    total = lines.sum(axis=0)
    for i in (TRADE, IMBALANCE, RETAIL, GRID_FEE):
        if total[i]:
            raise UnbalancedPostings(f"{COLUMNS[i]} sums to {total[i]} nano over all accounts; it must be 0")
    if total[BOUGHT] + total[LOSS] != total[SOLD]:
        lost = f" and {total[LOSS]} Wh lost" if total[LOSS] else ""
        raise UnbalancedPostings(f"{total[BOUGHT]} Wh bought{lost} but {total[SOLD]} Wh sold")
    if total[LOCAL]:
        raise UnbalancedPostings(f"imbalance inside the community sums to {total[LOCAL]} Wh; it must be 0")
    net = total[IMPORT] - total[EXPORT] + total[LOSS]
    if net != total[RETAIL_IMPORT] - total[RETAIL_EXPORT]:
        raise UnbalancedPostings(
            f"the meters net {net} Wh but the retailer is billed for"
            f" {total[RETAIL_IMPORT] - total[RETAIL_EXPORT]} Wh"
        )
