"""A home whose owner rotates its key on the chain, and starts its node again with both keys."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import trio

from p2p.blocks.block import make_tx
from p2p.blocks.possession import prove_possession
from p2p.ledger.checkpoint import load_tip
from p2p.ledger.modules import accounts
from p2p.ledger.modules.accounts import ENTER, ROTATE_KEY, EnterArgs, RotateArgs
from p2p.ledger.state import State
from p2p.ledger.store import ChainStore
from p2p.transports.base import peer_id_of
from p2p.wire.identity import Identity
from wattswap.nodes.chains import send_tx
from wattswap.nodes.config import household_key
from wattswap.runs.layout import CHAIN
from wattswap.simulation.plan import Act
from wattswap.simulation.town import Town

AGAIN_S: Final = 1.0
"""How long to wait before a transaction that is in no block is sent again. [s]"""
HEIGHTS: Final = 1_000
"""For how many heights a transaction is valid."""
OWNER: Final = "owner"
"""What the owner's own node is called, from which the transactions come."""


async def rotate(town: Town, act: Act) -> None:
    """Rotate the key of the first home of a node, see `Act`."""
    name, setup = act.who[0], town.base.setup
    home = town.nodes[name].config.households[0]
    place, key_name = setup.roster.index(home), household_key(home)
    old, new = town.keys[name][key_name], _identity(town, name)
    await _send(town, place, old, new)
    first = next((i for i in range(setup.intervals) if _signs(town, place, new, setup.start_of(i))), None)
    if first is None:
        return
    await town.stop(name)
    town.give_key(name, key_name, new, setup.start_of(first))
    town.start(name)


def _identity(town: Town, name: str) -> Identity:
    return Identity.from_seed(sha256(f"{town.plan.seed}|{name}".encode()).digest())


async def _send(town: Town, place: int, old: Identity, new: Identity) -> None:
    """Send both transactions until a validator's chain has them."""
    chain_id, owner = town.base.setup.genesis.chain_id, _identity(town, OWNER)
    proof = RotateArgs(new.public_key, prove_possession(new, chain_id, old.public_key))
    calls = ((ENTER, EnterArgs(town.base.setup.member_list.proof(place))), (ROTATE_KEY, proof))
    validators = [f"/memory/p2p/{town.peer(name)}" for name in town.base.of_role("validator")]
    town.network.names[peer_id_of(owner.public_key)] = OWNER
    async with town.network.endpoint(owner) as transport:
        while _home_of(town, new) != place:
            for number, (method, args) in enumerate(calls, 1):
                tx = make_tx(old, chain_id, number, HEIGHTS, accounts.NAME, method, args)
                await send_tx(transport, validators, tx.raw)
            await trio.sleep(AGAIN_S)


def _home_of(town: Town, key: Identity) -> int | None:
    state = _state(town)
    return None if state is None else state.home_of(key.public_key)


def _signs(town: Town, place: int, key: Identity, start_s: int) -> bool:
    state = _state(town)
    return state is not None and state.home_key(place, start_s) == key.public_key


def _state(town: Town) -> State | None:
    """The state of the longest chain of a validator; None before the first block."""
    tips = []
    for name in town.base.of_role("validator"):
        path = town.nodes[name].disk.folder / CHAIN
        if path.exists():
            with ChainStore.open(path, town.base.setup.genesis, read_only=True) as store:
                tips.append(load_tip(store, town.base.setup.genesis))
    return max(tips, key=lambda tip: tip.height).state if tips else None
