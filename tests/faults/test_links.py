"""Links between validators that are cut: a minority waits, nobody forks, and all go on when the links are mended.

Nodes listen on 127.0.0.1 only and tell each other so, so an address that leads through a proxy would be bypassed.
Each validator gets a network namespace with a loopback of its own instead, in which a proxy has the address of
every other node and leads to it; the proxies can be cut.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kits.faults_kit import HOMES, OPERATOR, VALIDATORS, Town, town
from tests.kits.time_kit import stays, until_still
from wattswap.nodes.config import LOOPBACK

pytestmark = [pytest.mark.live, pytest.mark.slow]
CUT_S = 12.0
SETTLING_S = 2.0
"""How long what was decided before a cut may still arrive. [s]"""
NETNS = Path("/var/run/netns")
CLONE_NEWNET = 0x40000000
HERE = Path("/proc/self/ns/net")


def socket_in(space: Path, make: Callable[[], socket.socket]) -> socket.socket:
    """Make a socket in a network namespace: it stays there, whoever uses it."""
    made: Future[socket.socket] = Future()

    def enter() -> None:
        try:
            with space.open() as file:
                if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter {space}")
            made.set_result(make())
        except OSError as error:
            made.set_exception(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return made.result()


@dataclass
class Link:
    """What leads from the loopback of one namespace to a port in another one; it can be cut.

    While it is cut, open connections are broken and new ones are closed at once.
    """

    source: Path
    target: Path
    port: int
    is_cut: bool = False
    _open: set[socket.socket] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.listener = socket_in(self.source, lambda: socket.create_server((LOOPBACK, self.port)))
        threading.Thread(target=self._accept, daemon=True).start()

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
                far = socket_in(self.target, lambda: socket.create_connection((LOOPBACK, self.port), 5))
                far.settimeout(None)
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
    """Put each validator into a namespace of its own, with a link to and from everybody; skips where not allowed."""
    links: Links = {}
    with ExitStack() as stack:
        spaces = {name: stack.enter_context(namespace(f"ws{os.getpid()}-{name[-1]}")) for name in VALIDATORS}
        for name, space in spaces.items():
            place.prefixes[name] = ["ip", "netns", "exec", space.name]
        for source in (*VALIDATORS, OPERATOR):
            for target in (*VALIDATORS, OPERATOR):
                if source != target:
                    ways = spaces.get(source, HERE), spaces.get(target, HERE)
                    link = links[source, target] = Link(*ways, place.configs[target].listen.port)
                    stack.callback(link.close)
        try:
            yield links
        finally:
            place.take_down()


@contextmanager
def namespace(name: str) -> Iterator[Path]:
    """A network namespace with nothing but its loopback."""
    try:
        made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no network namespaces without the program ip, of the package iproute2")
    if made.returncode:
        pytest.skip(f"no network namespaces can be made here: {made.stderr.strip()}")
    try:
        up = ["ip", "netns", "exec", name, "ip", "link", "set", "lo", "up"]
        subprocess.run(up, check=True)
        yield NETNS / name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


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
        part(links, lambda a, b: OPERATOR in (a, b) or any({a, b} <= half for half in halves))

        def heights() -> list[int]:
            return [place.height(name) for name in VALIDATORS]

        before = until_still(heights, "every chain", SETTLING_S)
        stays(lambda: heights() == before, "no half decides a block", CUT_S)
        heal(links)
        place.finish()


def test_one_that_is_cut_off_waits_and_catches_up(tmp_path: Path) -> None:
    lonely = VALIDATORS[3]
    with town(tmp_path, 20) as place, linked(place) as links:
        place.start(*VALIDATORS, OPERATOR, *HOMES)
        place.wait_settled(2, lonely)
        part(links, lambda a, b: lonely not in (a, b))
        own = until_still(lambda: place.height(lonely), "the chain of the lonely one", SETTLING_S)
        common = place.height(VALIDATORS[0])
        stays(lambda: place.height(lonely) == own, "the lonely one decides no block", CUT_S)
        assert place.height(VALIDATORS[0]) > common
        heal(links)
        place.finish()
