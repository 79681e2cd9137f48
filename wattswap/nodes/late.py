"""What a home does about intervals that were settled without its reading: it gives that until its line shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import trio

from p2p.errors import BadProof, RemoteError
from p2p.ledger.light import Line
from p2p.ledger.versions import RING
from p2p.roles.household.carrier import NotTaken
from p2p.roles.household.member import Member
from p2p.wire.messages import HandedIn, ReadingMessage

LINE_S: Final = 10.0
"""How long a home waits for its line of a later version before it gives its reading again. [s]"""
END_ROUNDS: Final = 4
"""How often a home gives its readings after the last interval of a scenario, behind which no age follows."""


class LateReadings:
    """The readings of a home that no version of their intervals shows yet.

    Args:
        client: Its connection to collectors.
        account: Its place in the roster.
        read_line: Checks the proof of a line; raises a RemoteError for anything else.
        again_s: Pause before they are given again. [s]
        step_s: Length of an interval. [s]
    """

    def __init__(
        self,
        client: Member,
        account: int,
        read_line: Callable[[bytes], Line],
        again_s: float,
        step_s: int,
    ) -> None:
        self._client, self._account, self._read_line = client, account, read_line
        self._again_s, self._step_s = again_s, step_s
        self._waiting: dict[int, ReadingMessage] = {}

    @property
    def waiting(self) -> tuple[int, ...]:
        """Starts of the intervals. [s since 1970, UTC]"""
        return tuple(self._waiting)

    def note(self, said: Iterable[HandedIn], line: Line | None) -> None:
        """Give the reading among a home's messages of an interval from now on, unless its line, if any, shows it."""
        for message in said:
            if isinstance(message, ReadingMessage) and not (line is not None and shows(line, message)):
                self._waiting[message.interval_start] = message

    def drop_before(self, newest_s: int) -> None:
        """Give up what nobody settles again, where an interval is the newest one. [s]"""
        for start in [start for start in self._waiting if newest_s - start >= RING * self._step_s]:
            del self._waiting[start]

    async def run(self) -> None:
        """Give them until cancelled."""
        while True:
            await trio.sleep(self._again_s)
            await self._give()

    async def end(self) -> None:
        """Wait a little for those that are left, after the last interval of a scenario."""
        for _ in range(END_ROUNDS):
            if not self._waiting:
                return
            await trio.sleep(self._again_s)

    async def _give(self) -> None:
        if not self._waiting:
            return
        await self._client.give_late(list(self._waiting.values()))
        for start, reading in list(self._waiting.items()):
            line = None
            with trio.move_on_after(LINE_S):
                line = await self._line(start)
            if line is not None and shows(line, reading):
                self._waiting.pop(start, None)

    async def _line(self, start_s: int) -> Line | None:
        def read(proof: bytes) -> Line:
            line = self._read_line(proof)
            if (line.account, line.interval_start) != (self._account, start_s):
                raise BadProof("the proof is not of this home's meter and interval")
            return line

        try:
            return await self._client.line(start_s, read)
        except (NotTaken, RemoteError):
            return None


def shows(line: Line, reading: ReadingMessage) -> bool:
    """Whether a line has the registers of a reading, so that its leaf need not be asked for."""
    return (line.values["import_wh"], line.values["export_wh"]) == (reading.import_wh, reading.export_wh)
