"""Oracles of cooperative games: Shapley over all orders of arrival, the core, and a local test of a nucleolus."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations, product
from typing import Any

Value = dict[frozenset[str], Fraction]


def value_of(case: dict[str, Any]) -> Value:
    """Worth of every coalition."""
    found = {
        frozenset(key.split(",")) if key else frozenset(): Fraction(str(x))
        for key, x in case["value"].items()
    }
    return {frozenset(): Fraction(0), **found}


def coalitions(players: list[str]) -> list[frozenset[str]]:
    """All but the empty one and that of everybody."""
    return [frozenset(some) for size in range(1, len(players)) for some in combinations(players, size)]


def shapley(case: dict[str, Any]) -> dict[str, Fraction]:
    """What each adds, averaged over all orders of arrival."""
    players, worth = case["players"], value_of(case)
    share = dict.fromkeys(players, Fraction(0))
    orders = list(permutations(players))
    for order in orders:
        for i, player in enumerate(order):
            share[player] += worth[frozenset(order[: i + 1])] - worth[frozenset(order[:i])]
    return {player: amount / len(orders) for player, amount in share.items()}


def in_core(case: dict[str, Any], share: dict[str, Fraction], slack: Fraction) -> bool:
    """Whether no coalition is worth more alone."""
    worth = value_of(case)
    return all(sum(share[p] for p in some) >= worth[some] - slack for some in coalitions(case["players"]))


def core_of_three_nonempty(case: dict[str, Any]) -> bool:
    """Bondareva and Shapley: the minimal balanced collections of up to three players."""
    players, worth = case["players"], value_of(case)
    everybody = frozenset(players)
    conditions = [sum(worth[frozenset({p})] for p in players) <= worth[everybody]]
    if len(players) == 3:
        conditions += [worth[everybody - {p}] + worth[frozenset({p})] <= worth[everybody] for p in players]
        conditions.append(sum(worth[everybody - {p}] for p in players) <= 2 * worth[everybody])
    return all(conditions)


def better_than_nucleolus(case: dict[str, Any], share: dict[str, Fraction], step: Fraction) -> Any:
    """A neighbouring imputation whose sorted excesses are smaller by more than rounding, or None."""
    players, worth = case["players"], value_of(case)

    def excess(x: dict[str, Fraction]) -> list[Fraction]:
        return sorted((worth[some] - sum(x[p] for p in some) for some in coalitions(players)), reverse=True)

    here = excess(share)
    for move in product((-2, -1, 0, 1, 2), repeat=len(players)):
        if sum(move) or not any(move):
            continue
        there = {p: share[p] + step * m for p, m in zip(players, move, strict=True)}
        if any(there[p] < worth[frozenset({p})] for p in players):
            continue
        for a, b in zip(excess(there), here, strict=True):
            if abs(a - b) > step / 1000:
                if a < b:
                    return there
                break
    return None
