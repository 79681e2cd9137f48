"""What a validator checks of closed orders before it votes for them, and of a batch of them afterwards."""

from __future__ import annotations

from functools import cache

import msgspec
import pytest

from p2p.batches.batch import CloseArgs
from p2p.batches.blob import NOTHING_OPENED, blob_hash, make_blob
from p2p.batches.closed_orders import Opened, find_keys, make_closed, read_closed
from p2p.batches.closings import LeftOut, Promised, make_closing
from p2p.errors import RemoteError
from p2p.wire.messages import SealedMessage, message_id, sign_message
from p2p.wire.sealed import seal_message, sealing_context
from p2p.wire.sealing import digest_of, open_share
from wattswap.nodes.batch_checker import BadBatch, BatchChecker, takes_of
from wattswap.nodes.config import household_key
from wattswap.simulation.base import Base, base_of
from wattswap.simulation.plan import Shape


@cache
def base() -> Base:
    return base_of(Shape(intervals=2, sealed=True), True)


def start_s() -> int:
    return base().setup.start_of(0)


def validators() -> tuple[bytes, ...]:
    return base().setup.genesis.authorities


def sealed(home: str, to: tuple[bytes, ...]) -> SealedMessage:
    limits = base().setup.genesis.params.limits
    key = base().keys[home_node(home)][household_key(home)]
    return seal_message(key, base().ordered[0][home], to, limits)


def home_node(home: str) -> str:
    return next(name for name, config in base().configs.items() if home in config.households)


@cache
def closed(without: frozenset[str] = frozenset(), closers: int = 0, promised: str = "") -> bytes:
    """The closed orders of all homes but some, with closings of validators that promise the order of one."""
    setup, limits = base().setup, base().setup.genesis.params.limits
    signed = [
        sign_message(base().keys[home_node(home)][household_key(home)], sealed(home, validators()), limits)
        for home in setup.roster
        if home not in without
    ]
    promises = [Promised(setup.roster.index(promised), base().ordered[0][promised].nonce)] if promised else []
    closings = [
        make_closing(base().key(f"validator-{i}"), setup.genesis.chain_id, start_s(), 0, promises)
        for i in range(closers)
    ]
    return make_closed(setup.roster, start_s(), validators(), signed, closings)


def args_of(data: bytes, **changes: object) -> CloseArgs:
    args = CloseArgs(start_s(), blob_hash(data), digest_of(validators()))
    return msgspec.structs.replace(args, **changes)


def test_closed_orders_of_all_homes_lack_nothing() -> None:
    assert BatchChecker(base().setup)(args_of(closed()), closed()) == ()


def test_closed_orders_that_lack_a_home_say_who_has_closed() -> None:
    data = closed(frozenset({"home-02"}), 3)
    keys = frozenset(base().key(f"validator-{i}").public_key for i in range(3))
    assert BatchChecker(base().setup)(args_of(data), data) == (keys,)
    alone = closed(frozenset({"home-02"}))
    assert BatchChecker(base().setup)(args_of(alone), alone) == (frozenset(),)


def test_closed_orders_hold_what_their_closings_promise() -> None:
    data = closed(frozenset({"home-02"}), 3, "home-02")
    with pytest.raises(LeftOut):
        BatchChecker(base().setup)(args_of(data), data)
    there = closed(frozenset({"home-03"}), 3, "home-02")
    assert BatchChecker(base().setup)(args_of(there), there)


@pytest.mark.parametrize("wrong", ["interval", "validators"])
def test_closed_orders_of_another_interval_or_for_others_are_refused(wrong: str) -> None:
    changes = {"interval": {"interval_start": start_s() + 900}, "validators": {"sealed_to": bytes(16)}}[wrong]
    with pytest.raises(BadBatch):
        BatchChecker(base().setup)(args_of(closed(), **changes), closed())


def test_a_home_that_is_barred_has_no_order_in_them() -> None:
    def is_barred(home: int, interval_start: int) -> bool:
        return (home, interval_start) == (4, start_s())

    checker = BatchChecker(base().setup, is_barred=is_barred)
    with pytest.raises(BadBatch, match=f"an order of {base().setup.roster[4]}, which may send none now"):
        checker(args_of(closed()), closed())
    data = closed(frozenset({base().setup.roster[4]}), 3)
    assert checker(args_of(data), data)


def opened(places: tuple[int, int]) -> Opened:
    setup = base().setup
    content = read_closed(closed(), blob_hash(closed()), setup.genesis, setup.member_list)
    answers = []
    for place in places:
        key = base().key(f"validator-{place}")
        shares = [open_share(m.envelope, place, key, sealing_context(m)) or b"" for m in content.messages]
        answers.append((place, shares, None))
    found = find_keys(content, answers)
    assert found is not None
    return found


def blob(found: Opened) -> bytes:
    return make_blob(base().setup.roster, start_s(), bytes(32), [], (), closed(), found)


def test_the_batch_follows_from_what_was_in_the_envelopes_whoever_opened_them() -> None:
    checker, setup = BatchChecker(base().setup), base().setup
    first, second = (checker.recompute(blob(opened(places))) for places in ((0, 1), (2, 3)))
    assert first.args == second.args
    assert (first.args.closed_hash, first.args.unopened) == (blob_hash(closed()), ())
    expected = {setup.roster.index(home): message_id(said) for home, said in base().ordered[0].items()}
    assert first.opened == expected
    assert checker.said_in(start_s(), closed(), opened((0, 2))).orders


def test_a_batch_whose_envelopes_are_not_opened_is_refused() -> None:
    checker, right = BatchChecker(base().setup), opened((0, 1))
    wrong = [
        NOTHING_OPENED,
        msgspec.structs.replace(right, keys=(b"", *right.keys[1:])),
        msgspec.structs.replace(right, keys=(bytes(32), *right.keys[1:])),
        msgspec.structs.replace(right, keys=right.keys[::-1]),
    ]
    for found in wrong:
        with pytest.raises(RemoteError):
            checker.recompute(blob(found))


def test_a_batch_of_other_orders_than_it_names_is_refused() -> None:
    checker, data = BatchChecker(base().setup), blob(opened((0, 1)))
    args = checker.recompute(data).args
    for changes in ({"closed_hash": bytes(32)}, {"unopened": (3,)}):
        with pytest.raises(BadBatch):
            checker.settled(msgspec.structs.replace(args, **changes), data)


def test_more_than_the_share_of_a_home_is_no_order() -> None:
    takes = takes_of(base().setup)
    order = next(said for said in base().ordered[0].values() if hasattr(said, "orders"))
    takes(order)
    line = msgspec.structs.replace(order.orders[0], energy_wh=2**60)
    with pytest.raises(RemoteError, match="share of a home"):
        takes(msgspec.structs.replace(order, orders=(line,)))


def test_the_closings_of_closed_orders_are_not_compared_with_later_validators() -> None:
    """Once closed, an interval is settled whoever the validators are then; the readings have closings of their own."""
    data = closed(frozenset({"home-02"}), 3)
    setup, checker = base().setup, BatchChecker(base().setup)
    content = read_closed(data, blob_hash(data), setup.genesis, setup.member_list)
    answers = []
    for place in (0, 1):
        key = base().key(f"validator-{place}")
        shares = [open_share(m.envelope, place, key, sealing_context(m)) or b"" for m in content.messages]
        answers.append((place, shares, None))
    found = find_keys(content, answers)
    assert found is not None
    settled = make_blob(setup.roster, start_s(), bytes(32), [], (), data, found)
    assert len(checker(args_of(data), data)) == 1
    assert checker.closed(settled) == (frozenset(),), "of the readings, which all are missing here"
