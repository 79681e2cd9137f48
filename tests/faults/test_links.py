"""Links that are cut between validators or whole hosts: nobody forks, and nobody loses what validators have promised.

Nodes listen on 127.0.0.1 only and tell each other so, so an address that leads through a proxy would be bypassed.
Each validator gets a network namespace with a loopback of its own instead, in which a proxy has the address of
every other node and leads to it; the proxies can be cut.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import wattswap as ws
from p2p.batches.batch import batches
from p2p.batches.blob import open_blob
from p2p.roles.replica.blobs import FolderBlobs
from p2p.wire.messages import ReadingMessage, message_id
from tests.kits.faults_kit import HOMES, OPERATOR, TAKEOVER_S, VALIDATORS, Town, mend, town
from tests.kits.run_kit import MONEY
from tests.kits.time_kit import stays, until_still
from wattswap.nodes.assemble import assemble, take_over
from wattswap.nodes.config import LOOPBACK, load_config
from wattswap.nodes.node import JOURNAL_FILE
from wattswap.nodes.report import network_facts, write_network
from wattswap.nodes.stats import read_stats
from wattswap.runs.layout import BLOBS

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


# --- two hosts -------------------------------------------------------------------------------------------------

CLOCK_S = {"pace_s": 8.0, "gate_s": 2.6, "takeover_s": 1.0}
"""Of intervals that open by the clock, whether the one before is settled or not."""
BEGINS_S = 25.0
"""In how long the first one opens: all nodes are up by then. [s]"""
HOSTS_CUT_S = 20.0
INTERVALS = 9
LOOK_S = 0.1
FOUR, WITNESSES = 4, 2


def set_clock(place: Town) -> None:
    """Let intervals open by the clock."""
    begin_ms = round((time.time() + BEGINS_S) * 1_000)
    for name, config in list(place.configs.items()):
        mend(config, "begin_unix_ms = 0", f"begin_unix_ms = {begin_ms}")
        for key, seconds in CLOCK_S.items():
            before = TAKEOVER_S if key == "takeover_s" else getattr(config.clock, key)
            mend(config, f"{key} = {before}", f"{key} = {seconds}")
        place.configs[name] = load_config(config.folder)


class Promised:
    """What validators have promised, read from their journals again and again: they forget it when it is settled."""

    def __init__(self, place: Town) -> None:
        self._place, self._ended = place, threading.Event()
        self.by_message: dict[tuple[int, bytes], set[str]] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Promised:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_S):
            for name in VALIDATORS:
                path = self._place.data(name) / JOURNAL_FILE
                with (
                    suppress(sqlite3.OperationalError),
                    closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file,
                ):
                    rows = file.execute("SELECT interval_start, name FROM promises").fetchall()
                    for start_s, message in rows:
                        self.by_message.setdefault((start_s, bytes(message)), set()).add(name)

    def binding(self) -> set[tuple[int, bytes]]:
        """The messages that f + 1 validators have promised to include."""
        return {key for key, names in self.by_message.items() if len(names) >= WITNESSES}


def test_the_link_of_two_hosts_is_cut_and_nobody_loses_an_order_or_a_reading(tmp_path: Path) -> None:
    """Two validators on each host: none settles alone, and intervals open all the same."""
    far = set(VALIDATORS[2:])
    with town(tmp_path, INTERVALS) as place, linked(place) as links, Promised(place) as promised:
        set_clock(place)
        place.start(*VALIDATORS, OPERATOR, *HOMES)
        place.wait_settled(2, patience_s=90)
        part(links, lambda a, b: (a in far) == (b in far))

        def heights() -> list[int]:
            return [place.height(name) for name in VALIDATORS]

        before = until_still(heights, "every chain", SETTLING_S)
        stays(lambda: heights() == before, "no half decides a block", HOSTS_CUT_S - SETTLING_S)
        heal(links)
        for home in HOMES:
            assert place.end(home, 150) == 0, place.log(home)
        for name in (*VALIDATORS, OPERATOR):
            place.wait_settled(INTERVALS, name)
        place.stop(*VALIDATORS, OPERATOR)
        place.check_chains()
        setup = place.setup
        assert place.settled() == [setup.start_of(i) for i in range(INTERVALS)]
        take_over(setup, place.partial, [place.data(name) for name in (*VALIDATORS, OPERATOR)])
        blobs, found, orders = FolderBlobs(place.partial / BLOBS), set[tuple[int, bytes]](), 0
        for block, _ in place.blocks(VALIDATORS[0]):
            for _, args in batches(block.txs):
                blob = blobs.get(args.blob_hash)
                assert blob is not None
                messages = open_blob(blob, setup.genesis, setup.member_list).messages
                found |= {(args.interval_start, message_id(message)) for message in messages}
                orders += sum(not isinstance(message, ReadingMessage) for message in messages)
                metered = {message.household for message in messages if isinstance(message, ReadingMessage)}
                assert metered == set(HOMES), f"interval {args.interval_start}"
        binding = promised.binding()
        assert len(binding) >= FOUR * len(HOMES), "too few were seen, so the test shows little"
        assert not binding - found, "promised by f + 1 validators, and in no batch"
        assert orders >= len(HOMES) * (INTERVALS - 1), "homes order while the hosts are cut"
        lines = list(read_stats(config.data_path for config in place.configs.values()))
        facts = network_facts(list(place.configs.values()), lines, {})
        assert facts["broken_promises"] == facts["missed"] == 0
        write_network(place.partial, lines)
        result = assemble(setup, place.partial, time.time(), facts)
        bills = result.table("bills").set_index("household")
        assert (bills.loc[list(HOMES), ["import_wh", "export_wh"]].sum(axis=1) > 0).all()
        assert (bills.loc[list(HOMES), MONEY].sum(axis=1) != 0).all()
        assert ws.verify(result.path)["checks"]["messages"]
