"""Lies of every role: a byzantine node is an honest one with some of its words replaced, or a stranger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from random import Random
from typing import Final

from wattswap.errors import UsageError
from wattswap.nodes.config import NodeConfig
from wattswap.simulation.byzantine.authorities import OF_AUTHORITIES
from wattswap.simulation.byzantine.behaviour import Behaviour, run_behaviours
from wattswap.simulation.byzantine.books import OF_BOOKS, accomplice_of
from wattswap.simulation.byzantine.homes import OF_HOMES
from wattswap.simulation.byzantine.operators import OF_OPERATORS
from wattswap.simulation.byzantine.sealing import JUNK_OF_HOMES, SHARES_OF_AUTHORITIES
from wattswap.simulation.byzantine.strangers import OF_STRANGERS, Stranger
from wattswap.simulation.plan import STRANGER, Lie, Plan, has_meter_keys
from wattswap.simulation.town import Town

__all__ = ["LIES", "STRANGER", "arm", "byzantine_nodes", "check_lies", "draw_lies"]

_BY_ROLE: Final[Mapping[tuple[str, ...], Mapping[str, Callable[..., Behaviour]]]] = {
    ("validator",): {**OF_AUTHORITIES, **SHARES_OF_AUTHORITIES},
    ("household", "gateway"): {**OF_HOMES, **JUNK_OF_HOMES},
    ("operator",): {**OF_OPERATORS, **OF_BOOKS},
    (STRANGER,): OF_STRANGERS,
}
LIES: Final[Mapping[str, Callable[..., Behaviour]]] = {
    name: lie for lies in _BY_ROLE.values() for name, lie in lies.items()
}
"""By name; each is made of the run and its `Lie`."""


def arm(town: Town) -> None:
    """Let the nodes of a plan's lies lie, before they are started; a stranger begins at once."""
    lies = sorted(town.plan.lies, key=lambda lie: lie.who)
    for who, own in groupby(lies, key=lambda lie: lie.who):
        behaviours = [LIES[lie.name](town, lie) for lie in own]
        for behaviour in behaviours:
            town.truth.lies.setdefault(behaviour.lie.name, 0)
            if isinstance(behaviour, Stranger):
                town.nursery.start_soon(behaviour.live)
        if who != STRANGER:
            town.roles[who] = partial(run_behaviours, behaviours)


def draw_lies(seed: int, names: Sequence[str], *, sealed: bool = False) -> tuple[Lie, ...]:
    """Draw who lies: the operator in most seeds, as many validators as the market bears, a home, a stranger.

    Args:
        names: Of all nodes.
        sealed: Whether homes seal their orders; then who lies anyway lies about these too, and one or two homes.
    """
    random = Random(f"lies|{seed}")
    homes = [name for name in names if name.startswith(("home-", "gateway-"))]
    validators = [name for name in names if name.startswith("validator-")]
    most = (len(validators) - 1) // 3
    drawn = []
    if random.random() < 0.8:
        books = random.sample(list(OF_BOOKS), random.choice((0, 0, 1)))
        names_of_lies = [*books, *random.sample(list(OF_OPERATORS), random.choice((0, 1, 2)))]
        drawn += [(name, "operator-0", random.choice(homes)) for name in names_of_lies]
    helped = any(name == "accomplice" for name, _, _ in drawn)
    dishonest = [accomplice_of(len(validators))] if helped else []
    dishonest += random.sample([one for one in validators if one not in dishonest], most - len(dishonest))
    for who in dishonest:
        for name in random.sample(list(OF_AUTHORITIES), random.choice((1, 1, 2))):
            drawn.append((name, who, random.choice(homes) if name == "break_promise" else ""))
    if random.random() < 0.3:
        drawn.append(("wake_authorities", random.choice(homes), ""))
    if random.random() < 0.2:
        drawn.append(("flood", STRANGER, ""))
    if random.random() < 0.2:
        drawn.append(("false_reading", random.choice(homes), ""))
    if sealed:
        drawn += [(random.choice(list(SHARES_OF_AUTHORITIES)), who, "") for who in dishonest]
        junk = random.sample(homes, min(len(homes), random.choice((0, 1, 2))))
        drawn += [(random.choice(list(JUNK_OF_HOMES)), who, "") for who in junk]
    if has_meter_keys(seed):
        drawn.append(("own_reading", Random(f"own reading|{seed}").choice(homes), ""))
    return tuple(Lie(name, who, victim, first=random.randrange(3)) for name, who, victim in drawn)


def byzantine_nodes(plan: Plan) -> frozenset[str]:
    """Names of all nodes that lie in a plan, accomplices too."""
    helped = any(lie.name == "accomplice" for lie in plan.lies)
    return frozenset(lie.who for lie in plan.lies) | (
        {accomplice_of(plan.shape.validators)} if helped else set()
    )


def check_lies(plan: Plan, configs: Mapping[str, NodeConfig]) -> None:
    """Refuse lies that do not fit their nodes; names are checked by `check_plan`.

    Args:
        configs: Of the nodes, by name.

    Raises:
        UsageError: A lie of another role, or for a victim without homes.
    """
    for lie in plan.lies:
        role = configs[lie.who].role if lie.who in configs else STRANGER
        roles = next(roles for roles, lies in _BY_ROLE.items() if lie.name in lies)
        if role not in roles:
            cure = f"name a node of the role {' or '.join(roles)}"
            raise UsageError.of("lies", f"{lie.name} is no lie of {lie.who}, whose role is {role}", cure)
        if lie.victim and not (lie.victim in configs and configs[lie.victim].households):
            raise UsageError.of(
                "lies", f"{lie.victim} has no homes to be lied to", "name a home or a gateway"
            )
