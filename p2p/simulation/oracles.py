"""Invariants of every simulated run, checked from outside the cores."""

from __future__ import annotations

from p2p.consensus.types import Evidence, Proposal, SignState, Vote, signed_bytes
from p2p.simulation.model import CHAIN_ID, Commit, Node, World


class Violation(Exception):
    """An oracle objects."""


class Oracles:
    """Agreement, validity, certificates, signatures and evidence; the simulator itself watches liveness.

    Attributes:
        decided: Block hash by height.
        evidence: All that honest nodes gave.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._released: dict[tuple[int, int, int, int], bytes] = {}
        self._byzantine: set[int] = set()
        self.decided: dict[int, bytes] = {}
        self.evidence: list[Evidence] = []

    def expect_faults_of(self, index: int) -> None:
        """From now on this validator may be accused."""
        self._byzantine.add(index)

    def decides(self, node: Node, commit: Commit) -> None:
        """An honest node is about to store a decided block."""
        height, name = node.next_height, commit.cert.block_hash
        if commit.cert.height != height or not self._world.cert_holds(commit):
            raise Violation(f"certificate: that of node {node.index} for height {height} does not hold")
        if not self._world.is_valid(node, name):
            raise Violation(f"validity: node {node.index} decides an invalid block at height {height}")
        if self.decided.setdefault(height, name) != name:
            raise Violation(f"agreement: two blocks are decided at height {height}")

    def sends(self, node: Node, message: Vote | Proposal) -> None:
        """An honest node sends; its own votes and proposals were durable before, and never contradict each other."""
        signer, slot = _slot(message)
        if signer != node.index:
            return
        data = signed_bytes(message, CHAIN_ID)
        before = self._released.setdefault((signer, *slot), data)
        self._world.publish(signer, data)
        if before is not data and before != data:
            raise Violation(f"double sign: honest node {signer} at (kind, height, round) {slot}")
        if before is not data:
            return  # sent again
        record = node.disk.written[0]
        if record is None or record.height != message.height or not _covers(record, message):
            raise Violation(f"persistence: node {signer} sends {slot} before it is durable")

    def accuses(self, node: Node, evidence: Evidence) -> None:
        """An honest node gives evidence."""
        self.evidence.append(evidence)
        first, second = evidence.first, evidence.second
        if _slot(first) != _slot(second) or type(first) is not type(second):
            raise Violation(f"evidence: node {node.index} compares messages of two slots or signers")
        same = signed_bytes(first, CHAIN_ID) == signed_bytes(second, CHAIN_ID)
        if same or not (self._world.genuine(first) and self._world.genuine(second)):
            raise Violation(f"evidence: node {node.index} gives evidence that proves nothing")
        signer, _ = _slot(first)
        if signer not in self._byzantine:
            raise Violation(f"evidence: node {node.index} accuses the honest node {signer}")


def _slot(message: Vote | Proposal) -> tuple[int, tuple[int, int, int]]:
    if isinstance(message, Vote):
        return message.validator, (message.kind, message.height, message.round)
    return message.proposer, (0, message.height, message.round)


def _covers(record: SignState, message: Vote | Proposal) -> bool:
    if isinstance(message, Vote):
        return message in record.votes
    own = record.proposal
    return own is not None and (own.round, own.signature) == (message.round, message.signature)
