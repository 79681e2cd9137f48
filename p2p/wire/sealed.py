"""Orders and "nothing" in envelopes: sealed by a home, opened by whoever has the key.

The head of the message stands outside, so the envelope holds the orders alone: none of them is "nothing".
"""

from __future__ import annotations

from collections.abc import Sequence

from p2p.errors import InvalidMessage, RemoteError
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    MAX_MESSAGE_BYTES,
    NothingMessage,
    OrderLine,
    OrderMessage,
    Said,
    SealedMessage,
    range_problem,
)
from p2p.wire.sealing import TooLong, digest_of, hash_of_key, key_for, open_box, seal


def sealing_context(message: Said | SealedMessage) -> bytes:
    """What an envelope belongs to; under another chain, interval, home, nonce or round it does not open."""
    return encode((message.chain_id, message.interval_start, message.household, message.nonce, message.round))


def seal_message(
    identity: Identity, message: Said, validators: Sequence[bytes], limits: Limits
) -> SealedMessage:
    """Seal what a home says to the validators; the same again for the same message.

    Raises:
        InvalidMessage: It does not fit, or a peer would refuse it once it is opened.
    """
    problem = range_problem(message, limits)
    if problem:
        raise InvalidMessage(f"{type(message).__name__}: {problem}")
    content, context = _content_of(message), sealing_context(message)
    key = key_for(identity, digest_of(validators), context, content)
    try:
        envelope = seal(
            content, key=key, context=context, validators=validators, padded_bytes=limits.sealed_bytes
        )
    except TooLong as error:
        raise InvalidMessage(f"{type(message).__name__}: {error}") from None
    return SealedMessage(*_head_of(message), envelope)


def says(sealed: SealedMessage, identity: Identity, message: Said) -> bool:
    """Whether an envelope of a home, sealed by `seal_message` to whichever validators, says this."""
    content, context = _content_of(message), sealing_context(message)
    key = key_for(identity, sealed.envelope.sealed_to, context, content)
    return hash_of_key(key) == sealed.envelope.key_hash


def _content_of(message: Said) -> bytes:
    return encode(message.orders if isinstance(message, OrderMessage) else ())


def _head_of(message: Said | SealedMessage) -> tuple[int, bytes, int, int, str, int, int]:
    """The fields that all of these begin with."""
    where = (message.version, message.chain_id, message.interval_start, message.minutes)
    return (*where, message.household, message.nonce, message.round)


def unseal_message(sealed: SealedMessage, key: bytes, limits: Limits) -> Said | None:
    """What an envelope says; None where it holds nothing that its home may send.

    Args:
        key: Whose hash the envelope names.
    """
    content = open_box(sealed.envelope, key, sealing_context(sealed))
    if content is None:
        return None
    try:
        orders = decode(tuple[OrderLine, ...], content, max_bytes=MAX_MESSAGE_BYTES)
    except RemoteError:
        return None
    head = _head_of(sealed)
    message = OrderMessage(*head, orders) if orders else NothingMessage(*head)
    return None if range_problem(message, limits) else message
