"""Share what a group is worth over its members: cases of `wattswap clear` with players and a value per coalition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from market.cooperative.core import core_check
from market.cooperative.game import LARGEST_VALUE_NANO, MAX_PLAYERS
from market.cooperative.shapley import sampled_shapley, shapley
from market.units import IntArray, money, nano_from_amount
from optimizer.cooperative import core_nonempty, nucleolus, prenucleolus
from wattswap.errors import suggest
from wattswap.inputs.collector import CaseReader, shown

METHODS = ("nucleolus", "prenucleolus", "shapley", "shapley_sampled")
DEFAULT_SAMPLES = 1_000
MOST_SAMPLES = 1_000_000
MOST_PLAYERS = {"nucleolus": 13, "prenucleolus": 13}
SEPARATOR = ","
_SHOWN_MISSING = 5


def clear_cooperative(case: Mapping[str, Any], method: str) -> dict[str, Any]:
    """Share the value of all players.

    Args:
        case: {"players": [names], "value": {"": 0, "a": x, "a,b": y, ..}}: an amount of currency per coalition, its
            players in any order; the empty one may be left out. `shapley_sampled` takes "params" with "samples"
            (1,000) and "seed" (0). Not changed.
        method: One of METHODS.

    Returns:
        {"mechanism", "shares": {player: amount}, "core_nonempty", "in_core"}. The shares are whole nano and sum to
        the value of all players; `in_core` lets pass what that rounding alone may cost, a nano per player.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
        Infeasible: The nucleolus is asked for, but the players alone are worth more than together.
    """
    read = CaseReader()
    if method not in METHODS:
        read.note("mechanism", f"no way to share {method!r}", suggest(method, METHODS))
        read.refuse()
    top = read.mapping(case, "case", {"players", "value"}, {"params"})
    players = _players(read, top.get("players", []), method)
    value_nano = _values(read, top.get("value", {}), players)
    samples, seed = _params(read, top.get("params", {}), method)
    read.refuse()
    if method == "nucleolus":
        share_nano = nucleolus(value_nano)
    elif method == "prenucleolus":
        share_nano = prenucleolus(value_nano)
    elif method == "shapley":
        share_nano = shapley(value_nano)
    else:
        share_nano = sampled_shapley(value_nano.__getitem__, len(players), samples, seed)
    return {
        "mechanism": method,
        "shares": dict(zip(players, map(money, share_nano.tolist()), strict=True)),
        "core_nonempty": core_nonempty(value_nano),
        "in_core": core_check(value_nano, share_nano, tolerance_nano=len(players)).in_core,
    }


def _players(read: CaseReader, value: Any, method: str) -> list[str]:
    """Read the players in the order given; without those that cannot be used."""
    named = [read.name(name, f"players[{i}]") for i, name in enumerate(read.items(value, "players"))]
    for i, name in enumerate(named):
        if SEPARATOR in name:
            read.note(
                f"players[{i}]", f"{name!r} holds a comma", "a comma separates the players of a coalition"
            )
        if name in named[:i]:
            read.note(f"players[{i}]", f"{name!r} is given twice", "name every player once")
    most = MOST_PLAYERS.get(method, MAX_PLAYERS)
    if len(named) > most:
        read.note(
            "players", f"are {len(named)}; {method} takes at most {most}", "share among fewer, or by groups"
        )
    if not named and isinstance(value, list | tuple):
        read.note("players", "are none", "name at least one")
    return named


def _values(read: CaseReader, value: Any, players: list[str]) -> IntArray:
    """Read the value of every coalition into an array by bit mask; zeros where the players are not usable."""
    given = read.anything_named(value, "value")
    bit = {name: 1 << i for i, name in enumerate(players)}
    countable = len(bit) == len(players) <= MAX_PLAYERS
    found: dict[int, int] = {}
    for key, amount in given.items():
        where = f"value[{shown(key)}]"
        members = str(key).split(SEPARATOR) if key != "" else []
        unknown = [name for name in members if name not in bit]
        for name in dict.fromkeys(unknown):
            read.note(where, f"no player {name!r}", suggest(name, players))
        if len(set(members)) < len(members):
            read.note(where, "names a player twice", "name every player of a coalition once")
        amount_nano = _amount(read, amount, where)
        coalition = sum(bit[name] for name in set(members) - set(unknown))
        if unknown:
            continue
        if coalition in found:
            read.note(
                where, "this coalition is given twice", "the order of its players does not matter; keep one"
            )
        found[coalition] = amount_nano
    if found.get(0):
        read.note(
            'value[""]', "must be 0", "nobody is worth nothing; move a constant into every other coalition"
        )
    if not countable or not isinstance(value, Mapping):
        return np.zeros(1, dtype=np.int64)
    _note_missing(read, players, found)
    out = np.zeros(1 << len(players), dtype=np.int64)
    out[list(found)] = list(found.values())
    return out


def _amount(read: CaseReader, amount: Any, where: str) -> int:
    """Read an amount of money that the sums over coalitions can hold. [currency -> nano]"""
    number = read.number(amount, where)
    amount_nano = 0 if number is None else nano_from_amount(number)
    if abs(amount_nano) > LARGEST_VALUE_NANO:
        read.note(where, f"is beyond {money(LARGEST_VALUE_NANO):.0f}", "use a larger currency unit")
        return 0
    return amount_nano


def _note_missing(read: CaseReader, players: list[str], found: Mapping[int, int]) -> None:
    """Name the first coalitions without a value, and the number of all."""
    missing = [s for s in range(1, 1 << len(players)) if s not in found]
    if not missing:
        return
    names = [
        repr(SEPARATOR.join(name for i, name in enumerate(players) if s >> i & 1))
        for s in missing[:_SHOWN_MISSING]
    ]
    more = f" and {len(missing) - len(names)} more" if len(missing) > len(names) else ""
    read.note("value", f"no value for {', '.join(names)}{more}", "give an amount for every coalition")


def _params(read: CaseReader, value: Any, method: str) -> tuple[int, int]:
    """Read samples and seed, which only the sampled method takes."""
    allowed = {"samples", "seed"} if method == "shapley_sampled" else set()
    params = read.mapping(value, "params", set(), allowed)
    samples = _whole(read, params.get("samples", DEFAULT_SAMPLES), "params.samples", 1, MOST_SAMPLES)
    seed = _whole(read, params.get("seed", 0), "params.seed", 0, 2**63 - 1)
    return samples, seed


def _whole(read: CaseReader, value: Any, where: str, least: int, most: int) -> int:
    """Read a whole number of a range."""
    wrong_before = len(read.problems)
    number = read.whole(value, where)
    if len(read.problems) == wrong_before and not least <= number <= most:
        read.note(where, f"is {number}", f"give {least} to {most}")
    return number
