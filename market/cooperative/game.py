"""Cooperative games of small communities: what each coalition is worth.

A coalition is a bit mask: bit i is set where player i is in it. A game is the array of the values of all 2^n
coalitions in nano-currency, `value_nano[0] == 0`.
"""

from __future__ import annotations

import numpy as np

from market.errors import AmountTooLarge, InvalidGame
from market.settlement.tariff import OutsidePrices
from market.units import IntArray

MAX_PLAYERS = 16
"""More players have more coalitions than an array should hold: 2^16 of them are half a megabyte."""


LARGEST_VALUE_NANO = 2**56
"""No coalition may be worth more, so that no sum of shares passes 64 bits; about 7.2e7 currency units."""

CELLS = 1 << 20


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
    chunk = max(1, CELLS >> homes)
    for first in range(0, len(rows), chunk):
        part = rows[first : first + chunk]
        value += np.minimum(subset_sums(need[part].T), subset_sums(offer[part].T)) @ gain[part]
    return value
