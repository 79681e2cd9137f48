"""The core: whether any coalition could do better alone."""

from __future__ import annotations

from dataclasses import dataclass

from market.cooperative.game import players_of, subset_sums
from market.errors import InvalidGame
from market.units import IntArray


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
