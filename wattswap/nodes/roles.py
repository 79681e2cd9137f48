"""What a node runs, by role: each is assembled here from the parts of `p2p.roles` and the scenario.

Everything a node needs is in its folder: configuration, keys, genesis, scenario. Operators, validators and observers
run until they are stopped; homes and gateways end after the last interval of the scenario.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

import trio

from p2p.blocks.genesis import read_genesis
from p2p.consensus.sign_state import ConsensusStore, locked_folder
from p2p.roles.exchange.wire import result_topic
from p2p.roles.household.former import Former
from p2p.roles.household.gateway import Gateway
from p2p.roles.household.member import Member
from p2p.roles.household.witnesses import GateAge
from p2p.roles.replica.blobs import serve_blobs
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.observer import Observer
from p2p.roles.replica.snapshot import serve_snapshots
from p2p.roles.replica.status import serve_status
from p2p.roles.replica.sync import serve_range
from p2p.roles.validator.config import ValidatorConfig
from p2p.roles.validator.opening import ShareService
from p2p.roles.validator.validator import Validator
from p2p.transports.admission import Rank
from p2p.transports.base import Transport
from p2p.wire.identity import Identity
from wattswap.nodes.bundle import members_beside, setup_of
from wattswap.nodes.chains import OwnChain, RemoteChain
from wattswap.nodes.config import CONFIG, InvalidConfig, NodeConfig, former_key, household_key, meter_key
from wattswap.nodes.home import Done, Home, Listener
from wattswap.nodes.known import TRUSTED_FILE, Known, places_of
from wattswap.nodes.late import LateReadings
from wattswap.nodes.learned import LEARNED, Learned
from wattswap.nodes.node import TIMEOUTS, Node
from wattswap.nodes.pace import Pace
from wattswap.nodes.stats import STATS, Stats, read_stats, refused_codes
from wattswap.nodes.watch import Watch
from wattswap.nodes.world import World
from wattswap.runs.prepare import Setup


async def run_node(config: NodeConfig, keys: Mapping[str, Identity], world: World) -> None:
    """Run one node until it has finished or is cancelled.

    Args:
        config: Of its folder.
        keys: As `open_keys` returns them.
        world: The node's environment.

    Raises:
        LocalError: A file of the node cannot be used; says which and what to run. Nothing is signed afterwards.
    """
    world.disk.make_folder(config.data_path, 0o700)
    with locked_folder(config.data_path):
        await run_role(config, keys, world, prepared(config))


def prepared(config: NodeConfig) -> Setup:
    """The scenario of a node's folder, with its genesis and its list of homes.

    Raises:
        LocalError: A file of the node cannot be used; says which and what to run.
    """
    return joined(config, setup_of(config, read_genesis(config.genesis_path)))


def joined(config: NodeConfig, setup: Setup) -> Setup:
    """A scenario with the genesis and the list of homes of a node's folder.

    Raises:
        GenesisError: One of these files is missing, damaged or of another roster.
    """
    setup = replace(setup, given_genesis=read_genesis(config.genesis_path))
    return replace(setup, given_members=members_beside(config, setup))


SHOW_SHARE: Final = 0.25
"""Share of the time of a gate after which homes give their messages to validators too; later ones at once."""

MakeNode = Callable[
    [NodeConfig, Mapping[str, Identity], Setup, Identity, Transport, Stats, World, Known], Node
]


async def run_role(
    config: NodeConfig,
    keys: Mapping[str, Identity],
    world: World,
    setup: Setup,
    make_node: MakeNode = Node,
) -> None:
    """Run a node whose folder is locked and whose scenario is prepared; see `run_node`."""
    identity = keys[config.key_names[0]]
    async with world.open_transport(identity, config.listen.port) as transport:
        stats = Stats(config.data_path / STATS, config.name, [transport], world.now_ms, disk=world.disk)
        if world.shares_process:
            stats.cpu_s = None
        known = Known(config, setup, config.data_path / TRUSTED_FILE, world.disk)
        transport.admit(places_of(config.listen), known.rank)
        transport.check_gossip(result_topic(setup.genesis.chain_id), known.check_gossip)
        node = make_node(config, keys, setup, identity, transport, stats, world, known)
        watch = Watch(config, transport, setup.genesis.chain_id, world.now_ms)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await ROLES[config.role](node)
            nursery.cancel_scope.cancel()


async def run_validator(node: Node) -> None:
    """A validator; it also collects when the operator does not."""
    config, setup = node.config, node.setup
    await node.begin_at_snapshot()
    with node.ledger() as ledger:
        signs = ConsensusStore.open(
            node.data,
            setup.genesis.chain_id,
            node.identity.public_key,
            chain_height=ledger.height,
            min_safe_height=config.consensus.min_safe_height,
            disk=node.world.disk,
        )
        checker, blobs, schedule = node.checker(), node.blobs(), node.schedule(ledger)
        validator = Validator(
            node.transport,
            node.identity,
            schedule,
            signs,
            blobs,
            checker,
            node.addresses("validator"),
            config=ValidatorConfig(
                timeouts=TIMEOUTS[config.consensus.timeouts],
                heartbeat_ms=config.clock.heartbeat_minutes * 60_000,
            ),
            may_accuse=lambda peer: node.known.rank(peer) != Rank.STRANGER,
            check_again=checker.again,
            offload=node.world.offload,
        )
        try:
            with node.collector(schedule, closes=True) as collector:
                shares = ShareService(
                    node.transport,
                    setup.genesis.chain_id,
                    node.identity,
                    lambda: ledger.tip.state.closed,
                    blobs,
                    checker.closed_orders,
                    node.known.is_collector,
                )
                chain = OwnChain(validator)
                loop = node.collector_loop(collector, chain, blobs, checker, schedule, shares.answer)
                await _together(validator.run, loop.run, collector.run)
        finally:
            signs.close()


async def run_operator(node: Node) -> None:
    """A collector of orders and readings; it follows the chain and does not vote."""
    setup = node.setup
    validators = node.addresses("validator")
    await node.begin_at_snapshot()
    with node.ledger() as ledger:
        checker, blobs, schedule = node.checker(), node.blobs(), node.schedule(ledger)
        serve_blobs(node.transport, setup.genesis.chain_id, blobs, node.known.is_collector)
        chain = RemoteChain(node.transport, ledger, validators)
        _serve_chain(node, ledger)
        with node.collector(schedule, closes=False) as collector:
            loop = node.collector_loop(collector, chain, blobs, checker, schedule)
            observer = Observer(node.transport, ledger, validators)
            await _together(observer.run, loop.run, collector.run)


async def run_observer(node: Node) -> None:
    """Follows the chain and serves it to others."""
    await node.begin_at_snapshot()
    with node.ledger() as ledger:
        _serve_chain(node, ledger)
        await Observer(node.transport, ledger, node.addresses("validator")).run()


def _serve_chain(node: Node, ledger: Ledger) -> None:
    serve_range(node.transport, ledger)
    serve_snapshots(node.transport, ledger)

    def where() -> tuple[int, bytes, bool]:
        return ledger.height, ledger.tip.block_hash, True

    def counters() -> dict[str, int]:
        age_ms = node.world.now_ms() - ledger.tip.time_ms
        return _counters(node) | ({"last_block_age_s": age_ms // 1_000} if ledger.height else {})

    role, now_ms = node.config.role, node.world.now_ms
    serve_status(node.transport, node.setup.genesis.chain_id, role, where, counters, now_ms)


def _counters(node: Node) -> dict[str, int]:
    """Counters that a node reports on status/1."""
    refused = {f"refused_{code}": count for code, count in refused_codes([node.transport]).items()}
    return refused | {"peers": node.transport.peers}


def _serve_status(node: Node) -> None:
    """Report that a home or gateway is up; it follows no chain."""

    def where() -> tuple[int, bytes, bool]:
        return 0, bytes(32), True

    chain_id = node.setup.genesis.chain_id
    role, now_ms = node.config.role, node.world.now_ms
    serve_status(node.transport, chain_id, role, where, lambda: _counters(node), now_ms)


async def run_homes(node: Node) -> None:
    """One home with a node of its own, or many homes behind one."""
    setup, listener = node.setup, Listener()
    _serve_status(node)
    identities = {home: node.keys[household_key(home)] for home in node.config.households}
    with node.journal() as journal:
        gateway = Gateway(
            node.transport,
            identities,
            setup.genesis.chain_id,
            node.collectors(),
            setup.minutes,
            node.known.read_result,
            listener.receive,
            journal,
            setup.genesis.params.limits,
            len(setup.roster),
            SHOW_SHARE * node.config.clock.gate_s,
            _gate_age(node),
            _former(node),
            node.seal,
            {home: node.keys[name] for home in identities if (name := meter_key(home)) in node.keys},
        )
        first, log = _first(node), RunLog(node, len(identities))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gateway.run)
            async with trio.open_nursery() as homes:
                for name in identities:
                    home = _home(node, name, Member(gateway, name), listener)
                    homes.start_soon(home.live, first, log)
            nursery.cancel_scope.cancel()


def _gate_age(node: Node) -> GateAge:
    """How long the gate of a round has been open, where intervals open by the clock; readings have a gate more."""
    clock, setup, now_ms = node.config.clock, node.setup, node.world.now_ms

    def age_s(interval_start: int, slot: int) -> float:
        if not clock.begin_unix_ms or slot >= setup.rounds:
            return 0.0
        opened_ms = clock.opens_ms(setup.index_of(interval_start)) + slot * round(clock.gate_s * 1_000)
        return (now_ms() - opened_ms) / 1_000

    return age_s


def _former(node: Node) -> Former:
    """The keys of this node's homes before they were rotated.

    Raises:
        InvalidConfig: The new keys do not begin with an interval.
    """
    names = {home: former_key(household_key(home)) for home in node.config.households}
    found = {home: node.keys[name] for home, name in names.items() if name in node.keys}
    signs_from_s = node.config.keystore.signs_from_unix_s or 0
    if found and (signs_from_s - node.setup.start_s) % (node.setup.minutes * 60):
        what = f"keystore.signs_from_unix_s = {signs_from_s} is no start of an interval"
        cure = "give the `from s` of `wattswap chain state VALIDATOR accounts`"
        raise InvalidConfig.of(str(node.config.folder / CONFIG), what, cure)
    return Former(found, signs_from_s)


def _home(node: Node, name: str, client: Member, listener: Listener) -> Home:
    """One home of a node, with what its strategy has learned in the node's folder."""
    index = node.setup.roster.index(name)
    path, chain_id = node.data / f"{LEARNED}{index}.json", node.setup.genesis.chain_id.hex()
    learned = Learned(path, chain_id, name, node.world.disk)
    pace, offload = Pace(node.config.clock, node.world.now_ms), node.world.offload
    keep, read_line = node.keep_proof, node.known.read_line
    late = LateReadings(client, index, read_line, node.config.clock.gate_s, node.setup.minutes * 60)
    return Home(node.setup, index, client, listener, pace, keep, learned, offload, read_line, late)


COUNTS: Final = ("receipts", "late", "by_gossip", "proofs", "broken_promises", "missed")
"""Figures of `Done` that are summed over the homes of a node."""


class RunLog:
    """Sums the statistics of a node's homes by interval, and writes a line when all of them have finished it."""

    def __init__(self, node: Node, homes: int) -> None:
        self._node, self._homes = node, homes
        self._open: dict[int, list[Done]] = {}

    def __call__(self, i: int, home: int, done: Done) -> None:
        """Add one home's interval."""
        through = self._open.setdefault(i, [])
        through.append(done)
        if len(through) == self._homes:
            del self._open[i]
            self._node.stats.add(
                self._node.setup.start_of(i),
                what="lived",
                **{name: sum(getattr(d, name) for d in through) for name in COUNTS},
                receipt_s=round(max(d.receipt_s for d in through), 6),
                result_s=round(max(d.result_s for d in through), 6),
            )


def _first(node: Node) -> int:
    """The interval at which the homes of this node continue: after the last that all of them finished."""
    done = [line["interval_start"] for line in read_stats([node.data]) if line.get("what") == "lived"]
    return node.setup.index_of(max(done)) + 1 if done else 0


async def _together(*tasks: Callable[[], Awaitable[None]]) -> None:
    """Run tasks until cancelled; one that ends leaves the others running."""
    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(task)
        await trio.sleep_forever()


ROLES: Final[Mapping[str, Callable[[Node], Awaitable[None]]]] = {
    "validator": run_validator,
    "operator": run_operator,
    "observer": run_observer,
    "household": run_homes,
    "gateway": run_homes,
}
