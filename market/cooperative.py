"""Cooperative games of small communities: what each coalition is worth, and how to share it (Shapley, core).

A coalition is a bit mask: bit i is set where player i is in it. A game is the array of the values of all 2^n
coalitions in nano-currency, `value_nano[0] == 0`. Shares are computed exactly and rounded once, by largest
remainder, so that they add up to the value of all players; they may be negative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial

import numpy as np

from market.errors import AmountTooLarge, InvalidGame
from market.tariff import OutsidePrices
from market.units import IntArray, rounded_shares

MAX_PLAYERS = 16
"""More players have more coalitions than an array should hold: 2^16 of them are half a megabyte."""

LARGEST_VALUE_NANO = 2**56
"""No coalition may be worth more, so that no sum of shares passes 64 bits; about 7.2e7 currency units."""

_CELLS = 1 << 20
_HALF_BITS = 28


def players_of(value_nano: IntArray) -> int:
    """Number of players of a game.

    Raises:
        InvalidGame: Not 2^n values, more players than supported, a value that is too large, or the empty
            coalition is worth something.
    """
    players = len(value_nano).bit_length() - 1
    if len(value_nano) != 1 << max(players, 0) or players < 1:
        raise InvalidGame(f"{len(value_nano)} values; a game of n players has 2^n, and n is at least 1")
    if players > MAX_PLAYERS:
        raise InvalidGame(f"{players} players; at most {MAX_PLAYERS} are supported")
    if value_nano[0]:
        raise InvalidGame(f"the empty coalition is worth {value_nano[0]}; it must be worth 0")
    if max(int(value_nano.max()), -int(value_nano.min())) > LARGEST_VALUE_NANO:
        raise InvalidGame(f"a coalition is worth more than {LARGEST_VALUE_NANO} nano; use a larger unit")
    return players


def sizes(players: int) -> IntArray:
    """Number of players in each coalition, shape (2^players,)."""
    return subset_sums(np.ones(players, dtype=np.int64))


def subset_sums(share: IntArray) -> IntArray:
    """Sum of the shares of the members of each coalition: (n,) becomes (2^n,), (n, T) becomes (2^n, T)."""
    total = np.zeros((1, *share.shape[1:]), dtype=np.int64)
    for one in share:
        total = np.concatenate((total, total + one))
    return total


def shapley(value_nano: IntArray) -> IntArray:
    """Exact Shapley value: what each player adds on average over all orders in which the players may arrive.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))

    Args:
        value_nano: Value of each coalition, shape (2^n,), n up to MAX_PLAYERS. [nano]

    Returns:
        Share of each player, shape (n,); the shares sum to the value of all. [nano]

    Raises:
        InvalidGame: Not a game.

    Source: Shapley, A Value for n-Person Games, 1953.
    """
    n = players_of(value_nano)
    size = sizes(n)
    by_size = np.argsort(size, kind="stable")
    first = np.searchsorted(size[by_size], np.arange(n + 1))
    mask, value = by_size.astype(np.int64), value_nano[by_size]
    every = _sums(value, first)
    numerator = []
    for i in range(n):
        with_i = _sums(value * (mask >> i & 1), first)
        numerator.append(
            sum(
                factorial(s) * factorial(n - s - 1) * (with_i[s + 1] - every[s] + with_i[s]) for s in range(n)
            )
        )
    return rounded_shares(numerator, factorial(n))


def _sums(value: IntArray, first: IntArray) -> list[int]:
    """Sum of each run of rows, exact: the two halves of the bits are summed apart, so nothing wraps."""
    high, low = value >> _HALF_BITS, value & ((1 << _HALF_BITS) - 1)
    pairs = zip(np.add.reduceat(high, first).tolist(), np.add.reduceat(low, first).tolist(), strict=True)
    return [(h << _HALF_BITS) + x for h, x in pairs]


def sampled_shapley(
    value_of: Callable[[IntArray], IntArray], players: int, samples: int, seed: int
) -> IntArray:
    """Estimate the Shapley value from random orders of arrival.

    The error falls with the square root of the samples. The shares sum to the value of all for any number of them.

    Args:
        value_of: Value of each of an array of coalitions; `value_nano.__getitem__` for a game in an array. [nano]
        players: Number of players, 1 to 62.
        samples: Number of orders drawn, at least 1.
        seed: Seed of the draw.

    Returns:
        Share of each player, shape (players,). [nano]

    Raises:
        InvalidGame: The number of players or samples is outside its range.

    Source: Castro, Gomez, Tejada, Computers & Operations Research 36 (2009), 1726-1730.
    """
    if not 1 <= players <= 62 or samples < 1:
        raise InvalidGame(f"{players} players and {samples} samples; 1 to 62 and at least 1 are needed")
    # Raw words of the bit generator: unlike the methods of Generator, numpy keeps them equal for ever.
    words = np.random.PCG64(seed)
    chunk = max(1, _CELLS // players)
    total = [0] * players
    for done in range(0, samples, chunk):
        orders = min(chunk, samples - done)
        arrival = np.argsort(words.random_raw((orders, players)), axis=1, kind="stable")
        present = np.cumsum(np.int64(1) << arrival, axis=1)
        worth = np.concatenate((np.zeros((orders, 1), dtype=np.int64), value_of(present)), axis=1)
        added = np.empty_like(present)
        np.put_along_axis(added, arrival, np.diff(worth, axis=1), axis=1)
        for i in range(players):
            total[i] += _sums(added[:, i], np.zeros(1, dtype=np.int64))[0]
    return rounded_shares(total, samples)


@dataclass(frozen=True, slots=True)
class CoreCheck:
    """Whether shares lie in the core, and the coalition that has the most reason to leave.

    Args:
        in_core: The shares add up to the value of all, and no coalition could do better alone.
        coalition: Bit mask of the worst coalition, which is neither empty nor all; 0 with a single player.
        excess_nano: Its value minus what its members get; above 0 it could do better alone. [nano]
        unshared_nano: Value of all minus the sum of the shares. [nano]
    """

    in_core: bool
    coalition: int
    excess_nano: int
    unshared_nano: int


def core_check(value_nano: IntArray, share_nano: IntArray, tolerance_nano: int = 0) -> CoreCheck:
    """Check shares against every coalition; the core is all x with x(N) = v(N) and x(S) >= v(S).

    Args:
        value_nano: Value of each coalition, shape (2^n,). [nano]
        share_nano: Share of each player, shape (n,). [nano]
        tolerance_nano: Excess that is let pass. Shares rounded to whole nano may miss a core of no width by up to
            the number of players. [nano]

    Raises:
        InvalidGame: Not a game, or another number of shares.

    Source: Gillies, Solutions to General Non-Zero-Sum Games, 1959.
    """
    n = players_of(value_nano)
    if len(share_nano) != n:
        raise InvalidGame(f"{len(share_nano)} shares for {n} players")
    paid = subset_sums(share_nano)
    unshared = int(value_nano[-1]) - int(paid[-1])
    excess = (value_nano - paid)[1:-1]
    worst = int(excess.argmax()) + 1 if n > 1 else 0
    worst_nano = int(excess[worst - 1]) if worst else 0
    return CoreCheck(unshared == 0 and worst_nano <= tolerance_nano, worst, worst_nano, unshared)


def coalition_values(import_wh: IntArray, export_wh: IntArray, prices: OutsidePrices) -> IntArray:
    """What every coalition of homes saves by netting among its members, against each alone with the retailer.

    In an interval a coalition nets min(need, offer), and each kWh of it saves the import price plus the remote fee,
    and costs the local fee and the feed-in price forgone; where that is a loss nothing is netted. A home whose meter
    ran both ways enters with the difference only, as in settlement. The game is superadditive.

    Args:
        import_wh: Metered import, shape (T, H), H up to MAX_PLAYERS. [Wh]
        export_wh: Metered export, same shape. [Wh]
        prices: Outside prices of the T intervals.

    Returns:
        Saving per coalition, shape (2^H,), of whole nano. [nano-currency]

    Raises:
        InvalidGame: Shapes that do not fit, or more homes than supported.
        AmountTooLarge: A saving beyond LARGEST_VALUE_NANO.
    """
    if import_wh.ndim != 2 or import_wh.shape != export_wh.shape or len(prices) != len(import_wh):
        raise InvalidGame(
            f"import of shape {import_wh.shape}, export of {export_wh.shape}, {len(prices)} prices;"
            " give (intervals, homes) twice and one price an interval"
        )
    homes = import_wh.shape[1]
    if not 1 <= homes <= MAX_PLAYERS:
        raise InvalidGame(f"{homes} homes; 1 to {MAX_PLAYERS} are supported")
    gain = np.maximum(prices.buy_cap_micro_per_kwh - prices.feed_in_micro_per_kwh, 0)
    need, offer = np.maximum(import_wh - export_wh, 0), np.maximum(export_wh - import_wh, 0)
    if float(gain.astype(np.float64) @ np.minimum(need.sum(axis=1), offer.sum(axis=1))) > LARGEST_VALUE_NANO:
        raise AmountTooLarge("the savings of a coalition")
    # Nothing is netted without a gain, a buyer and a seller, so such intervals need no look.
    rows = np.flatnonzero((gain > 0) & need.any(axis=1) & offer.any(axis=1))
    value = np.zeros(1 << homes, dtype=np.int64)
    chunk = max(1, _CELLS >> homes)
    for first in range(0, len(rows), chunk):
        part = rows[first : first + chunk]
        value += np.minimum(subset_sums(need[part].T), subset_sums(offer[part].T)) @ gain[part]
    return value
