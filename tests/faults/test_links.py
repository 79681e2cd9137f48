"""Links between validators that are cut: a minority waits, nobody forks, and all go on when the links are mended.

Nodes listen on loopback only, so network namespaces would part them for good; a small proxy on every link parts them
instead. Each validator knows the others by the addresses of its own proxies.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from faults_kit import HOMES, OPERATOR, VALIDATORS, Town, mend, town

from wattswap.nodes.config import LOOPBACK

pytestmark = [pytest.mark.live, pytest.mark.slow]
CUT_S = 12.0


@dataclass
class Link:
    """A TCP proxy to one port that can be cut: open connections break and new ones are refused."""

    target: int
    is_cut: bool = False
    listener: socket.socket = field(default_factory=lambda: socket.create_server((LOOPBACK, 0)))
    _open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self.listener.getsockname()[1]
        return port

    def cut(self) -> None:
        """Break what is open, and whatever comes."""
        self.is_cut = True
        for one in list(self._open):
            _shut(one)

    def mend(self) -> None:
        """Let connections through again."""
        self.is_cut = False

    def close(self) -> None:
        """Cut it for good."""
        self.cut()
        _shut(self.listener)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.is_cut:
                    raise ConnectionRefusedError
                far = socket.create_connection((LOOPBACK, self.target))
            except OSError:
                near.close()
                continue
            self._open |= {near, far}
            if self.is_cut:
                self.cut()
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass
        _shut(source)
        _shut(sink)
        self._open -= {source, sink}


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


Links = dict[tuple[str, str], Link]


@contextmanager
def linked(place: Town) -> Iterator[Links]:
    """A proxy on every link between two validators, each way."""
    links: Links = {}
    with ExitStack() as stack:
        for name in VALIDATORS:
            for other in VALIDATORS:
                if other != name:
                    port = place.configs[other].listen.port
                    link = links[name, other] = Link(port)
                    stack.callback(link.close)
                    mend(place.configs[name], f"/tcp/{port}/p2p/", f"/tcp/{link.port}/p2p/")
        yield links


def part(links: Links, together: Callable[[str, str], bool]) -> None:
    """Cut every link between two that are not together."""
    for pair, link in links.items():
        if not together(*pair):
            link.cut()


def heal(links: Links) -> None:
    """Mend every link."""
    for link in links.values():
        link.mend()


def test_two_halves_halt_and_go_on_together_after_the_cut(tmp_path: Path) -> None:
    halves = [set(VALIDATORS[:2]), set(VALIDATORS[2:])]
    with town(tmp_path, 8) as place, linked(place) as links:
        place.start(*VALIDATORS, OPERATOR, *HOMES)
        place.wait_settled(2)
        part(links, lambda a, b: any({a, b} <= half for half in halves))
        time.sleep(2.0)  # what was decided already may still arrive
        before = [place.height(name) for name in VALIDATORS]
        time.sleep(CUT_S)
        assert [place.height(name) for name in VALIDATORS] == before
        heal(links)
        place.finish()


def test_one_that_is_cut_off_waits_and_catches_up(tmp_path: Path) -> None:
    lonely = VALIDATORS[3]
    with town(tmp_path, 20) as place, linked(place) as links:
        place.start(*VALIDATORS, OPERATOR, *HOMES)
        place.wait_settled(2, lonely)
        part(links, lambda a, b: lonely not in (a, b))
        time.sleep(2.0)
        own, common = place.height(lonely), place.height(VALIDATORS[0])
        time.sleep(CUT_S)
        assert place.height(VALIDATORS[0]) > common
        assert place.height(lonely) == own
        heal(links)
        place.finish()


def test_addresses_of_validators_are_those_of_their_proxies(tmp_path: Path) -> None:
    with town(tmp_path, 1) as place, linked(place) as links:
        for name in VALIDATORS:
            text = (place.configs[name].folder / "config.toml").read_text(encoding="utf-8")
            known = {int(port) for port in re.findall(r"/tcp/(\d+)/p2p/", text)}
            assert known >= {links[name, other].port for other in VALIDATORS if other != name}
            assert not known & {place.configs[other].listen.port for other in VALIDATORS}
