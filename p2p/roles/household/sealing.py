"""How a node seals the orders of its homes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from p2p.errors import InvalidMessage
from p2p.roles.exchange.journal import Journal
from p2p.wire.codec import decode
from p2p.wire.identity import Identity
from p2p.wire.limits import Limits
from p2p.wire.messages import NothingMessage, Said, SealedMessage, Signed
from p2p.wire.sealed import says

Seal = Callable[[Identity, Said, Sequence[bytes], Limits], SealedMessage]
"""(key of the home, what it says, the validators, ranges of the chain) -> its envelope; see `seal_message`."""

_log = logging.getLogger(__name__)


def sealed_of(
    seal: Seal,
    journal: Journal,
    identity: Identity,
    message: Said,
    validators: Sequence[bytes],
    limits: Limits,
) -> SealedMessage:
    """The envelope of a home: one that it has signed before, of the same content, or a new one.

    Orders that do not fit are not sent, and the others of the node need not wait for this home: it orders nothing.
    """
    said: Said = message
    try:
        sealed = seal(identity, message, validators, limits)
    except InvalidMessage as error:
        _log.error("%s orders nothing in %s: %s", message.household, message.interval_start, error)
        head = (message.version, message.chain_id, message.interval_start, message.minutes)
        said = NothingMessage(*head, message.household, message.nonce, message.round)
        sealed = seal(identity, said, validators, limits)
    before = journal.signed(message.round, message.interval_start, message.household, message.nonce)
    if before is not None:
        kept = decode(SealedMessage, decode(Signed, before).body)
        if says(kept, identity, said):
            return kept  # the validators may have changed since
    return sealed
