"""What a validator checks before it votes: the whole interval, by recomputing it.

Clearings that a solver found are not computed again: they are derived from the solution in the blob, and proven.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final, NamedTuple

from market.errors import MarketError
from p2p.batches.batch import BatchArgs, CloseArgs, Step
from p2p.batches.blob import (
    MAX_BLOB_BYTES,
    SECRET_BYTES,
    IntervalContent,
    Takes,
    blob_hash,
    make_blob,
    open_blob,
    pack_solutions,
    unpack_solutions,
    with_solution,
)
from p2p.batches.closed_orders import ClosedOrders, Opened, read_closed
from p2p.batches.closings import closers, incomplete_slots, members_in, nonces_of
from p2p.batches.later import check_later
from p2p.batches.standing import none_in, spoken_in, standing_for, standing_in
from p2p.blocks.members import Rotated, none_rotated
from p2p.errors import OutOfRange, RemoteError
from p2p.roles.collector.intake import share_of, taken_by
from p2p.roles.validator.batch_check import Closed, NoBlob
from p2p.wire.messages import OrderMessage
from p2p.wire.sealing import digest_of
from wattswap.errors import WattswapError
from wattswap.nodes.ahead import check_orders
from wattswap.nodes.interval import Recomputed, recompute
from wattswap.runs.prepare import Setup
from wattswap.runs.solutions import Solutions

KEPT: Final = 8
"""Recomputed intervals to cache: their lines are requested right after."""


_log = logging.getLogger(__name__)


IsBarred = Callable[[int, int], bool]


class BadBatch(RemoteError):
    """A settlement batch that does not follow from the messages of its interval."""

    code = "bad_batch"


class BatchChecker:
    """Checks batches of one scenario; call it with (batch, blob, blob of the interval before).

    Args:
        rotated: Keys to which homes have rotated.
        is_barred: Whether the home of an index may not order in an interval [s], where orders are sealed.
    """

    def __init__(
        self, setup: Setup, rotated: Rotated = none_rotated, is_barred: IsBarred = lambda *_: False
    ) -> None:
        self._setup, self._rotated, self._is_barred = setup, rotated, is_barred
        self._kept: OrderedDict[bytes, _Known] = OrderedDict()
        self._closed: OrderedDict[bytes, ClosedOrders] = OrderedDict()
        # A validator checks an interval in one thread while it announces it in another.
        self._lock, self._lock_of_closed = Lock(), Lock()

    def __call__(self, args: Step, blob: bytes, before: bytes | None = None) -> Closed:
        """Check a batch against its blob before a vote, and return who has closed the slots that lack messages.

        Args:
            args: Of the batch, or of the closing of its orders before it.
            before: Blob of the interval before, which the chain has settled; None where it is not here.

        Raises:
            NoBlob: The blob of the interval before is not here, and what applies in this one follows from it.
            RemoteError: Says what does not follow.
        """
        if isinstance(args, CloseArgs):
            return self._check_close(args, blob)
        self.settled(args, blob, before)
        self._refuse_unsolved(blob)
        return self.closed(blob)

    def _refuse_unsolved(self, blob: bytes) -> None:
        if self._lacking(blob):
            raise BadBatch("holds no solution, though the clearing has one that is checked without a solver")

    def closed(self, blob: bytes) -> Closed:
        """Who has closed each slot that lacks messages, all that they promised being in the blob.

        Raises:
            RemoteError: The blob is damaged, or lacks what a closing in it promises.
        """
        setup, content = self._setup, self.content(blob)
        present = nonces_of(content.messages, setup.roster, setup.rounds)
        members = members_in(setup.member_list, content.interval_start)
        found = closers(content.closings, present, members, setup.rounds)
        if content.closed is not None and 0 in incomplete_slots(present, members, setup.rounds):
            # Of the orders the chain has checked it when it closed them: since then validators may have changed.
            return found[1:]
        return found

    def closed_orders(self, data: bytes) -> ClosedOrders:
        """Read closed orders, every signature in them checked; the same ones are checked once.

        Raises:
            RemoteError: They are damaged or badly signed.
        """
        name = blob_hash(data)
        found = self._closed.get(name)
        if found is None:
            setup = self._setup
            found = read_closed(data, name, setup.genesis, setup.member_list, self._rotated)
            with self._lock_of_closed:
                self._closed[name] = found
                while len(self._closed) > KEPT:
                    self._closed.popitem(last=False)
        return found

    def said_in(self, start_s: int, closed: bytes, opened: Opened) -> IntervalContent:
        """What is in closed orders, before there are readings.

        Raises:
            RemoteError: They are damaged, or this does not open them.
        """
        blob = make_blob(self._setup.roster, start_s, bytes(SECRET_BYTES), (), (), closed, opened)
        return self._opened(blob)

    def _opened(self, blob: bytes) -> IntervalContent:
        setup, takes = self._setup, takes_of(self._setup)
        return open_blob(blob, setup.genesis, setup.member_list, self._rotated, takes, self.closed_orders)

    def _check_close(self, args: CloseArgs, data: bytes) -> Closed:
        closed = self.closed_orders(data)
        if closed.interval_start != args.interval_start or digest_of(closed.validators) != args.sealed_to:
            raise BadBatch("the closed orders are of another interval, or for other validators, than it says")
        roster = self._setup.roster
        for message in closed.messages:
            if self._is_barred(roster.index(message.household), message.interval_start):
                raise BadBatch(f"an order of {message.household}, which may send none now")
        # Of the first slot alone: readings come after.
        present = nonces_of(closed.messages, self._setup.roster, 0)
        members = members_in(self._setup.member_list, closed.interval_start)
        return closers(closed.closings, present, members, 0)

    def content(self, blob: bytes) -> IntervalContent:
        """The verified messages and closings of a blob.

        Raises:
            RemoteError: As in `recompute`.
        """
        with self._lock:
            return self._look_up(blob).content

    def settled(self, args: BatchArgs, blob: bytes, before: bytes | None = None) -> Recomputed:
        """Recompute an interval that a chain has settled, and check its batch.

        Args:
            before: As for a vote.

        Raises:
            RemoteError: As for a vote.
        """
        recomputed = self.recompute(blob)
        _refuse_other(args, recomputed)
        self._check_standing(blob, before)
        return recomputed

    def settled_again(self, args: BatchArgs, blob: bytes, former: bytes) -> Recomputed:
        """Recompute a later version of an interval, and check it and what it adds to the version before it.

        Which limits stand follows from the first version, which was checked: no later one changes them.

        Args:
            former: Blob of the version before.

        Raises:
            RemoteError: Says what does not follow.
        """
        check_later(blob, former)
        recomputed = self.recompute(blob)
        _refuse_other(args, recomputed)
        return recomputed

    def again(self, args: BatchArgs, blob: bytes, former: bytes) -> None:
        """Check a later version of an interval against its blob and that of the version before, before a vote.

        Raises:
            RemoteError: Says what does not follow.
        """
        self.settled_again(args, blob, former)
        self._refuse_unsolved(blob)

    def needs_before(self, blob: bytes) -> bool:
        """Whether limits may apply in the interval of a blob, which follow from the blob of the interval before.

        Raises:
            RemoteError: The blob is malformed.
        """
        setup, stands = self._setup, standing_in(blob)
        if not setup.limits_stand or stands.interval_start <= setup.start_s:
            return False
        return bool(stands.lines) or 2 * len(spoken_in(blob)) <= len(setup.roster)

    def recompute(self, blob: bytes) -> Recomputed:
        """Recompute an interval from its blob, every signature in it checked; the same blob is recomputed once.

        Clearings are derived from the solution that it holds. Without one they are computed, as in older chains.

        Raises:
            RemoteError: The blob is damaged, badly signed, or breaks a rule of the market.
        """
        with self._lock:
            return self._look_up(blob).recomputed

    def complete(self, blob: bytes) -> tuple[bytes, Recomputed]:
        """Compute an interval, and put into its blob the solution with which others check it.

        Args:
            blob: Without a solution.

        Returns:
            The blob, and the interval as everybody recomputes it from this blob.

        Raises:
            RemoteError: As in `recompute`.
        """
        recomputed = self.recompute(blob)
        if solution := self._lacking(blob):
            blob = with_solution(blob, solution)
            recomputed = self.recompute(blob)
        return blob, recomputed

    def _check_standing(self, blob: bytes, before: bytes | None) -> None:
        """Raise unless exactly those limits apply in an interval that homes have stated last before it."""
        setup, stands = self._setup, standing_in(blob)
        expected = none_in(stands.interval_start)
        if self.needs_before(blob):
            if before is None:
                raise NoBlob("the limits that stand are those of the interval before, whose blob is not here")
            expected = standing_for(blob, before, setup.genesis, setup.member_list)
        if stands != expected:
            raise BadBatch("the limits that stand are not those that the homes have stated last")

    def _lacking(self, blob: bytes) -> bytes:
        """The solution that a blob could hold and does not; empty where it holds one or there is none.

        One that is refused, as by tolerances that a solver keeps to and a proof does not, counts as none: else the
        interval could not be settled.
        """
        with self._lock:
            solution = self._look_up(blob).solution
            if not solution:
                return b""
            try:
                self._look_up(with_solution(blob, solution))
            except RemoteError as error:
                _log.warning("an interval is agreed without the solution of its clearing: %s", error)
                return b""
            return solution

    def _look_up(self, blob: bytes) -> _Known:
        name = blob_hash(blob)
        found = self._kept.get(name)
        if found is None:
            found = self._kept[name] = self._of_blob(blob, name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _of_blob(self, blob: bytes, name: bytes) -> _Known:
        content = self._opened(blob)
        given = unpack_solutions(content.solution) if content.solution else None
        if given is not None and self._setup.mechanism.witness is None:
            raise BadBatch("holds a solution, but the clearing is recomputed from the messages")
        solutions = Solutions(given)
        try:
            recomputed = recompute(self._setup, content, name, solutions)
        except ImportError as error:
            raise BadBatch(f"is computed with a solver, which is not installed here: {error}") from None
        except (MarketError, WattswapError) as error:
            raise BadBatch(str(error)) from None
        found = solutions.found if given is None else None
        packed = pack_solutions(found) if found else b""
        return _Known(content, recomputed, packed if len(blob) + len(packed) < MAX_BLOB_BYTES else b"")


def takes_of(setup: Setup) -> Takes:
    """Refuses what a collector refuses of orders in the open: what its market does not take, and more than a share."""
    check, share = check_orders(setup), share_of(setup.genesis.params.limits, len(setup.roster))

    def takes(message: OrderMessage) -> None:
        check(message)
        if not share.holds(taken_by(message, b"")):
            raise OutOfRange("the orders take up more than the share of a home")

    return takes


class _Known(NamedTuple):
    """A recomputed interval.

    Args:
        solution: The solution that its blob could hold and does not; empty where it holds one or there is none.
    """

    content: IntervalContent
    recomputed: Recomputed
    solution: bytes


FREE: Final = ("next_collector",)
"""Fields of a batch that do not follow from the messages of its interval: the chain and the votes restrict them."""


def _refuse_other(args: BatchArgs, expected: Recomputed) -> None:
    for field in BatchArgs.__struct_fields__:
        if field not in FREE and getattr(args, field) != getattr(expected.args, field):
            raise BadBatch(f"{field} does not follow from the messages and rules of the interval")
