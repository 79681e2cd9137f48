"""Lies of every role: a byzantine node is an honest one with some of its words replaced, or a stranger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby
from typing import Final

from wattswap.errors import UsageError
from wattswap.nodes.config import NodeConfig
from wattswap.simulation.byzantine.authorities import OF_AUTHORITIES
from wattswap.simulation.byzantine.behaviour import Behaviour, run_behaviours
from wattswap.simulation.byzantine.books import OF_BOOKS, accomplice_of
from wattswap.simulation.byzantine.homes import OF_HOMES
from wattswap.simulation.byzantine.operators import OF_OPERATORS
from wattswap.simulation.byzantine.strangers import OF_STRANGERS, Stranger
from wattswap.simulation.plan import STRANGER, Plan
from wattswap.simulation.town import Town

__all__ = ["LIES", "STRANGER", "arm", "byzantine_nodes", "check_lies"]

_BY_ROLE: Final[Mapping[tuple[str, ...], Mapping[str, Callable[..., Behaviour]]]] = {
    ("validator",): OF_AUTHORITIES,
    ("household", "gateway"): OF_HOMES,
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
            raise UsageError.of("lies", f"{lie.who} is a {role}, and {lie.name} is no lie of one", cure)
        if lie.victim and not (lie.victim in configs and configs[lie.victim].households):
            raise UsageError.of(
                "lies", f"{lie.victim} has no homes to be lied to", "name a home or a gateway"
            )
