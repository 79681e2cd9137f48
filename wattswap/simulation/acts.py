"""What goes wrong in a simulated run: each act waits for its moment, does its harm, and undoes it before the calm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Final

import trio

from wattswap.simulation.plan import Act
from wattswap.simulation.rotation import rotate
from wattswap.simulation.town import Town

Play = Callable[["Town", Act], Awaitable[None]]


async def play(town: Town, act: Act) -> None:
    """Wait for the moment of an act, and do it."""
    await _moment(town, act)
    if town.is_chaos():
        town.acted.append((trio.current_time(), act))
        await ACTS[act.kind](town, act)


def await_moments(town: Town) -> None:
    """Prepare what acts wait for, before any node starts: its first writes come at once."""
    for act in town.plan.acts:
        _awaited(town, act)


def _awaited(town: Town, act: Act) -> trio.Event:
    if act.on == "write" and act.kind in ("crash", "power"):
        return town.crash_at.setdefault((act.who[0], act.number), trio.Event())
    where = {"write": act.who[0], "message": f"{act.who[0]} {act.channel}"}.get(act.on, "")
    return town.event(act.on, where, act.number)


async def _moment(town: Town, act: Act) -> None:
    if act.kind == "skew":
        return
    await _awaited(town, act).wait()
    if act.after_s:
        await trio.sleep(act.after_s)


async def _until_over(town: Town, act: Act) -> None:
    """Wait for the end of an act, at the latest for the calm."""
    await trio.sleep_until(min(trio.current_time() + act.for_s, town.plan.calm_s))


async def _crash(town: Town, act: Act) -> None:
    for name in act.who:
        town.kill(name)
    for name in act.who:
        await town.nodes[name].ended.wait()
        if act.kind == "power":
            town.nodes[name].disk.lose_power(Random(f"{town.plan.seed}|power|{name}"))
    await _until_over(town, act)
    for name in act.who:
        town.start(name)


async def _restart(town: Town, act: Act) -> None:
    for name in act.who:
        await town.stop(name)
    await _until_over(town, act)
    for name in act.who:
        town.start(name)


async def _gone(town: Town, act: Act) -> None:
    for name in act.who:
        town.nodes[name].is_gone = True
        town.kill(name)


async def _hang(town: Town, act: Act) -> None:
    for name in act.who:
        town.network.hang(name)
    await _until_over(town, act)
    for name in act.who:
        town.network.go_on(name)


async def _cut(town: Town, act: Act) -> None:
    inside, outside = act.who, [name for name in town.nodes if name not in act.who]
    ways = [(a, b) for a in inside for b in outside]
    if act.kind == "cut":
        ways += [(b, a) for a, b in ways]
    town.network.cut(ways)
    await _until_over(town, act)
    town.network.join(ways)


async def _slow(town: Town, act: Act) -> None:
    ways = [way for a in act.who for b in town.nodes if a != b for way in ((a, b), (b, a))]
    town.network.slow |= dict.fromkeys(ways, act.amount)
    await _until_over(town, act)
    for way in ways:
        town.network.slow.pop(way, None)


async def _clock(town: Town, act: Act) -> None:
    for name in act.who:
        town.nodes[name].clock.offset_ms += round(act.amount * 1_000)


async def _full(town: Town, act: Act) -> None:
    for name in act.who:
        town.nodes[name].disk.full = town.nodes[name].was_full = True
    await _until_over(town, act)
    for name in act.who:
        town.nodes[name].disk.full = False
        town.start(name)


ACTS: Final[Mapping[str, Play]] = {
    "crash": _crash,
    "power": _crash,
    "restart": _restart,
    "gone": _gone,
    "hang": _hang,
    "cut": _cut,
    "one_way": _cut,
    "slow": _slow,
    "skew": _clock,
    "jump": _clock,
    "full": _full,
    "rotate": rotate,
}
