"""What no seed changes: the scenario, keys and configuration of a simulated neighbourhood, made once in a process."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from agents.meters import Meters
from p2p.blocks.genesis import read_genesis
from p2p.transports.base import peer_id_of
from p2p.wire.identity import Identity
from p2p.wire.messages import NothingMessage, OrderMessage
from wattswap.nodes.config import Clock, NodeConfig
from wattswap.nodes.keys import open_keys
from wattswap.nodes.provision import (
    GATES_SHARE,
    TAKEOVER_SHARE,
    KeyPlan,
    NetworkSpec,
    init_nodes,
)
from wattswap.nodes.roles import joined
from wattswap.runs.interval import read_meters, sent_orders
from wattswap.runs.prepare import Setup, cut_to, prepare
from wattswap.scenario.load import demo
from wattswap.simulation.plan import OPENS_AFTER_S, START_MS, Shape
from wattswap.simulation.signatures import by_hash

OVERRIDES = ("homes.forecast=persistence", "homes.forecast_pv=persistence", "homes.strategy=truthful")
"""Forecasts that cost little: the network is what is tested."""
DAYLIGHT_S = 1_474_275_600
"""An interval of the scenario from which on homes sell and buy. [s since 1970, UTC]"""


@dataclass(frozen=True, slots=True)
class Base:
    """A neighbourhood before its first interval.

    Args:
        setup: The scenario, shared by all nodes.
        configs: Of the nodes, by name, with addresses of the network in memory.
        keys: Of the nodes, by name.
        names: Names of the nodes by peer id.
        metered: What the meters of all homes count in each interval.
        ordered: What each home says in the first round of each interval.
    """

    setup: Setup
    configs: Mapping[str, NodeConfig]
    keys: Mapping[str, Mapping[str, Identity]]
    names: Mapping[str, str]
    metered: tuple[Meters, ...]
    ordered: tuple[Mapping[str, OrderMessage | NothingMessage], ...]

    def of_role(self, *roles: str) -> list[str]:
        """Names of the nodes of some roles."""
        return [name for name, config in self.configs.items() if config.role in roles]

    def key(self, name: str) -> Identity:
        """The key a node signs with on the network."""
        return self.keys[name][self.configs[name].key_names[0]]


SEALED_BYTES: Final = 224
"""Size to which sealed orders are padded: 16 simple ones, in a message of 699 bytes with four validators."""


@cache
def base_of(shape: Shape, signatures: bool) -> Base:
    """The neighbourhood of a shape.

    Args:
        signatures: Real ones; else those of `signatures.by_hash`, in which its genesis is signed, too.
    """
    scenario = demo(OVERRIDES)
    sealed_bytes = SEALED_BYTES if shape.sealed else 0
    chain = scenario.chain.model_copy(update={"authorities": shape.validators, "sealed_bytes": sealed_bytes})
    setup = prepare(cut_to(scenario.model_copy(update={"chain": chain}), shape.intervals, DAYLIGHT_S))
    spec = NetworkSpec(0, shape.validators, gateways=shape.gateways, pace_s=shape.pace_s)
    with tempfile.TemporaryDirectory() as folder, nullcontext() if signatures else by_hash():
        place = Path(folder)
        configs = init_nodes(
            setup.scenario,
            place / "nodes",
            spec,
            KeyPlan(derived=True, has_meter_key=set(setup.roster[: shape.meter_keys]).__contains__),
            ports=lambda count: [*range(1, count + 1)],
        )
        genesis = read_genesis(configs[0].genesis_path)
        keys = {config.name: open_keys(config, {}, genesis) for config in configs}
        setup = joined(configs[0], setup)  # all data: it is also the truth that nodes are compared with
    clock = _clock(shape, setup.rounds)
    by_name = {config.name: in_memory(config).model_copy(update={"clock": clock}) for config in configs}
    names = {peer_id_of(own[by_name[name].key_names[0]].public_key): name for name, own in keys.items()}
    return Base(setup, by_name, keys, names, *_lived(setup))


def _lived(
    setup: Setup,
) -> tuple[tuple[Meters, ...], tuple[Mapping[str, OrderMessage | NothingMessage], ...]]:
    """Meters and orders of all homes as they live through the intervals; none of them reacts to the market."""
    homes, metered, ordered = setup.community(), [], []
    for i in range(setup.intervals):
        orders, start_s = sent_orders(setup, homes, i), setup.start_of(i)
        ordered.append({name: setup.message(home, start_s, orders) for home, name in enumerate(setup.roster)})
        metered.append(read_meters(setup, homes, i))
    return tuple(metered), tuple(ordered)


def _clock(shape: Shape, rounds: int) -> Clock:
    gate_s = round(shape.pace_s * GATES_SHARE / (rounds + 1), 3)
    return Clock(
        begin_unix_ms=START_MS + round(OPENS_AFTER_S * 1_000),
        pace_s=shape.pace_s,
        gate_s=gate_s,
        takeover_s=round(gate_s * TAKEOVER_SHARE, 3),
    )


def in_memory(config: NodeConfig) -> NodeConfig:
    """The same node with addresses of the network in memory."""
    peers = tuple(
        peer.model_copy(update={"address": "/memory/p2p/" + peer.address.rpartition("/p2p/")[2]})
        for peer in config.peers
    )
    return config.model_copy(update={"peers": peers}).in_folder(config.folder)
