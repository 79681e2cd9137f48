"""The plan of a simulated run: a neighbourhood, its faults and byzantine nodes, drawn from a seed, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final, Literal

import msgspec

from market.files import read_at_most
from wattswap.errors import InvalidData, UsageError, suggest

VERSION: Final = 1
SEEDS_MAX: Final = 2**32
PLAN_BYTES_MAX: Final = 1_000_000
"""Most bytes of a plan in a file; a drawn one has some thousand."""
START_MS: Final = 1_700_000_000_000
"""The machine's clock when a run begins. [ms since 1970, UTC]"""
OPENS_AFTER_S: Final = 3.0
"""When the first interval opens. [s after the begin]"""
PATIENCE_PACES: Final = 3
"""Within how many paces of its opening, or of the calm, an interval must be settled."""

STRANGER: Final = "stranger"
"""Who belongs to no neighbourhood; only a lie may name it."""

Event = Literal["opening", "settled", "write", "message"]
Kind = Literal[
    "crash", "power", "hang", "cut", "one_way", "slow", "skew", "jump", "full", "gone", "restart", "rotate"
]


class Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A neighbourhood.

    Args:
        validators: Their number.
        gateways: Nodes that act for the homes; 0: one node per home.
        intervals: Number of intervals.
        pace_s: Time from one interval to the next. [s]
        sealed: Whether homes seal their orders.
        meter_keys: Number of homes, the first of the roster, whose meters have keys of their own.
    """

    validators: int = 4
    gateways: int = 0
    intervals: int = 8
    pace_s: float = 10.0
    sealed: bool = False
    meter_keys: int = 0


class Weather(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may go wrong on the ways of the network; see `p2p.transports.memory.Faults`."""

    delay_min_s: float = 0.001
    delay_max_s: float = 0.05
    loss: float = 0.0
    duplication: float = 0.0


CALM: Final = Weather()


class Act(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that goes wrong.

    Args:
        kind: "crash" (and restart), "power" (a crash that loses what is not synced), "gone" (for good), "restart"
            (stopped and started, nothing lost), "hang", "cut" (between `who` and all others), "one_way" (from `who` to
            all others), "slow" (ways of `who`, `amount` times), "skew" (clock of `who` by `amount` seconds from the
            begin), "jump" (the same, later), "full" (disk of `who`), "rotate" (the key of the first home of `who`).
        who: Names of nodes.
        on: What it waits for: the opening of interval `number`; the first settlement of interval `number`; the
            `number`-th write of the disk of `who`; the `number`-th request of `channel` at `who`.
        number: See `on`.
        after_s: How long after that. [s]
        for_s: How long it lasts. [s]
        amount: See `kind`.
        channel: A protocol or topic, for "message".
    """

    kind: Kind
    who: tuple[str, ...]
    on: Event = "opening"
    number: int = 0
    after_s: float = 0.0
    for_s: float = 0.0
    amount: float = 0.0
    channel: str = ""


class Lie(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one byzantine node does.

    Args:
        name: Of the lie; see `wattswap.simulation.byzantine.LIES`.
        who: The node that lies.
        victim: The node it is for, where there is one.
        first: First interval in which it lies.
        after_s: Moment in the interval, where the lie has one; 0 draws it soon after the opening. [s after that]
    """

    name: str
    who: str
    victim: str = ""
    first: int = 0
    after_s: float = 0.0


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that can be repeated.

    Args:
        version: Of this format.
        seed: Of all that is drawn while it runs.
        shape: The neighbourhood.
        weather: Of the network until the calm.
        calm_after: Intervals after whose openings the network is good and everybody is up who is not gone for good.
        compute_s: Longest time that a computation takes. [s]
        acts: What goes wrong.
        lies: Who lies.
        frames: Requests go as frames over streams.
        signatures: Real signatures.
        own_checks: Each node checks batches by itself; else one table of results is shared.
    """

    version: int = VERSION
    seed: int = 0
    shape: Shape = Shape()
    weather: Weather = CALM
    calm_after: int = 4
    compute_s: float = 0.0
    acts: tuple[Act, ...] = ()
    lies: tuple[Lie, ...] = ()
    frames: bool = False
    signatures: bool = False
    own_checks: bool = False

    @property
    def rotates(self) -> bool:
        """Whether a home rotates its key."""
        return any(act.kind == "rotate" for act in self.acts)

    @property
    def needs_own_checks(self) -> bool:
        """Whether each node checks batches by its own state: what it knows of keys and of barred homes decides, too."""
        return self.own_checks or self.rotates or self.shape.sealed

    @property
    def calm_s(self) -> float:
        """When the calm begins. [s after the begin]"""
        return self.opens_s(self.calm_after)

    def opens_s(self, i: int) -> float:
        """When an interval opens by a right clock. [s after the begin]"""
        return OPENS_AFTER_S + i * self.shape.pace_s


def read_plan(path: Path) -> Plan:
    """Read a plan from a JSON file.

    Raises:
        InvalidData: It cannot be read, is no plan, or one of another version.
    """
    try:
        data = read_at_most(path, PLAN_BYTES_MAX)
    except OSError as error:
        raise InvalidData.of(
            str(path), f"cannot be read: {error.strerror}", "name a plan that exists"
        ) from None
    if len(data) > PLAN_BYTES_MAX:
        raise InvalidData.of(str(path), f"is larger than {PLAN_BYTES_MAX} bytes", _WRITE_ONE)
    try:
        version = msgspec.json.decode(data, type=_Head).version
        if version != VERSION:
            cure = f"this program reads version {VERSION}: repeat the run from its seed, or use the commit of the plan"
            raise InvalidData.of(str(path), f"is a plan of version {version}", cure)
        return msgspec.json.decode(data, type=Plan)
    except msgspec.DecodeError as error:
        raise InvalidData.of(str(path), f"is not a plan: {error}", _WRITE_ONE) from None


_WRITE_ONE: Final = "write plans with `python -m wattswap.simulation --seeds N --save FILE`"


class _Head(msgspec.Struct):
    version: int


def plan_json(plan: Plan) -> str:
    """A plan as JSON, without what is as usual."""
    return json.dumps({"version": plan.version} | _unusual(plan), indent=1) + "\n"


def _unusual(struct: msgspec.Struct) -> dict[str, object]:
    """The fields of a structure that are not as usual."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if value == field.default:
            continue
        if isinstance(value, tuple):
            value = [_unusual(one) if isinstance(one, msgspec.Struct) else one for one in value]
        found[field.name] = _unusual(value) if isinstance(value, msgspec.Struct) else value
    return found


_LIMITS: Final = {
    "validators": (4, 25),
    "gateways": (0, 13),
    "intervals": (1, 1_000),
    "pace_s": (0.5, 3_600.0),
    "meter_keys": (0, 13),
}
"""Least and most of the fields of a shape; with fewer than four validators none may fail."""


def digits(value: float) -> str:
    """A number as people write it: 1000000, not 1e+06."""
    return f"{value:.15g}"


def check_shape(shape: Shape) -> None:
    """Refuse a neighbourhood that cannot be simulated.

    Raises:
        UsageError: Names the option.
    """
    for name, (least, most) in _LIMITS.items():
        value = getattr(shape, name)
        if not least <= value <= most:
            option = "--pace-seconds" if name == "pace_s" else f"--{name.replace('_', '-')}"
            raise UsageError.of(
                option, f"{digits(value)} is out of range", f"use {digits(least)} to {digits(most)}"
            )


def check_plan(plan: Plan, nodes: Sequence[str], lies: Sequence[str]) -> None:
    """Refuse a plan that does not fit its neighbourhood.

    Args:
        nodes: Names of all nodes.
        lies: Names of all lies.

    Raises:
        UsageError: An act or lie names no node, or no lie; or a number is out of range.
    """
    if not 0 <= plan.seed < SEEDS_MAX:
        raise UsageError.of("seed", f"{plan.seed} is out of range", f"use 0 to {SEEDS_MAX - 1}")
    _refuse_negative("plan", plan, "calm_after", "compute_s")
    _refuse_negative("weather", plan.weather, "delay_min_s", "delay_max_s", "loss", "duplication")
    for act in plan.acts:
        _refuse_negative(f"acts: {act.kind}", act, "number", "after_s", "for_s")
        if not act.who:
            raise UsageError.of("acts", f"{act.kind} names no node", "name at least one")
        for name in act.who:
            if name not in nodes:
                raise UsageError.of("acts", f"{act.kind} names no node: {name!r}", suggest(name, nodes))
    _check_rotations(plan, nodes)
    for lie in plan.lies:
        _refuse_negative(f"lies: {lie.name}", lie, "first", "after_s")
        for name in (lie.who, *([lie.victim] if lie.victim else [])):
            if name not in (*nodes, STRANGER):
                raise UsageError.of("lies", f"{lie.name} names no node: {name!r}", suggest(name, nodes))
        if lie.name not in lies:
            raise UsageError.of("lies", f"no lie {lie.name!r}", suggest(lie.name, lies))


def _check_rotations(plan: Plan, nodes: Sequence[str]) -> None:
    """Refuse rotations of a node without homes, and a second one of a node, for which there is one new key."""
    rotations = [act for act in plan.acts if act.kind == "rotate"]
    if any(len(act.who) > 1 for act in rotations):
        raise UsageError.of("acts", "rotate names several nodes", "give each an act of its own")
    rotating = [act.who[0] for act in rotations]
    for i, name in enumerate(rotating):
        if name not in _home_nodes(nodes):
            cure = suggest(name, _home_nodes(nodes))
            raise UsageError.of("acts", f"rotate names a node without homes: {name!r}", cure)
        if name in rotating[:i]:
            raise UsageError.of("acts", f"rotate names {name} twice", "keep one of the two")


def _home_nodes(nodes: Sequence[str]) -> list[str]:
    return [name for name in nodes if name.startswith(("home-", "gateway-"))]


def _refuse_negative(where: str, struct: msgspec.Struct, *names: str) -> None:
    for name in names:
        value = getattr(struct, name)
        if value < 0:
            raise UsageError.of(where, f"{name} of {digits(value)} is negative", "use 0 or more")


# --- drawing --------------------------------------------------------------------------------------------------------


def draw_plan(seed: int, shape: Shape, nodes: Sequence[str]) -> Plan:
    """Draw a plan of faults without lies.

    About half of the kinds of faults are left out of a plan: where everything goes wrong, nothing is found but that.
    Each fifth seed has slow computers, each tenth frames, each twentieth real signatures and checks of their own.

    Args:
        nodes: Names of all nodes.

    Raises:
        UsageError: The seed is out of range.
    """
    if not 0 <= seed < SEEDS_MAX:
        raise UsageError.of("--seeds", f"{seed} is out of range", f"use 0 to {SEEDS_MAX - 1}")
    random = Random(f"plan|{seed}")
    calm_after = min(4, max(shape.intervals - 1, 1))
    shape = msgspec.structs.replace(
        shape, pace_s=random.choice((shape.pace_s, 3.0)), meter_keys=shape.meter_keys or _meter_keys(seed)
    )
    weather = Weather(
        delay_max_s=random.choice((0.02, 0.05, 0.3, 1.0 if shape.pace_s > 5 else 0.3)),
        loss=random.choice((0.0, 0.0, 0.01, 0.05)),
        duplication=random.choice((0.0, 0.0, 0.1)),
    )
    acts = tuple(
        act
        for drawer in _DRAWERS
        if random.random() < 0.5
        for act in drawer(random, shape, nodes, calm_after)
    )
    acts += _rotation(seed, nodes)
    return Plan(
        seed=seed,
        shape=shape,
        weather=weather,
        calm_after=calm_after,
        compute_s=random.choice((0.0, 0.0, 0.0, 0.2, min(2.0, shape.pace_s / 5))),
        acts=acts,
        frames=seed % 10 == 0,
        signatures=seed % 20 == 1,
        own_checks=seed % 20 in (1, 2),
    )


def _moment(random: Random, calm_after: int) -> dict[str, object]:
    """Soon after an opening or a settlement: what a fault at any other time finds is little."""
    on = random.choice(("opening", "opening", "settled"))
    after_s = random.choice((random.uniform(0, 0.05), random.uniform(0, 0.8), random.uniform(0, 3.0)))
    return {"on": on, "number": random.randrange(calm_after), "after_s": round(after_s, 4)}


def _validators(random: Random, nodes: Sequence[str]) -> list[str]:
    """Up to a third of the validators, at least one."""
    names = [name for name in nodes if name.startswith("validator-")]
    return random.sample(names, random.randint(1, max((len(names) - 1) // 3, 1)))


def _crashes(random: Random, shape: Shape, nodes: Sequence[str], calm_after: int) -> list[Act]:
    found = []
    for _ in range(random.randint(1, 4)):
        kind: Kind = random.choice(("crash", "power", "restart"))
        for_s = round(random.choice((0.1, random.uniform(0, 2 * shape.pace_s))), 3)
        moment = _moment(random, calm_after)
        if random.random() < 0.4:
            moment = {"on": "write", "number": random.randint(1, 60)}
        found.append(Act(kind, (random.choice(nodes),), for_s=for_s, **moment))  # type: ignore[arg-type]
    return found


def _cuts(random: Random, shape: Shape, nodes: Sequence[str], calm_after: int) -> list[Act]:
    side = tuple(sorted(random.sample(list(nodes), random.randint(1, len(nodes) // 2))))
    kind: Kind = random.choice(("cut", "one_way"))
    for_s = round(random.uniform(0.5, 2 * shape.pace_s), 3)
    return [Act(kind, side, for_s=for_s, **_moment(random, calm_after))]  # type: ignore[arg-type]


def _slow(random: Random, shape: Shape, nodes: Sequence[str], calm_after: int) -> list[Act]:
    for_s = round(random.uniform(1, 2 * shape.pace_s), 3)
    moment = _moment(random, calm_after)
    return [Act("slow", (random.choice(nodes),), for_s=for_s, amount=float(random.randint(2, 20)), **moment)]  # type: ignore[arg-type]


def _hangs(random: Random, shape: Shape, nodes: Sequence[str], calm_after: int) -> list[Act]:
    for_s = round(random.uniform(0.5, 2 * shape.pace_s), 3)
    return [Act("hang", (random.choice(nodes),), for_s=for_s, **_moment(random, calm_after))]  # type: ignore[arg-type]


def _clocks(random: Random, shape: Shape, nodes: Sequence[str], calm_after: int) -> list[Act]:
    found = [
        Act("skew", (name,), amount=round(random.uniform(-2, 2), 3))
        for name in random.sample(list(nodes), random.randint(1, 4))
    ]
    if random.random() < 0.3:
        amount = round(random.uniform(-2, 2), 3)
        found.append(Act("jump", (random.choice(nodes),), amount=amount, **_moment(random, calm_after)))  # type: ignore[arg-type]
    return found


def _operator_gone(random: Random, _shape: Shape, _nodes: Sequence[str], calm_after: int) -> list[Act]:
    return [Act("gone", ("operator-0",), **_moment(random, calm_after))]  # type: ignore[arg-type]


def _validators_gone(random: Random, _shape: Shape, nodes: Sequence[str], calm_after: int) -> list[Act]:
    return [Act("gone", (name,), **_moment(random, calm_after)) for name in _validators(random, nodes)]  # type: ignore[arg-type]


def _full_disk(random: Random, shape: Shape, nodes: Sequence[str], calm_after: int) -> list[Act]:
    for_s = round(random.uniform(0.5, shape.pace_s), 3)
    return [Act("full", (random.choice(nodes),), for_s=for_s, **_moment(random, calm_after))]  # type: ignore[arg-type]


def _rotation(seed: int, nodes: Sequence[str]) -> tuple[Act, ...]:
    """In each eighth seed a home rotates its key, so early that the new one signs before the end."""
    if seed % 8 != 3:
        return ()
    random = Random(f"rotation|{seed}")
    who = random.choice(_home_nodes(nodes))
    return (Act("rotate", (who,), on="settled", after_s=round(random.uniform(0, 1), 3)),)


def _meter_keys(seed: int) -> int:
    """In each fifth seed the meters of some homes have keys, or of all: a rotation is in some of these seeds, too."""
    return Random(f"meter keys|{seed}").choice((6, 13)) if has_meter_keys(seed) else 0


def has_meter_keys(seed: int) -> bool:
    """Whether meters have keys in the plan that is drawn for a seed."""
    return seed % 5 == 1


_DRAWERS: Final = (_crashes, _cuts, _slow, _hangs, _clocks, _operator_gone, _validators_gone, _full_disk)
