"""Units: integers inside, decimal numbers at the edge, and every conversion between the two.

Inside: energy in Wh, prices in micro-currency per kWh, money in nano-currency. Wh x micro/kWh is exactly nano, so
no product is ever rounded. At the edge (TOML, JSON, tables for people): kWh, currency per kWh, currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
Int8Array = npt.NDArray[np.int8]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

WH_PER_KWH = 1_000
MICRO_PER_UNIT = 1_000_000
NANO_PER_UNIT = 1_000_000_000
PPM = 1_000_000

INT64_SAFE = 2**62
"""No sum of products inside may pass this, so that int64 never wraps. About 4.6e9 currency units in nano."""


def wh_from_kwh(kwh: Decimal) -> int:
    """Convert energy to whole Wh, half to even. [kWh -> Wh]"""
    return int((kwh * WH_PER_KWH).to_integral_value(ROUND_HALF_EVEN))


def micro_from_price(price: Decimal) -> int:
    """Convert a price to whole micro-currency per kWh, half to even. [currency/kWh -> micro/kWh]"""
    return int((price * MICRO_PER_UNIT).to_integral_value(ROUND_HALF_EVEN))


def nano_from_amount(amount: Decimal) -> int:
    """Convert an amount of money to whole nano-currency, half to even. [currency -> nano]"""
    return int((amount * NANO_PER_UNIT).to_integral_value(ROUND_HALF_EVEN))


def is_exact(value: Decimal, per_unit: int) -> bool:
    """Whether `value` is a whole number of the inside unit (`per_unit` of them make one outside)."""
    scaled = value * per_unit
    return scaled == scaled.to_integral_value()


def kwh(energy_wh: int) -> float:
    """Energy for people. [Wh -> kWh]"""
    return energy_wh / WH_PER_KWH


def price(micro_per_kwh: int) -> float:
    """A price for people. [micro/kWh -> currency/kWh]"""
    return micro_per_kwh / MICRO_PER_UNIT


def money(amount_nano: int) -> float:
    """An amount for people. [nano -> currency]"""
    return amount_nano / NANO_PER_UNIT


def largest_remainder(weight: IntArray, total: int, rank: IntArray | None = None) -> IntArray:
    """Split `total` over rows in proportion to `weight`, in whole units that add up exactly.

    Every row first gets floor(total x weight / sum of weights); the units left go one each to the rows with the
    largest remainders. Where remainders tie, the lower `rank` goes first, and the earlier row where ranks tie too.

    Args:
        weight: Non-negative, shape (n,), with a positive sum unless `total` is 0.
        total: 0 <= total <= sum of weights, so that no row gets more than its weight.
        rank: Turn of each row among equal remainders, shape (n,); by row where None.

    Returns:
        Shares, shape (n,), summing to `total`, each at most its weight.
    """
    sum_weight = int(weight.sum())
    if total == 0 or sum_weight == 0:
        return np.zeros(len(weight), dtype=np.int64)
    if total == sum_weight:
        return weight.copy()
    if int(weight.max()) * total < INT64_SAFE:
        product = weight * total
        share, remainder = np.divmod(product, sum_weight)
    else:  # products beyond int64: exact in Python integers
        pairs = [divmod(int(w) * total, sum_weight) for w in weight]
        share = np.array([p[0] for p in pairs], dtype=np.int64)
        remainder = np.array([p[1] for p in pairs], dtype=np.int64)
    left = total - int(share.sum())
    if left:
        # The left-th largest remainder by partition: a whole book at one price must not cost a sort.
        least = np.partition(remainder, len(remainder) - left)[len(remainder) - left]
        above = remainder > least
        share += above
        tied = np.flatnonzero(remainder == least)
        units = left - int(above.sum())
        if rank is not None and len(tied) > units:
            tied = tied[first_by_rank(rank[tied], units)]
        share[tied[:units]] += 1
    return share


def first_by_rank(rank: IntArray, count: int) -> IntArray:
    """Return the rows with the `count` lowest ranks, of equal ranks the earlier rows.

    Args:
        rank: Shape (n,).
        count: 1 to n.
    """
    last = np.partition(rank, count - 1)[count - 1]  # without a sort, as above
    before, tied = np.flatnonzero(rank < last), np.flatnonzero(rank == last)
    return np.concatenate((before, tied[: count - len(before)]))


def rounded_shares(numerator: Sequence[int], denominator: int, rank: Sequence[int] | None = None) -> IntArray:
    """Round the shares numerator / denominator to whole units; their sum, a whole number, is kept.

    Every share gets its floor; the units left go one each to the largest remainders, by `rank` and then by row where
    remainders tie. In Python integers, for shares of any sign; `largest_remainder` is the fast form for energies.

    Args:
        numerator: Per share, at least one.
        denominator: Above 0; divides the sum of the numerators.
        rank: Turn of each share among equal remainders, the lower first; by row where None.
    """
    floor, remainder = zip(*(divmod(x, denominator) for x in numerator), strict=True)
    share = np.array(floor, dtype=np.int64)
    by_rank = range(len(share)) if rank is None else sorted(range(len(share)), key=rank.__getitem__)
    turn = sorted(by_rank, key=lambda i: -remainder[i])
    share[turn[: sum(remainder) // denominator]] += 1
    return share


def side_by_side(left_wh: IntArray, right_wh: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Lay two rows of energies beside each other; every stretch between two ends is one piece of both.

    Args:
        left_wh: At least 0, shape (n,). [Wh]
        right_wh: At least 0, shape (m,). [Wh]

    Returns:
        Index into `left_wh`, index into `right_wh` and energy above 0 of every stretch, up to the shorter total.
    """
    ends = np.empty(len(left_wh) + len(right_wh), dtype=np.int64)
    left_ends, right_ends = ends[: len(left_wh)], ends[len(left_wh) :]
    np.cumsum(left_wh, out=left_ends)
    np.cumsum(right_wh, out=right_ends)
    ends <<= 1
    right_ends |= 1
    ends.sort(kind="stable")  # two sorted runs: this only merges them
    is_right = ends & 1
    ends >>= 1
    right = np.cumsum(is_right) - is_right  # ends of the right row before this stretch
    left = np.arange(len(ends)) - right
    count = min(int(left.searchsorted(len(left_wh))), int(right.searchsorted(len(right_wh))))
    left, right, energy_wh = left[:count], right[:count], ends[:count].copy()
    energy_wh[1:] -= ends[:count][:-1]
    real = (energy_wh > 0).nonzero()[0]  # of a column of truths it takes a quarter of the time
    if len(real) == count:
        return left, right, energy_wh
    return left[real], right[real], energy_wh[real]
