"""Who is served where not everybody at one limit can be: in proportion, the earliest first, or by a random draw."""

from __future__ import annotations

import numpy as np

from market.rules import MarketRules
from market.units import IntArray, largest_remainder


def ration(energy_wh: IntArray, take_wh: int, sequence: IntArray, rules: MarketRules) -> IntArray:
    """Split what there is over orders of one side that all would have it.

    Args:
        energy_wh: What each wants, in the order of the book. [Wh]
        take_wh: From 0 to the sum of the energies. [Wh]
        sequence: Order of arrival of each; also decides who gets an odd Wh of equal shares.
        rules: Uses `rationing` and `seed`.

    Returns:
        What each gets, at most what it wants. [Wh]
    """
    if rules.rationing == "pro_rata":
        return largest_remainder(energy_wh, take_wh, sequence)
    return in_turn(energy_wh, take_wh, turns(energy_wh, sequence, rules))


def in_turn(energy_wh: IntArray, take_wh: int, turn: IntArray) -> IntArray:
    """Distribute an energy over orders one after the other, until nothing is left of it. [Wh]

    Args:
        energy_wh: What each wants. [Wh]
        take_wh: What they get together. [Wh]
        turn: Rows, the first one first; rows that are not in it get nothing.
    """
    queue = energy_wh[turn]
    before = np.cumsum(queue) - queue
    share = np.zeros_like(energy_wh)
    share[turn] = np.clip(take_wh - before, 0, queue)
    return share


def turns(energy_wh: IntArray, sequence: IntArray, rules: MarketRules) -> IntArray:
    """Which orders are served first where they are not served in proportion: the earliest, or a random draw.

    Args:
        energy_wh: What each wants, in the order of the book. [Wh]
        sequence: Order of arrival of each.
        rules: Uses `rationing` and `seed`.

    Returns:
        Rows, the first one first; of a draw only those that want any energy.
    """
    if rules.rationing == "time":
        return np.argsort(sequence, kind="stable")
    # Raw words of the bit generator: unlike the methods of Generator, numpy keeps them equal for ever. An order
    # without energy draws none, so that the others' turns do not depend on it.
    live = energy_wh.nonzero()[0]
    drawn: IntArray = live[np.argsort(np.random.PCG64(rules.seed).random_raw(len(live)), kind="stable")]
    return drawn
