"""The node folders of a network: keys, genesis, addresses, configuration; written atomically."""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import msgspec

from agents.bidding import STRATEGIES
from agents.forecast import FORECASTERS
from p2p.blocks.block import MAX_VALIDATORS
from p2p.blocks.genesis import MAX_OPERATORS, Genesis, is_set_size, write_genesis
from p2p.blocks.members import NO_METER_KEY, Members, write_members
from p2p.transports.base import peer_id_of
from p2p.wire.identity import Identity
from p2p.wire.keystore import Lock
from wattswap.errors import Problem, UsageError, suggest
from wattswap.nodes.bundle import link_bundle, write_bundle
from wattswap.nodes.config import (
    CONFIG,
    KEPT_INTERVALS,
    LOOPBACK,
    MAX_PORT,
    SCHEMA,
    Clock,
    Keystore,
    Listen,
    NodeConfig,
    Peer,
    Role,
    household_key,
    key_names,
    meter_key,
    node_name,
    write_config,
)
from wattswap.nodes.held import HeldFiles
from wattswap.nodes.keys import KEY_FILE, METERS, PublicNode, new_folder, new_identity, seal
from wattswap.runs.held import SALT_BYTES, WEIGHTS, SaltOf
from wattswap.runs.keys import Keys
from wattswap.runs.layout import GENESIS, MEMBERS, SCENARIO
from wattswap.runs.looking_ahead import refuse_long_horizon
from wattswap.runs.prepare import Setup, prepare
from wattswap.scenario.fields import Wrong
from wattswap.scenario.load import Scenario

BUNDLE = "scenario"
DIALLERS = ("household", "gateway")
"""Roles whose nodes nobody dials."""
GATES_SHARE, TAKEOVER_SHARE = 0.7, 0.4
"""Share of an interval for all its gates: that of the readings and one for the orders of each round; share of the time
of a gate to wait for an absent collector."""

MakeGenesis = Callable[[Setup, Sequence[bytes], Sequence[bytes], Members], Genesis]
"""(setup, public keys of validators, of operators, homes) -> genesis."""


@dataclass(frozen=True, slots=True)
class NodeSlot:
    """One node of a network, before it has keys and an address."""

    name: str
    role: Role
    households: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """Number of nodes of each role, and their clock.

    Args:
        gateways: Nodes that act for the homes; 0: one node per home.
        households_per_gateway: Instead of their number: homes per gateway at most; 0 if not given.
        heartbeat_minutes: See `config.Clock`. [min]
        begin_ms: When interval 0 opens; 0: as soon as all nodes are up. [ms since 1970, UTC]
        pace_s: Time from one interval to the next; the interval's own length when None. [s]
        gate_s: How long orders of a round are accepted; a share of the pace when None. [s]
        first_port: First of consecutive ports; free ones are chosen when None.
        kept_intervals: See `config.NodeConfig`.
    """

    begin_ms: int
    validators: int = 4
    operators: int = 1
    gateways: int = 0
    households_per_gateway: int = 0
    observers: int = 0
    pace_s: float | None = None
    gate_s: float | None = None
    heartbeat_minutes: int = 0
    first_port: int | None = None
    kept_intervals: int = KEPT_INTERVALS


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """Where the keys come from.

    Args:
        lock: Decrypts every keystore; None writes a key file beside each.
        passphrase_env: The variable that config.toml names for the lock.
        derived: Derive the keys from the scenario, as a run does; for simulations only.
        given: Public keys by node, of owners who keep the secret keys.
        has_meter_key: Whether the meter of a home gets a key of its own.
    """

    lock: Lock | None = None
    passphrase_env: str | None = None
    derived: bool = False
    given: Mapping[str, PublicNode] = field(default_factory=dict)
    has_meter_key: Callable[[str], bool] = lambda home: False


def free_ports(count: int) -> list[int]:
    """Free TCP ports of this machine, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]


def node_slots(roster: Sequence[str], spec: NetworkSpec) -> tuple[NodeSlot, ...]:
    """All nodes of a network, in the order in which to start them.

    Raises:
        UsageError: Lists every number that does not fit.
    """
    _check_spec(len(roster), spec)
    found = [NodeSlot(f"validator-{i}", "validator") for i in range(spec.validators)]
    found += [NodeSlot(f"operator-{i}", "operator") for i in range(spec.operators)]
    found += [NodeSlot(f"observer-{i}", "observer") for i in range(spec.observers)]
    gateways = spec.gateways
    if spec.households_per_gateway:
        gateways = -(-len(roster) // spec.households_per_gateway)
    if gateways:
        cuts = [len(roster) * i // gateways for i in range(gateways + 1)]
        shares = [tuple(roster[a:b]) for a, b in pairwise(cuts)]
        return (*found, *(NodeSlot(f"gateway-{i}", "gateway", homes) for i, homes in enumerate(shares)))
    taken = {slot.name for slot in found}
    for i, home in enumerate(roster):
        taken.add(name := _home_name(home, i, taken))
        found.append(NodeSlot(name, "household", (home,)))
    return tuple(found)


def _home_name(home: str, i: int, taken: set[str]) -> str:
    """The home's id if a folder may have that name, else a name with its number."""
    try:
        if home not in taken:
            return node_name(home)
    except Wrong:
        pass
    name = f"household-{i}"
    while name in taken:
        name += "_"
    return name


def _check_spec(homes: int, spec: NetworkSpec) -> None:
    problems = []
    if not is_set_size(spec.validators):
        cure = f"use 4 to {MAX_VALIDATORS}, or 1 for tests; 2 or 3 tolerate no fault"
        problems.append(
            Problem("--validators", f"{spec.validators} is not a valid number of validators", cure)
        )
    if not 1 <= spec.operators <= MAX_OPERATORS:
        problems.append(Problem("--operators", f"{spec.operators} operators", f"use 1 to {MAX_OPERATORS}"))
    if spec.gateways and spec.households_per_gateway:
        problems.append(Problem("--gateways", "excludes --households-per-gateway", "keep one of the two"))
    for option, number in (
        ("--gateways", spec.gateways),
        ("--households-per-gateway", spec.households_per_gateway),
    ):
        if not 0 <= number <= homes:
            problems.append(Problem(option, f"{number} for {homes} homes", f"use 1 to {homes}"))
    if spec.observers < 0:
        problems.append(Problem("--observers", f"{spec.observers} is negative", "use 0 or more"))
    if spec.pace_s is not None and not (0 < spec.pace_s <= 86_400 or spec.pace_s == spec.begin_ms == 0):
        problems.append(Problem("--pace-seconds", f"{spec.pace_s:,.12g} s", "use more than 0, at most a day"))
    if spec.first_port is not None and not 1024 <= spec.first_port <= MAX_PORT:
        problems.append(
            Problem("--first-port", f"{spec.first_port} is not a port", f"use 1024 to {MAX_PORT}")
        )
    if problems:
        raise UsageError(*problems)


def genesis_of(
    setup: Setup, authorities: Sequence[bytes], operators: Sequence[bytes], members: Members
) -> Genesis:
    """The genesis of a scenario with the keys of its nodes instead of the scenario's own."""
    return msgspec.structs.replace(
        setup.genesis,
        authorities=tuple(authorities),
        operators=tuple(operators),
        members_root=members.root,
    )


def init_nodes(
    scenario: Scenario,
    folder: Path,
    spec: NetworkSpec,
    keys: KeyPlan,
    *,
    ports: Callable[[int], list[int]] = free_ports,
    make_genesis: MakeGenesis = genesis_of,
    scenario_file: Path | None = None,
) -> tuple[NodeConfig, ...]:
    """Write the folders of all nodes of a network.

    Args:
        scenario_file: The scenario's file, for nodes that all stay on this machine and read all of its data where it
            is; by default every folder gets the scenario with the readings of its own homes, and can be moved.

    Returns:
        Their configurations, in the order in which to start them.

    Raises:
        WattswapError: Scenario, numbers or given keys do not fit; nothing was written.
    """
    with new_folder(folder) as partial:
        bundle = partial / f".{BUNDLE}"
        setup = prepare(scenario)
        if scenario_file is None:
            bundled = write_bundle(scenario, bundle, with_secret=keys.derived)
            setup = replace(
                setup, scenario=bundled, keys=Keys.of(bundled), salt_of=_salts(setup, keys.derived)
            )
        _refuse_what_needs_the_others(setup)
        held = None if setup.salt_of is None else HeldFiles(setup.committed, setup.facts)
        everybody = node_slots(setup.roster, spec)
        _check_given(everybody, keys.given)
        secret = {
            slot: _identities(slot, setup.keys if keys.derived else None)
            for slot in everybody
            if slot.name not in keys.given
        }
        meters = {slot: _meters(slot, keys, setup.keys) for slot in secret}
        public = {
            slot: _public({**secret.get(slot, {}), **meters.get(slot, {})}, keys.given.get(slot.name))
            for slot in everybody
        }
        authorities, operators, households = _by_role(everybody, public, setup.roster)
        members = replace(
            setup.member_list, keys=tuple(households), meter_keys=_meter_keys(public, setup.roster)
        )
        genesis = make_genesis(setup, authorities, operators, members)
        place = str(scenario_file.resolve()) if scenario_file else f"{BUNDLE}/{SCENARIO}"
        configs = _configs(everybody, public, spec, keys, setup, ports, place)
        for slot, config in zip(everybody, configs, strict=True):
            home = partial / slot.name
            home.mkdir(mode=0o700)
            (home / config.data).mkdir(mode=0o700)
            if held is not None:
                link_bundle(bundle, home / BUNDLE)
                held.write(home / BUNDLE, slot.role, slot.households)
            write_genesis(home / GENESIS, genesis)
            write_members(home / MEMBERS, members)
            if slot in secret:
                seal(home, secret[slot], keys.lock, meters[slot])
            write_config(home / CONFIG, config)
        shutil.rmtree(bundle, ignore_errors=True)
    return tuple(config.in_folder(folder.resolve() / config.name) for config in configs)


def _salts(setup: Setup, derived: bool) -> SaltOf:
    """Salts of the digests of readings: random, or where keys follow from the scenario those of its runs."""
    if derived:
        return setup.keys.reading_salt
    salts = {name: secrets.token_bytes(SALT_BYTES) for name in (WEIGHTS, *setup.roster)}
    return salts.__getitem__


def _refuse_what_needs_the_others(setup: Setup) -> None:
    """Refuse what homes need the orders or readings of the others for: their nodes do not receive them.

    Raises:
        InvalidScenario: A forecaster or strategy learns from all homes, or a horizon has more intervals than a message.
    """
    refuse_long_horizon(setup.scenario, setup.minutes)
    for forecast, name in (
        ("homes.forecast", setup.agents.forecaster),
        ("homes.forecast_pv", setup.agents.forecaster_pv),
        *(("homes.forecasters", name) for name in sorted(set(setup.forecasters))),
    ):
        if FORECASTERS.get(name).shares:
            what = f"{name!r} learns from the readings of all homes, of which a home on a network has its own only"
            cure = "use `wattswap run` or `compare`, or a forecaster of own readings"
            raise setup.scenario.invalid(forecast, what, cure)
    for name in sorted(set(setup.strategies)):
        if STRATEGIES.get(name).learn is not None:
            what = f"{name!r} learns from the orders of all homes, of which a home on a network receives its own only"
            cure = "use `wattswap run`, or a strategy with `learn_own`"
            named = name in setup.scenario.homes.strategies
            key = ("homes", "strategies", name) if named else "homes.strategy"
            raise setup.scenario.invalid(key, what, cure)
    if setup.store is not None:
        what = "is run by the readings of all homes, which nodes do not have before an interval is settled"
        cure = "use `wattswap run` or `compare`, or remove [community.battery]"
        raise setup.scenario.invalid("community.battery", what, cure)


def _check_given(everybody: Sequence[NodeSlot], given: Mapping[str, PublicNode]) -> None:
    by_name = {slot.name: slot for slot in everybody}
    problems, seen = [], dict[str, str]()
    for name, node in given.items():
        slot = by_name.get(name)
        if slot is None:
            problems.append(Problem("--public-keys", f"no node {name!r}", suggest(name, by_name)))
        elif (node.role, node.households) != (slot.role, slot.households):
            wanted = f"has role {slot.role} here, for {', '.join(slot.households) or 'no home'}"
            problems.append(Problem("--public-keys", f"node {name!r} {wanted}", "make its keys for that"))
        for key in node.public_keys.values():
            if key in seen:
                what = f"nodes {seen[key]!r} and {name!r} have the same key"
                problems.append(Problem("--public-keys", what, "each key has one owner"))
            seen[key] = name
    if problems:
        raise UsageError(*problems)


def _identities(slot: NodeSlot, derived: Keys | None) -> dict[str, Identity]:
    """New keys of a node, or those derived from the scenario."""
    if derived is None:
        return {name: new_identity() for name in key_names(slot.role, slot.households)}
    number = slot.name.rpartition("-")[2]
    keys = {household_key(home): derived.identity("household", home) for home in slot.households}
    keys["consensus"] = derived.identity("authority", number)
    keys["operator"] = derived.identity("operator", "" if number == "0" else number)
    keys["node"] = derived.identity("node", slot.name)
    return {name: keys[name] for name in key_names(slot.role, slot.households)}


def _meters(slot: NodeSlot, keys: KeyPlan, derived: Keys) -> dict[str, Identity]:
    """New keys of the meters of a node's homes, or those derived from the scenario."""
    return {
        meter_key(home): derived.identity("meter", home) if keys.derived else new_identity()
        for home in slot.households
        if keys.has_meter_key(home)
    }


def _public(own: Mapping[str, Identity], given: PublicNode | None) -> dict[str, bytes]:
    if given is not None:
        return {name: bytes.fromhex(key) for name, key in given.public_keys.items()}
    return {name: identity.public_key for name, identity in own.items()}


def _meter_keys(public: Mapping[NodeSlot, Mapping[str, bytes]], roster: Sequence[str]) -> tuple[bytes, ...]:
    """Public keys of the meters in roster order; empty where none has one."""
    known = {name: key for held in public.values() for name, key in held.items()}
    found = tuple(known.get(meter_key(home), NO_METER_KEY) for home in roster)
    return found if any(found) else ()


def _by_role(
    everybody: Sequence[NodeSlot], public: Mapping[NodeSlot, Mapping[str, bytes]], roster: Sequence[str]
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Public keys of the validators, the operators and the homes, in the order of the genesis."""
    authorities = [public[slot]["consensus"] for slot in everybody if slot.role == "validator"]
    operators = [public[slot]["operator"] for slot in everybody if slot.role == "operator"]
    homes = {home: public[slot][household_key(home)] for slot in everybody for home in slot.households}
    return authorities, operators, [homes[home] for home in roster]


def _configs(
    everybody: Sequence[NodeSlot],
    public: Mapping[NodeSlot, Mapping[str, bytes]],
    spec: NetworkSpec,
    keys: KeyPlan,
    setup: Setup,
    ports: Callable[[int], list[int]],
    scenario: str,
) -> list[NodeConfig]:
    count = len(everybody)
    if spec.first_port is not None and spec.first_port + count - 1 > MAX_PORT:
        raise UsageError.of("--first-port", f"leaves no {count} ports below {MAX_PORT}", "use a lower one")
    first = spec.first_port
    chosen = ports(count) if first is None else list(range(first, first + count))
    # Homes only dial, and are known by the list of homes; gateways only dial, and those that they dial must know them.
    listed = [
        Peer(name=slot.name, role=slot.role, public_key=key.hex(), address=_address(port, key))
        for slot, port in zip(everybody, chosen, strict=True)
        if slot.role != "household"
        for key in [public[slot][key_names(slot.role, ())[0]]]
    ]
    pace_s = float(setup.minutes * 60 if spec.pace_s is None else spec.pace_s)
    gate_s = round(pace_s * GATES_SHARE / (setup.rounds + 1), 3) if spec.gate_s is None else spec.gate_s
    by_passphrase = keys.passphrase_env is not None
    return [
        NodeConfig(
            schema=SCHEMA,
            role=slot.role,
            name=slot.name,
            households=slot.households,
            scenario=scenario,
            genesis=GENESIS,
            kept_intervals=spec.kept_intervals,
            listen=Listen(port=port),
            keystore=Keystore(
                passphrase_env=keys.passphrase_env,
                key_file=None if by_passphrase else KEY_FILE,
                meters=METERS if any(meter_key(home) in public[slot] for home in slot.households) else None,
            ),
            clock=Clock(
                begin_unix_ms=spec.begin_ms,
                pace_s=pace_s,
                gate_s=gate_s,
                takeover_s=round(gate_s * TAKEOVER_SHARE, 3),
                heartbeat_minutes=spec.heartbeat_minutes,
            ),
            peers=tuple(
                peer
                for peer in listed
                if peer.name != slot.name and (peer.role != "gateway" or slot.role not in DIALLERS)
            ),
        )
        for slot, port in zip(everybody, chosen, strict=True)
    ]


def _address(port: int, public_key: bytes) -> str:
    return f"/ip4/{LOOPBACK}/tcp/{port}/p2p/{peer_id_of(public_key)}"
