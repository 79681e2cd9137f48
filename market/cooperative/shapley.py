"""The Shapley value, exact and sampled.

Shares are computed exactly and rounded once, by largest remainder, so that they add up to the value of all players;
they may be negative.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np

from market.cooperative.game import CELLS, players_of, sizes
from market.errors import InvalidGame
from market.units import IntArray, rounded_shares

_HALF_BITS = 28


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
    chunk = max(1, CELLS // players)
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
