"""The chain of some node folders, made by their own keys: settled intervals, changes of operators and validators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from p2p.blocks.block import quorum
from p2p.blocks.possession import prove_possession
from p2p.ledger.light import make_batch_proof, prove_operators, set_changes
from p2p.ledger.modules.governance import (
    ADD,
    ADD_OPERATOR,
    ROTATE,
    ApproveArgs,
    AuthorityArgs,
    OperatorArgs,
)
from p2p.ledger.offices import validator_sets
from p2p.wire.codec import encode
from p2p.wire.identity import Identity
from tests.kits.chain_kit import make_args
from tests.kits.modules_kit import Chain
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.keys import open_keys
from wattswap.nodes.roles import prepared
from wattswap.runs.prepare import Setup


def identity_of(config: NodeConfig, setup: Setup) -> Identity:
    """The key by which the others know a node."""
    return open_keys(config, {}, setup.genesis)[config.key_names[0]]


class FolderChain(Chain):
    """A chain on the genesis of node folders.

    Attributes:
        keys: Of the validators, by the names of their nodes.
    """

    def __init__(self, configs: Mapping[str, NodeConfig], others: Sequence[Identity] = ()) -> None:
        self.setup = prepared(configs["operator-0"])
        super().__init__(self.setup.genesis)
        self.keys = {
            name: identity_of(config, self.setup)
            for name, config in configs.items()
            if config.role == "validator"
        }
        self.validators = {key.public_key: key for key in (*self.keys.values(), *others)}
        self.batches = 0

    def settle(self, by: Identity, **changes: object) -> bytes:
        """Settle the next interval; return its proof."""
        _, args = make_args(self.batches, self.genesis.members)
        fields = {"interval_start": self.setup.start_of(self.batches), "next_collector": by.public_key}
        parent = self.tip.state
        self.call(by, "settlement.batch", msgspec.structs.replace(args, **(fields | changes)))
        self.batches += 1
        block, cert = self.made[-1]
        set_of = set_changes(block.header, self.made, self.genesis)
        shown = prove_operators(parent) if parent.operators != self.genesis.operators else None
        return encode(make_batch_proof(block, cert, self.genesis, 0, set_of, shown))

    def change_operators(self, action: int, key: Identity) -> None:
        """Let the validators add or remove an operator."""
        proof = prove_possession(key, self.genesis.chain_id) if action == ADD_OPERATOR else b""
        args = OperatorArgs(action, key.public_key, proof, self.tip.height + 50)
        self._decide("governance.propose_operator", args)

    def change_validators(self, action: int, key: Identity, new: Identity | None = None) -> None:
        """Let the validators change their set; it holds from the next block on."""
        proof = b""
        if action == ADD:
            proof = prove_possession(key, self.genesis.chain_id)
        elif action == ROTATE and new is not None:
            proof = prove_possession(new, self.genesis.chain_id, key.public_key)
        new_key = b"" if new is None else new.public_key
        args = AuthorityArgs(action, key.public_key, new_key, proof, self.tip.height + 50)
        self._decide("governance.propose_authority", args)
        self.add()
        self.add()

    def _decide(self, name: str, args: OperatorArgs | AuthorityArgs) -> None:
        first, *others = [self.validators[key] for key in self.tip.state.validators]
        self.call(first, name, args)
        number = validator_sets(self.tip.state.view()).open[-1]
        for key in others[: quorum(len(self.tip.state.validators)) - 1]:
            self.call(key, "governance.approve", ApproveArgs(number))
