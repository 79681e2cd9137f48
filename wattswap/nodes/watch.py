"""What a node's owner should know: a clock apart, which validators do not answer, and what was refused.

One line an event, and one when it is over; a node that is well is quiet.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from statistics import median
from typing import Final

import trio

from market.errors import counted
from p2p.errors import P2PError
from p2p.roles.replica.status import ask_status, offset_ms
from p2p.transports.base import Transport, peer_id_of
from wattswap.nodes.config import NodeConfig, Peer

APART_MS: Final = 1_000
"""From which offset on a clock is apart: gates are open for seconds. [ms]"""
ASK_S: Final = 2.0
"""How long a peer may take to answer. [s]"""
WELL_PACES: Final = 4
"""A node that is well asks in one of so many intervals."""
MISSES: Final = 3
"""Questions in a row without an answer after which a validator is away.

One that was busy or was started again may leave two: the second meets the stream of before.
"""
LEAST_S, MOST_S = 1.0, 60.0
"""Shortest and longest time between two questions. [s]"""

_log = logging.getLogger(__name__)


class Watch:
    """Asks validators for their clocks: all of them at first, later one of them in some intervals.

    Args:
        config: Of the node.
        now_ms: Its clock. [ms since 1970, UTC]
    """

    def __init__(
        self, config: NodeConfig, transport: Transport, chain_id: bytes, now_ms: Callable[[], int]
    ) -> None:
        self._config, self._transport, self._chain_id, self._now_ms = config, transport, chain_id, now_ms
        self._validators = [peer for peer in config.peers if peer.role == "validator"]
        self._names = {peer_id_of(peer.key): peer.name for peer in config.peers}
        self._offsets_ms: dict[str, int] = {}
        self._misses: Counter[str] = Counter()
        self._away: set[str] = set()
        self._said_ms: int | None = None
        self._is_cut_off = False
        transport.stats.refused.on_first = self._say_refused

    async def run(self) -> None:
        """Watch until cancelled."""
        pause_s = min(max(self._config.clock.pace_s, LEAST_S), MOST_S)
        for turn in count():
            await trio.sleep(pause_s)
            few = len(self._offsets_ms) < min(len(self._validators), 3)
            for peer in self._validators if few else self._in_turn(turn):
                await self._ask(peer)
            self._say_clock()
            self._say_cut_off()
            self._say_away()
            if not few and not self._misses and self._said_ms is None:
                await trio.sleep((WELL_PACES - 1) * pause_s)

    def _in_turn(self, turn: int) -> list[Peer]:
        return self._validators[turn % max(len(self._validators), 1) :][:1]

    async def _ask(self, peer: Peer) -> None:
        self._misses[peer.name] += 1
        with trio.move_on_after(ASK_S), suppress(P2PError):
            name = await self._transport.connect(peer.address)
            asked_ms = self._now_ms()
            status = await ask_status(self._transport, name, self._chain_id)
            self._offsets_ms[peer.name] = offset_ms(status, asked_ms, self._now_ms())
            del self._misses[peer.name]

    def _say_clock(self) -> None:
        """Say that the clock is apart, or is no more; a single wrong validator does not matter to the median."""
        if not self._offsets_ms:
            return
        ahead_ms = -round(median(self._offsets_ms.values()))
        if abs(ahead_ms) < APART_MS:
            if self._said_ms is not None:
                _log.warning("%s: the clock is right again", self._config.name)
            self._said_ms = None
        elif self._said_ms is None or abs(ahead_ms - self._said_ms) > APART_MS:
            self._said_ms = ahead_ms
            where = "behind" if ahead_ms < 0 else "ahead of"
            _log.warning(
                "%s: the clock is %.1f s %s that of %s, so its messages come too %s;"
                " set it, for example by NTP",
                self._config.name,
                abs(ahead_ms) / 1_000,
                where,
                counted(len(self._offsets_ms), "validator"),
                "late" if ahead_ms < 0 else "early",
            )

    def _say_cut_off(self) -> None:
        cut_off = bool(self._validators) and len(self._misses) == len(self._validators)
        if cut_off != self._is_cut_off:
            self._is_cut_off = cut_off
            count = len(self._validators)
            if count == 1:
                words = "cut off: its only validator does not answer" if cut_off else "its validator answers"
            else:
                words = f"{'cut off: none' if cut_off else 'one'} of {count} validators answers"
            _log.warning("%s: %s", self._config.name, words)

    def _say_away(self) -> None:
        """Say which validators do not answer, and which do again; while none answers, one line says it of all."""
        if self._is_cut_off:
            return
        long = {name for name, misses in self._misses.items() if misses >= MISSES}
        for name in sorted(long - self._away):
            self._away.add(name)
            _log.warning("%s: %s does not answer", self._config.name, name)
        for name in sorted(self._away - self._misses.keys()):
            self._away.remove(name)
            _log.warning("%s: %s answers again", self._config.name, name)

    def _say_refused(self, peer: str, code: str, detail: str) -> None:
        if code in QUIET:
            return
        _log.warning(
            "%s: refused from %s: %s: %s", self._config.name, self._names.get(peer, peer), code, detail
        )


QUIET: Final = frozenset({"stale", "gate_open", "not_in_turn", "not_due"})
"""Refusals that honest nodes cause when they are a moment apart."""
