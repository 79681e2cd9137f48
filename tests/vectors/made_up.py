"""Keys, genesis and times that all vectors share; everything follows from fixed seeds."""

from __future__ import annotations

from typing import Any

import msgspec

from p2p.blocks.genesis import VERSION as GENESIS_VERSION
from p2p.blocks.genesis import Genesis, make_params
from p2p.blocks.members import Members
from p2p.wire.identity import Identity
from p2p.wire.messages import lasting

START, STEP, MINUTES = 1_760_000_400, 900, 15
HOUSEHOLD = "house-1"
HOME, STRANGER, OPERATOR, ROTATED = (Identity.from_seed(letter * 32) for letter in (b"h", b"x", b"o", b"r"))
AUTHORITIES = tuple(Identity.from_seed(bytes([i + 1]) * 32) for i in range(4))
LATER = (*AUTHORITIES[1:], Identity.from_seed(bytes([5]) * 32), Identity.from_seed(bytes([6]) * 32))
"""Authorities after a change of the set: the first one left, two came."""
MASTER = bytes(range(32))
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of Ed25519's base point."""
MESSAGE_DOMAIN = b"wattswap/msg/1\0"

HOMES = Members((HOUSEHOLD, "house-2"), (HOME.public_key, STRANGER.public_key))
GENESIS = Genesis(
    version=GENESIS_VERSION,
    name="vectors",
    time_ms=START * 1000,
    params=make_params("EUR", MINUTES),
    authorities=tuple(one.public_key for one in AUTHORITIES),
    operators=(OPERATOR.public_key,),
    members_root=HOMES.root,
    members=2,
    accounts=("grid",),
    modules=(),
)
CHAIN = GENESIS.chain_id
CONTEXT = {
    "chain_id": CHAIN,
    "key_of": lasting({HOUSEHOLD: HOME.public_key}),
    "collector_keys": (OPERATOR.public_key,),
}

Vectors = dict[str, Any]
replace = msgspec.structs.replace


def plain(value: Any) -> Any:
    """The JSON form of a value: records as objects, numbers as text, bytes as hexadecimal text."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value]
