"""What a collector answers when homes ask: results, lines, leaves, positions and tapes of the newest intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from p2p.batches.receipts import slots
from p2p.errors import RemoteError
from p2p.roles.collector.hand_in import coded, read_each
from p2p.roles.collector.home_keys import HomeKeys
from p2p.roles.collector.intake import HISTORY_INTERVALS, Gate, History, keep, look_up, own
from p2p.roles.exchange.tape import TAPE_PROTOCOL, read_tape_query
from p2p.roles.exchange.wire import (
    CLOSINGS_PROTOCOL,
    INCLUSION_PROTOCOL,
    INCLUSIONS_PROTOCOL,
    LINE_PROTOCOL,
    LINES_PROTOCOL,
    POSITION_PROTOCOL,
    POSITIONS_PROTOCOL,
    RESULT_PROTOCOL,
    HandInReply,
    read_query,
    read_slot_query,
)
from p2p.transports.base import Transport
from p2p.wire.codec import encode
from p2p.wire.limits import Limits
from p2p.wire.messages import (
    Kind,
    LineQueryMessage,
    open_message,
    signer_of,
)

TAPES_INTERVALS: Final = 2
"""Intervals whose tapes are kept: the one that is traded, and the one before for a home that is slow."""


class Answers:
    """Provided by a collector, and given to those who ask.

    Args:
        transport: An open endpoint; its handlers are set at once.
        chain_id: 32 bytes of the chain.
        keys: Who signs for the homes of the roster.
        limits: Ranges of the chain.
        on_question: Called with the start of each interval whose position or tape a home asks for.
    """

    def __init__(
        self,
        transport: Transport,
        chain_id: bytes,
        keys: HomeKeys,
        limits: Limits,
        on_question: Callable[[int], None],
    ) -> None:
        self._chain_id, self._keys, self._limits = chain_id, keys, limits
        self._refused, self._on_question = transport.stats.refused, on_question
        self._results: dict[Gate, bytes] = {}
        self._lines: dict[Gate, Mapping[str, bytes]] = {}
        self._openings: dict[Gate, Mapping[str, bytes]] = {}
        self._positions: dict[Gate, Mapping[str, bytes]] = {}
        self._tapes: dict[Gate, tuple[bytes, ...]] = {}
        self._closings: dict[Gate, bytes] = {}
        transport.serve(LINE_PROTOCOL, self._give_line)
        transport.serve(INCLUSION_PROTOCOL, partial(self._give, self._openings, slots(limits.rounds)))
        transport.serve(POSITION_PROTOCOL, partial(self._give, self._positions, limits.rounds))
        for protocol, history in (
            (LINES_PROTOCOL, self._lines),
            (INCLUSIONS_PROTOCOL, self._openings),
            (POSITIONS_PROTOCOL, self._positions),
        ):
            transport.serve(protocol, partial(self._give_many, history))
        transport.serve(RESULT_PROTOCOL, self._give_result)
        transport.serve(TAPE_PROTOCOL, self._give_tape)
        transport.serve(CLOSINGS_PROTOCOL, self._give_closings)

    # --- providing ------------------------------------------------------------------------------------

    def provide_result(self, interval_start: int, proof: bytes) -> None:
        """Keep the proof of an interval's batch, for anybody who asks."""
        keep(self._results, (interval_start, 0), proof)

    def provide_lines(self, interval_start: int, lines: Mapping[str, bytes]) -> None:
        """Keep each home's settlement line of an interval; only that home may ask for it.

        Args:
            lines: By home, none of them empty: that would look like one that is not ready. They may be made when
                they are asked for.
        """
        keep(self._lines, (interval_start, 0), lines)

    def provide_openings(self, interval_start: int, openings: Mapping[str, bytes], slot: int = 0) -> None:
        """Keep each home's opening of the batch's inclusion root for a slot, as `provide_lines` does lines."""
        keep(self._openings, (interval_start, slot), openings, HISTORY_INTERVALS * slots(self._limits.rounds))

    def provide_closings(self, interval_start: int, slot: int, closings: bytes) -> None:
        """Keep the closings of a slot in the blob of a settled interval, for anybody who asks."""
        keep(self._closings, (interval_start, slot), closings, HISTORY_INTERVALS * slots(self._limits.rounds))

    def provide_positions(self, interval_start: int, positions: Mapping[str, bytes], number: int = 0) -> None:
        """Keep what each home has bought and sold up to a round, for as many rounds as lines of intervals."""
        keep(self._positions, (interval_start, number), positions)

    def provide_tape(self, interval_start: int, number: int, pages: tuple[bytes, ...]) -> None:
        """Keep the tape of the rounds up to one, for anybody who asks, while its interval and the next are traded.

        Args:
            pages: As `tape.make_pages` returns them.
        """
        keep(self._tapes, (interval_start, number), pages, TAPES_INTERVALS * self._limits.rounds)

    def end_rounds(self, interval_start: int) -> None:
        """Note that no further round is cleared: nobody waits for a tape that is not here."""
        last = (interval_start, self._limits.rounds - 1)
        if self._limits.rounds > 1 and last not in self._tapes:
            self.provide_tape(*last, ())

    # --- asking ---------------------------------------------------------------------------------------

    async def _give_line(self, peer: str, frame: bytes) -> bytes:
        interval_start = read_query(frame, self._chain_id)
        return own(self._lines, self._keys.home_of(peer, interval_start), (interval_start, 0))

    async def _give(self, history: History, slots_of_it: int, peer: str, frame: bytes) -> bytes:
        gate = read_slot_query(frame, self._chain_id, slots_of_it)
        home = self._keys.home_of(peer, gate[0])
        self._note(history, gate[0])
        return own(history, home, gate)

    async def _give_many(self, history: History, peer: str, frame: bytes) -> bytes:
        def read(data: bytes) -> bytes:
            query = open_message(
                data,
                chain_id=self._chain_id,
                kinds=(Kind.LINE_QUERY,),
                key_of=partial(self._keys.asks_with, signer_of(data)),
                limits=self._limits,
            )
            if not isinstance(query, LineQueryMessage):
                raise TypeError(f"a {type(query).__name__} passed the check of kinds")
            self._note(history, query.interval_start)
            slot = 0 if history is self._lines else query.slot
            return own(history, query.household, (query.interval_start, slot))

        opened = await read_each(peer, frame, self._chain_id, read, self._refused)
        entries = (coded(found) if isinstance(found, RemoteError) else found for _, found in opened)
        return encode(HandInReply(tuple(entries)))

    def _note(self, history: History, interval_start: int) -> None:
        if history is self._positions:
            self._on_question(interval_start)

    async def _give_result(self, _peer: str, frame: bytes) -> bytes:
        return look_up(self._results, (read_query(frame, self._chain_id), 0), lambda proof: proof)

    async def _give_tape(self, _peer: str, frame: bytes) -> bytes:
        query = read_tape_query(frame, self._chain_id, self._limits.rounds)
        self._on_question(query.interval_start)

        def page(pages: tuple[bytes, ...]) -> bytes | None:
            return pages[query.page] if 0 <= query.page < len(pages) else None

        return look_up(self._tapes, (query.interval_start, query.round), page)

    async def _give_closings(self, _peer: str, frame: bytes) -> bytes:
        gate = read_slot_query(frame, self._chain_id, slots(self._limits.rounds))
        return look_up(self._closings, gate, lambda closings: closings)
