"""Write the test vectors of docs/reference/protocol/messages.md: `python -m tests.vectors.make_vectors` from the root.

The layouts of all records and the worked example are written into that page too.

Everything follows from fixed seeds. Numbers are decimal text in JSON, since not every language reads 64 bits out of
a JSON number; bytes are hexadecimal text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from market.orders import Quote
from p2p.blocks import block as blocks
from p2p.blocks import domains, merkle
from p2p.consensus.types import Proposal, Vote, signed_bytes
from p2p.errors import RemoteError
from p2p.wire.codec import decode, encode
from p2p.wire.frames import Frame, FrameKind
from p2p.wire.identity import Identity
from p2p.wire.limits import DEFAULT_LIMITS
from p2p.wire.messages import (
    VERSION,
    Kind,
    LineQueryMessage,
    Message,
    NothingMessage,
    OrderLine,
    OrderMessage,
    ReadingMessage,
    ReceiptMessage,
    Signed,
    kind_of,
    message_id,
    open_message,
    order_line,
    sign_message,
)
from tests.vectors.made_up import (
    AUTHORITIES,
    CHAIN,
    CONTEXT,
    GROUP_ORDER,
    HOME,
    HOUSEHOLD,
    MESSAGE_DOMAIN,
    MINUTES,
    OPERATOR,
    START,
    STRANGER,
    Vectors,
    plain,
    replace,
)
from tests.vectors.promise_vectors import promises
from tests.vectors.proof_vectors import chain
from tests.vectors.records import page_lines, records
from tests.vectors.sealed_vectors import envelopes

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parents[1] / "docs" / "reference" / "protocol" / "messages.md"


def frames() -> Vectors:
    """Whole frames, and beginnings of frames that end a stream."""
    good = [
        Frame(1, FrameKind.REQUEST, b""),
        Frame(2**32 - 1, FrameKind.REPLY, bytes(range(256))),
        Frame(7, FrameKind.ERROR, b"wrong_signature"),
    ]
    bad = {
        "too short": ("00000004000000010000", "malformed"),
        "unknown kind": ("000000050000000103", "malformed"),
        "too long": ("00040006", "too_large"),
    }
    return {
        "good": [plain(asdict(frame)) | {"bytes": frame.pack().hex()} for frame in good],
        "refused": [{"what": what, "bytes": data, "code": code} for what, (data, code) in bad.items()],
    }


def examples() -> list[Message]:
    """At least one message of each kind, some of them at their limits."""
    about = (VERSION, CHAIN, START, MINUTES, HOUSEHOLD)
    limit = DEFAULT_LIMITS
    order = OrderMessage(*about, 7, 0, (order_line(1, 250, 231_000),))
    return [
        order,
        OrderMessage(
            *about,
            2**63 - 1,
            0,
            (order_line(-1, limit.max_energy_wh, -limit.max_price_micro_per_kwh, 1_000_000),),
        ),
        OrderMessage(*about, 130, 0, (order_line(1, 100, 231_000), order_line(1, 150, 200_000))),
        ReadingMessage(*about, 8, 65_535, 65_536, 2),
        ReceiptMessage(VERSION, CHAIN, START, HOUSEHOLD, message_id(order), 2),
        NothingMessage(*about, 128, 0),
        LineQueryMessage(*about, 255, 0),
        LineQueryMessage(*about, 256, limit.rounds),
    ]


def signer(message: Message) -> Identity:
    """Who may sign it."""
    return OPERATOR if isinstance(message, ReceiptMessage) else HOME


def messages() -> Vectors:
    """Signed messages of every kind, and the ways in which one is refused."""
    good = []
    for message in examples():
        kind, body = kind_of(message), encode(message)
        data = sign_message(signer(message), message)
        good.append(
            {
                "kind": kind.name.lower(),
                "seed": signer(message).seed.hex(),
                "fields": plain(message),
                "body": body.hex(),
                "id": message_id(message).hex(),
                "sign_bytes": (MESSAGE_DOMAIN + bytes((kind,)) + body).hex(),
                "signature": msgspec.msgpack.decode(data)[3].hex(),
                "bytes": data.hex(),
            }
        )
    return {
        "chain_id": CHAIN.hex(),
        "households": {HOUSEHOLD: HOME.public_key.hex()},
        "collectors": [OPERATOR.public_key.hex()],
        "good": good,
        "refused": [
            {"what": what, "bytes": data.hex(), "code": refusal(data)} for what, data in refused().items()
        ],
    }


def refusal(data: bytes) -> str:
    """The code with which our own reader refuses a message."""
    try:
        open_message(data, kinds=tuple(Kind), **CONTEXT)  # type: ignore[arg-type]
    except RemoteError as error:
        return error.code
    raise AssertionError(f"{data.hex()} is taken")


def refused() -> dict[str, bytes]:
    """Encodings and contents that no reader may take."""
    line = order_line(1, 250, 231_000)
    order = OrderMessage(VERSION, CHAIN, START, MINUTES, HOUSEHOLD, 7, 0, (line,))
    good = sign_message(HOME, order)
    body = encode(order)

    def signed(body: bytes, kind: int = 1, key: Identity = HOME, domain: bytes = MESSAGE_DOMAIN) -> bytes:
        signature = key.sign(domain, bytes([kind & 255]) + body)
        return encode(Signed(kind, body, key.public_key, signature))

    def changed(**fields: Any) -> bytes:
        return signed(encode(replace(order, **fields)))

    def other(*lines: OrderLine) -> bytes:
        return changed(orders=lines)

    return {
        "nothing at all": b"",
        "a byte behind": good + b"\0",
        "a byte missing": good[:-1],
        "kind not in its shortest form": good[:1] + b"\xcc\x01" + good[2:],
        "body with a longer length form": good[:2] + b"\xc5\0" + good[3:],
        "array with a longer length form": b"\xdc\0\x04" + good[1:],
        "too large": good + bytes(4096),
        "a field more in the body": signed(b"\x99" + body[1:] + b"\0"),
        "a field less in the body": signed(b"\x97" + body[1:-1]),
        "version not in its shortest form": signed(body[:1] + b"\xcc\x01" + body[2:]),
        "kind as a signed number": signed(body[:-2] + b"\xd0\0\x90"),
        "kind as a float": signed(body[:-2] + b"\xcb" + bytes(8) + b"\x90"),
        "kind as a boolean": signed(body[:-2] + b"\xc2\x90"),
        "kind as nil": signed(body[:-2] + b"\xc0\x90"),
        "kind beyond 64 bits signed": signed(body[:-2] + b"\xcf" + b"\xff" * 8 + b"\x90"),
        "household as bytes": signed(body.replace(b"\xa7house-1", b"\xc4\x07house-1")),
        "household not in UTF-8": signed(body.replace(b"house-1", b"house-\xff")),
        "short key": encode(Signed(1, body, bytes(31), bytes(64))),
        "short signature": encode(Signed(1, body, HOME.public_key, bytes(63))),
        "unknown kind": signed(body, kind=99),
        "kind of another layout": signed(body, kind=2 + 1),
        "version 1": changed(version=1),
        "another chain": changed(chain_id=bytes(32)),
        "short chain id": changed(chain_id=CHAIN[:31]),
        "side 0": other(replace(line, side=0)),
        "no orders": other(),
        "65 orders": other(*(line,) * 65),
        "a kind that the chain does not take": other(order_line(1, 250, 231_000, terms=Quote(1, 300_000))),
        "a simple order with terms": other(replace(line, terms=(1,))),
        "energies that add up to more than the limit": other(*(order_line(1, 600_000, 1),) * 2),
        "energy below 0": other(replace(line, energy_wh=-1)),
        "energy above the limit": other(replace(line, energy_wh=DEFAULT_LIMITS.max_energy_wh + 1)),
        "negative nonce": changed(nonce=-1),
        "a round before the first": changed(round=-1),
        "a round that the market does not have": changed(round=1),
        "version 3": changed(version=3),
        "a query of a slot behind the readings": signed(
            encode(LineQueryMessage(VERSION, CHAIN, START, MINUTES, HOUSEHOLD, 7, 2)), kind=6
        ),
        "no such length of an interval": changed(minutes=10),
        "start off the boundary": changed(interval_start=START + 1),
        "empty household": changed(household=""),
        "household of 65 bytes": changed(household="h" * 65),
        "unknown household": changed(household="house-9"),
        "signed by a stranger": signed(body, key=STRANGER),
        "signed under another domain": signed(body, domain=domains.SIGN_TX),
        "signature of another kind byte": encode(
            Signed(1, body, HOME.public_key, HOME.sign(MESSAGE_DOMAIN, b"\2" + body))
        ),
        "scalar of the signature plus the order of the group": good[:-32]
        + (int.from_bytes(good[-32:], "little") + GROUP_ORDER).to_bytes(32, "little"),
        "one bit of the signature": good[:-1] + bytes([good[-1] ^ 1]),
        "receipt by a household": sign_message(
            HOME, ReceiptMessage(VERSION, CHAIN, START, HOUSEHOLD, bytes(32), 0)
        ),
    }


def consensus() -> Vectors:
    """Votes and proposals."""
    name = bytes(range(32))
    made: list[Vote | Proposal] = []
    for kind in (blocks.PREVOTE, blocks.PRECOMMIT):
        made += [Vote(kind, 9, 2, voted, 3, b"") for voted in (name, None)]
    made += [Proposal(9, 2, name, valid_round, 3, b"", b"block", ()) for valid_round in (-1, 1)]
    found = []
    for unsigned in made:
        data = signed_bytes(unsigned, CHAIN)
        signature = AUTHORITIES[3].sign(domains.SIGN_CONSENSUS, data)
        message = replace(unsigned, signature=signature)
        found.append(
            {
                "type": type(message).__name__.lower(),
                "fields": plain(message),
                "sign_bytes": (domains.SIGN_CONSENSUS + data).hex(),
                "bytes": encode(message).hex(),
            }
        )
    return {"chain_id": CHAIN.hex(), "seed": AUTHORITIES[3].seed.hex(), "good": found}


def trees() -> Vectors:
    """Merkle trees of 0 to 17 leaves (data of leaf i: the byte i), and paths that are refused."""
    sizes = []
    for size in range(18):
        leaves = [merkle.leaf_hash(bytes([i])) for i in range(size)]
        paths = [b"".join(merkle.path(leaves, i)).hex() for i in range(size)]
        sizes.append({"size": size, "root": merkle.root(leaves).hex(), "paths": paths})
    path = sizes[11]["paths"][4]
    bad = {
        "index outside": (11, 11, path),
        "size too small": (4, 5, path),
        "size too large": (4, 17, path),
        "path too short": (4, 11, path[:-64]),
        "path too long": (4, 11, path + "00" * 32),
        "half a step": (4, 11, path[:-2]),
    }
    return {
        "good": sizes,
        "refused": [
            {"what": what, "leaf": 4, "index": index, "size": size, "path": steps}
            for what, (index, size, steps) in bad.items()
        ],
        "another_root": [
            {
                "what": "another index",
                "leaf": 4,
                "index": 5,
                "size": 11,
                "path": path,
                "root": sizes[11]["root"],
            }
        ],
    }


VECTORS: dict[str, Callable[[], Vectors]] = {
    "frames": frames,
    "messages": messages,
    "consensus": consensus,
    "merkle": trees,
    "chain": chain,
    "promises": promises,
    "envelopes": envelopes,
    "records": lambda: records(plain),
}
"""File name without suffix -> what makes its content."""


def text_of(name: str) -> str:
    """The content of one file."""
    return json.dumps(VECTORS[name](), indent=1) + "\n"


def with_records(page: str) -> str:
    """The page with the layouts of all records, between the heading of section 12 and that of section 13."""
    head, rest = page.split("\n    # messages\n", 1)
    return f"{head}\n{page_lines()}\n## 13." + rest.split("\n## 13.", 1)[1]


def with_example(page: str) -> str:
    """The page with the worked example, which is the first message: what names the chain follows from the genesis."""
    first = examples()[0]
    signed, chain_id = decode(Signed, sign_message(signer(first), first)), CHAIN.hex()
    shown = {
        r"(Chain id `)[0-9a-f]{64}": chain_id,
        r"(c420 )[0-9a-f]{8}\.\.\.[0-9a-f]{6}(?= ce68e77990)": f"{chain_id[:8]}...{chain_id[-6:]}",
        r"(\n    id          )[0-9a-f]{64}": message_id(first).hex(),
        r"(\n    signature   )[0-9a-f]{64}\n +[0-9a-f]{64}": signed.signature.hex()[:64]
        + "\n"
        + " " * 16
        + signed.signature.hex()[64:],
    }
    head, rest = page.split("\n## 10. Worked example\n", 1)
    for pattern, text in shown.items():
        rest = re.sub(pattern, rf"\g<1>{text}", rest, count=1)
    return f"{head}\n## 10. Worked example\n{rest}"


if __name__ == "__main__":
    PAGE.write_text(with_example(with_records(PAGE.read_text(encoding="utf-8"))), encoding="utf-8")
    for one in VECTORS:
        (FOLDER / f"{one}.json").write_text(text_of(one), encoding="utf-8")
        sys.stdout.write(f"{one}.json\n")
