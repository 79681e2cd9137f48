"""What somebody may have changed in the folder of a live run, the manifest to match: verify names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import wattswap as ws
from agents.bidding import Orders
from p2p.batches.closings import Closing
from p2p.blocks.genesis import read_genesis, write_genesis
from p2p.blocks.members import MemberFile
from p2p.errors import P2PError
from p2p.roles.replica.schedule import Schedule
from p2p.wire.codec import decode, encode
from p2p.wire.messages import Kind, NothingMessage, OrderMessage, ReadingMessage, Signed, household_of
from tests.kits.run_kit import FIRST
from tests.kits.town_kit import playing
from tests.wattswap.runs.test_verify import cell, match_manifest, rewrite
from wattswap.errors import WattswapError
from wattswap.nodes import collector
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.home import Home
from wattswap.nodes.live import Topology, run_live
from wattswap.results import RunResult
from wattswap.runs.prepare import Setup

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
ABSENT = [f"{DAYLIGHT_S} home-2"]


def lived(street: Path, out: Path, **options: object) -> RunResult:
    """Three intervals in memory."""
    return run_live(
        ws.load(street),
        topology=Topology(gate_s=2.0) if options else Topology(),
        intervals=3,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    )


@pytest.fixture(scope="module")
def honest(street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run in which all was well."""
    return lived(street, tmp_path_factory.mktemp("live"))


@pytest.fixture
def copy(honest: RunResult, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(honest.path, tmp_path / honest.path.name)


def claim(run: Path, **entries: object) -> None:
    """Change entries of the manifest; those of `network` by a mapping."""
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    for name, value in entries.items():
        manifest[name] = manifest[name] | value if isinstance(value, dict) else value
    path.write_text(json.dumps(manifest))


def found_wrong(run: Path) -> str:
    """The sentence with which verify refuses."""
    with pytest.raises((WattswapError, P2PError)) as caught:
        ws.verify(run)
    return str(caught.value)


def forge_metrics(run: Path) -> None:
    """Report more trade than there was."""
    path = run / "metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"traded_kwh": metrics["traded_kwh"] + 1}, indent=1) + "\n")
    match_manifest(run, path.name)


FORGED: dict[str, Callable[[Path], None]] = {
    "bills.parquet": lambda run: rewrite(run, "bills", cell("retail_nano", 1)),
    "intervals.parquet": lambda run: rewrite(run, "intervals", cell("welfare_nano", 1)),
    "orders.parquet": lambda run: rewrite(run, "orders", cell("limit_micro_per_kwh", 0)),
    "readings.parquet": lambda run: rewrite(run, "readings", cell("stored_wh", 3)),
    "metrics.json": forge_metrics,
}


@pytest.mark.parametrize("name", FORGED)
def test_a_home_said_to_be_absent_does_not_switch_the_comparison_off(name: str, copy: Path) -> None:
    FORGED[name](copy)
    claim(copy, network={"silent": ABSENT})
    assert f"{copy / name}: " in found_wrong(copy)


@pytest.mark.parametrize("key", ["seed", "mechanism", "replay_sha256", "imbalance", "homes"])
def test_nor_is_the_manifest_taken_on_trust(key: str, copy: Path) -> None:
    claim(copy, network={"silent": ABSENT}, **{key: 99 if key in ("seed", "homes") else "other"})
    assert f"manifest.json: says {key}" in found_wrong(copy)


@pytest.mark.parametrize("entry", [{"id": "0" * 64}, {"blocks": 2}, {"authorities": 25}, {"more": 1}])
def test_what_the_manifest_says_of_the_chain_is_that_of_the_chain(
    entry: dict[str, object], copy: Path
) -> None:
    claim(copy, chain=entry)
    assert "manifest.json: says chain" in found_wrong(copy)


@pytest.mark.parametrize("network", [None, [], "x", 5, True])
def test_a_network_that_is_no_object_is_refused_in_a_sentence(network: object, copy: Path) -> None:
    claim(copy, network=network)
    assert "manifest.json: is damaged: network must be an object" in found_wrong(copy)


@pytest.mark.parametrize("silent", [None, 5, True, "home-2", {"home-2": 3}])
def test_absent_homes_that_are_no_list_are_refused_in_a_sentence(silent: object, copy: Path) -> None:
    claim(copy, network={"silent": silent})
    assert "manifest.json: is damaged: network.silent must be a list" in found_wrong(copy)


def test_a_reading_that_is_not_that_of_the_meter_is_found_though_a_home_is_said_to_be_absent(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a simulation all keys can be guessed: whoever makes the messages up signs them, too."""
    true = Home._reading

    def more(self: Home, *arguments: Any) -> ReadingMessage:
        message = true(self, *arguments)
        return msgspec.structs.replace(message, import_wh=message.import_wh + 500 * (self.index == 0))

    with monkeypatch.context() as patch:
        patch.setattr(Home, "_reading", more)
        run = lived(street, tmp_path).path
    claim(run, network={"silent": ABSENT})
    assert "the reading of home-1 is not the one to which its data lead" in found_wrong(run)


def test_nor_is_an_order_that_no_home_would_give(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Setup.message

    def cheaper(self: Setup, home: int, start_s: int, orders: Orders) -> OrderMessage | NothingMessage:
        message = true(self, home, start_s, orders)
        if isinstance(message, NothingMessage):
            return message
        line = message.orders[0]
        line = msgspec.structs.replace(line, limit_micro_per_kwh=line.limit_micro_per_kwh - 7 * (home == 2))
        return msgspec.structs.replace(message, orders=(line,))

    with monkeypatch.context() as patch:
        patch.setattr(Setup, "message", cheaper)
        run = lived(street, tmp_path).path
    claim(run, network={"silent": ABSENT})
    assert "the order of home-3 is not the one to which its data lead" in found_wrong(run)


def test_a_run_in_which_a_home_was_absent_verifies(street: Path, tmp_path: Path) -> None:
    checks = ws.verify(lived(street, tmp_path, absent=["home-2"]).path)["checks"]
    assert "left out: homes were absent 3 times" in checks["again"]
    assert "tables and metrics follow from the signed messages" in checks["messages"]


def change_members(run: Path, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
    """Write other homes into the list beside the genesis."""
    path = run / "members.bin"
    found = decode(MemberFile, path.read_bytes())
    path.write_bytes(encode(msgspec.structs.replace(found, members=change(found.members))))
    match_manifest(run, path.name)


@pytest.mark.parametrize(
    "change",
    [
        lambda homes: homes[:-1],
        lambda homes: homes[::-1],
        lambda homes: (*homes, homes[0]),
        lambda homes: (homes[0], homes[0], homes[2]),
        lambda homes: tuple(msgspec.structs.replace(home, key=bytes(32)) for home in homes),
        lambda homes: (msgspec.structs.replace(homes[0], to_s=DAYLIGHT_S), *homes[1:]),
    ],
)
def test_other_homes_beside_the_genesis_are_refused(change: Any, copy: Path) -> None:
    change_members(copy, change)
    assert "members.bin: it is not the list of homes that the genesis commits to" in found_wrong(copy)


def test_nor_does_a_genesis_of_those_homes_help(copy: Path) -> None:
    change_members(copy, lambda homes: homes[::-1])
    genesis = read_genesis(copy / "genesis.bin")
    write_genesis(copy / "genesis.bin", msgspec.structs.replace(genesis, members_root=bytes(32)))
    match_manifest(copy, "genesis.bin")
    assert "chain" in found_wrong(copy)


@pytest.mark.parametrize("gone", ["members.bin", "network.parquet", "blobs"])
def test_what_a_live_run_must_have_is_named_where_it_is_missing(gone: str, copy: Path) -> None:
    path = copy / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    names = sorted(copy.iterdir())
    assert f"{path}: is missing" in found_wrong(copy)
    assert sorted(copy.iterdir()) == names


def test_a_blob_that_is_missing_or_of_another_interval_is_named(copy: Path) -> None:
    first, second, _ = sorted((copy / "blobs").iterdir())
    second.write_bytes(first.read_bytes())
    assert "is missing or damaged" in found_wrong(copy)
    second.unlink()
    assert "is missing or damaged" in found_wrong(copy)


def test_a_live_run_that_calls_itself_in_process_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["network"]
    manifest |= {"driver": "in process", "signed": False}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    found_wrong(copy)
    for name in ("members.bin", "network.parquet"):
        (copy / name).unlink()
        del manifest["files"][name]
    shutil.rmtree(copy / "blobs")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "chain" in found_wrong(copy)


# --- a chain whose validators did not check what must be closed -----------------------------------------------


def test_a_batch_that_lacks_messages_without_a_quorum_of_closings_is_found(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closings of the first round are taken out of the blob, and all validators vote for it all the same."""
    needed = CollectorLoop._needed

    def too_few(loop: CollectorLoop, *arguments: Any) -> list[Closing]:
        closings = needed(loop, *arguments)
        first = [closing for closing in closings if closing.slot == 0]
        assert len(first) >= 3
        return [closing for closing in closings if closing not in first[2:]]

    with monkeypatch.context() as patch:
        patch.setattr(CollectorLoop, "_needed", too_few)
        patch.setattr(Schedule, "check_lacking", lambda *_: None)
        patch.setattr("wattswap.nodes.assemble.check_closers", lambda *_: None)
        run = lived(street, tmp_path, absent=["home-2"]).path
    wrong = found_wrong(run)
    assert f"interval {DAYLIGHT_S}: 2 of 4 validators have closed a slot that lacks messages; 3 must" in wrong


def test_a_batch_without_a_message_that_a_closing_in_it_promises_is_found(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator leaves out an order, and all validators vote for the batch all the same."""
    make = collector.make_blob

    def without_one(roster: Any, start_s: int, secret: bytes, signed: Any, *more: Any) -> bytes:
        kept = [data for data in signed if household_of(data) != "home-3" or kind_of(data) == Kind.READING]
        return make(roster, start_s, secret, kept, *more)

    def kind_of(data: bytes) -> int:
        return decode(Signed, data).kind

    async def quiet(*_: object) -> bool:
        return True

    with monkeypatch.context() as patch:
        patch.setattr(collector, "make_blob", without_one)
        patch.setattr(BatchChecker, "closed", lambda *_: ())
        patch.setattr(Home, "_is_kept", quiet)
        run = lived(street, tmp_path, absent=["home-2"]).path
    assert "home 2, slot 0: a closing of the batch promises its message" in found_wrong(run)
