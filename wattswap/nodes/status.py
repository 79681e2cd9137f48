"""Status of nodes: the addresses of the nodes of a folder, and the answer of each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import trio

from p2p.blocks.genesis import read_genesis
from p2p.errors import KeyFileError, P2PError
from p2p.roles.replica.status import Refused, ask_status, offset_ms
from p2p.roles.validator.config import wall_clock_ms
from p2p.transports.base import Transport, peer_id_of
from p2p.wire.frames import Unreachable
from p2p.wire.identity import Identity
from p2p.wire.keystore import public_keys
from wattswap.errors import RunNotFound
from wattswap.nodes.config import CONFIG, LOOPBACK, NodeConfig, host_of, load_config
from wattswap.nodes.keys import new_identity
from wattswap.runs.missing import nodes_in

PATIENCE_S = 5.0
"""How long a node may take to answer. [s]"""
AT_ONCE = 8
"""Number of concurrent requests."""


class Open(Protocol):
    """How an endpoint is opened; `open_libp2p` and the in-memory network have this form."""

    def __call__(self, identity: Identity, /) -> AbstractAsyncContextManager[Transport]: ...


@dataclass(frozen=True, slots=True)
class Target:
    """A node to query; if `address` is empty, `trouble` says why it is unknown."""

    name: str
    role: str
    address: str
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The status of a node, or why it has none.

    Args:
        refused: What it refused most often, by peer and code.
        ahead_ms: How far its clock is ahead of the one here. [ms]
    """

    target: Target
    role: str = ""
    height: int = 0
    head_hash: bytes = b""
    ready: bool = False
    counters: dict[str, int] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    ahead_ms: int = 0
    trouble: str = ""

    def facts(self) -> dict[str, Any]:
        """The finding as a row; unknown values are None. Its clock is compared by `compared`."""
        up = not self.trouble
        return {
            "node": self.target.name,
            "role": self.role or self.target.role,
            "up": up,
            "height": self.height if up else None,
            "head": self.head_hash.hex() if up else None,
            "ready": self.ready if up else None,
            "peers": self.counters.get("peers"),
            "refused": self._refused(),
            "refused_by_code": self._by_code(),
            "refused_most": [[one.peer, one.code, one.times] for one in self.refused],
            "last_block_age_s": self.counters.get("last_block_age_s"),
            "trouble": self.trouble,
        }

    def _refused(self) -> int | None:
        """Refusals of all codes; 0 if a node that reports counters reports none."""
        return sum(self._by_code().values()) if self.counters else None

    def _by_code(self) -> dict[str, int]:
        """How often the node refused a message, by the code of the reason."""
        return {
            name.removeprefix("refused_"): times
            for name, times in sorted(self.counters.items())
            if name == "refused" or name.startswith("refused_")
        }


def targets_of(folder: Path) -> tuple[bytes, list[Target]]:
    """The nodes of a neighbourhood's folder, or one node's folder and the peers that its config.toml names.

    Returns:
        The chain id, and the nodes by role and name.

    Raises:
        RunNotFound: There is no node.
        InvalidConfig: A config.toml is wrong.
        GenesisError: A genesis is wrong.
    """
    own = (folder / CONFIG).is_file()
    configs = [load_config(path) for path in ([folder] if own else nodes_in(folder))]
    if not configs:
        raise _no_nodes(folder)
    listed = {
        peer.name: Target(peer.name, peer.role, peer.address) for config in configs for peer in config.peers
    }
    found = listed | {config.name: _own(config, listed.get(config.name)) for config in configs}
    order = ("validator", "operator", "observer", "gateway", "household")
    targets = sorted(found.values(), key=lambda target: (order.index(target.role), target.name))
    return read_genesis(configs[0].genesis_path).chain_id, targets


def _no_nodes(folder: Path) -> RunNotFound:
    """The error of a place without nodes: nothing is there, a file, or another folder."""
    cure = "name the folder that `wattswap node init` made, or a node in it"
    if host_of(str(folder)):
        return RunNotFound.of(str(folder), "is an address, not the folder of nodes", cure)
    if not folder.exists():
        return RunNotFound.of(str(folder), "there is no such folder", cure)
    if not folder.is_dir():
        return RunNotFound.of(str(folder), "is a file, not the folder of nodes", cure)
    return RunNotFound.of(str(folder), f"holds no node with a {CONFIG}", cure)


def _own(config: NodeConfig, listed: Target | None) -> Target:
    """The address of a node by its own files; its peer id is in the public part of its keystore."""
    try:
        key = public_keys(config.keystore_path)[config.key_names[0]]
    except KeyFileError as error:
        return listed or Target(config.name, config.role, "", str(error))
    except KeyError:
        return Target(config.name, config.role, "", f"{config.keystore_path} is of another node")
    address = f"/ip4/{LOOPBACK}/tcp/{config.listen.port}/p2p/{peer_id_of(key)}"
    return Target(config.name, config.role, address)


def survey(chain_id: bytes, targets: Sequence[Target], open_transport: Open) -> list[Finding]:
    """Query every node with an ephemeral key; one finding each, in their order."""

    async def main() -> list[Finding]:
        async with ephemeral_transport(open_transport) as transport:
            return await ask_all(transport, chain_id, targets)

    return trio.run(main)


@asynccontextmanager
async def ephemeral_transport(open_transport: Open) -> AsyncIterator[Transport]:
    """A transport with an ephemeral key, for commands that query nodes."""
    async with open_transport(new_identity()) as transport:
        yield transport


async def ask_all(transport: Transport, chain_id: bytes, targets: Sequence[Target]) -> list[Finding]:
    """Query every node over an open transport."""
    findings: dict[int, Finding] = {}
    limit = trio.CapacityLimiter(AT_ONCE)

    async def one(i: int, target: Target) -> None:
        async with limit:
            findings[i] = await _ask(transport, chain_id, target)

    async with trio.open_nursery() as nursery:
        for i, target in enumerate(targets):
            nursery.start_soon(one, i, target)
    return [findings[i] for i in range(len(targets))]


async def _ask(transport: Transport, chain_id: bytes, target: Target) -> Finding:
    if target.trouble:
        return Finding(target, trouble=target.trouble)
    try:
        with trio.fail_after(PATIENCE_S):
            peer = await transport.connect(target.address)
            asked_ms = wall_clock_ms()
            status = await ask_status(transport, peer, chain_id)
    except trio.TooSlowError:
        return Finding(target, trouble=f"no answer within {PATIENCE_S:g} s")
    except Unreachable:
        return Finding(target, trouble=f"no node answers at {target.address}")
    except P2PError as error:
        return Finding(target, trouble=str(error))
    ahead_ms = offset_ms(status, asked_ms, wall_clock_ms())
    head = (status.role, status.height, status.head_hash, bool(status.ready))
    return Finding(target, *head, dict(status.counters), status.refused, ahead_ms)


def rows_of(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as rows; a clock is compared with those of the validators that answer, and of all where none does.

    Peers are named by their nodes where these are among the findings.
    """
    up = [finding for finding in findings if not finding.trouble]
    validators = [finding.ahead_ms for finding in up if finding.role == "validator"]
    right_ms = median(validators or [finding.ahead_ms for finding in up] or [0])
    names = {
        finding.target.address.rpartition("/p2p/")[2]: finding.target.name
        for finding in findings
        if finding.target.address
    }
    rows = []
    for finding in findings:
        row = finding.facts()
        row["clock_ahead_s"] = None if finding.trouble else round((finding.ahead_ms - right_ms) / 1_000, 3)
        row["refused_most"] = [[names.get(peer, peer), *rest] for peer, *rest in row["refused_most"]]
        rows.append(row)
    return rows
