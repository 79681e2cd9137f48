"""A chain module in one third-party file: described, called and shown by the command line."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import wattswap as ws
from p2p.blocks.block import Tx
from p2p.ledger.store import ChainStore
from p2p.roles.validator.mempool import TX_PROTOCOL, TxReply
from p2p.transports.base import Transport
from p2p.transports.memory import MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity, save_key_file
from tests.extension_points import KINDS
from tests.kits.modules_kit import OPERATORS, STRANGER, Chain, make_genesis
from tests.kits.plugin_kit import own_registries, written
from tests.kits.run_kit import Outcome, call, one_object, refused
from tests.kits.validator_kit import address
from wattswap.errors import InvalidData, UsageError, VerificationFailed
from wattswap.nodes.status import Target
from wattswap.nodes.transactions import send
from wattswap.plugins import import_file
from wattswap.results import RunResult

Capture = pytest.CaptureFixture[str]
ARGS = json.dumps({"text": b"hello".hex()})


class Place:
    """A folder with a chain that names the module `notes`, the module's file, and keys."""

    def __init__(self, folder: Path) -> None:
        (example,) = KINDS["chain-modules"].examples
        self.module = written(folder, example.file, example.text)
        import_file(self.module)
        self.chain = Chain(make_genesis(modules=("notes",)))
        self.run, self.key, self.stranger = folder / "run", folder / "operator.key", folder / "stranger.key"
        self.run.mkdir()
        self.genesis = self.run / "genesis.bin"
        self.genesis.write_bytes(encode(self.chain.genesis))
        ChainStore.create(self.run / "chain.db", self.chain.genesis).close()
        save_key_file(self.key, OPERATORS[0])
        save_key_file(self.stranger, STRANGER)

    def tx(
        self, capsys: Capture, out: Path, *more: object, method: str = "write", **options: object
    ) -> Outcome:
        """Call `chain tx notes METHOD`, by default with everything it needs."""
        given = {"args": ARGS, "key": self.key, "out": out, "module": self.module} | options
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        return call(capsys, "chain", "tx", "notes", method, *words, *more)

    def add(self, data: bytes) -> None:
        """Put a transaction into the next block, which goes to the disk."""
        self.chain.add([decode(Tx, data)])
        with ChainStore.open(self.run / "chain.db") as store:
            store.append(*self.chain.made[-1])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with own_registries(monkeypatch):
        yield Place(tmp_path)


def test_a_module_in_one_file_is_described_called_and_shown(
    place: Place, tmp_path: Path, capsys: Capture
) -> None:
    facts = one_object(call(capsys, "chain", "describe", "notes", "--module", place.module, "--json"))
    assert facts["methods"]["write"]["args"] == {"text": "hex"}
    told = call(capsys, "chain", "describe", "notes", "--module", place.module).out
    assert "write(text: hex)  Write the note. operator" in told
    assert "note_long  A note has at most 140 bytes." in told

    for height, (nonce, args) in enumerate(((1, ARGS), (2, f"@{tmp_path / 'args.json'}")), 1):
        written(tmp_path, "args.json", ARGS)
        out = tmp_path / f"{nonce}.tx"
        made = one_object(place.tx(capsys, out, "--run", place.run, "--json", args=args))
        assert (made["nonce"], made["valid_until"]) == (nonce, height - 1 + 100)
        assert made["sender"] == OPERATORS[0].public_key.hex()
        place.add(out.read_bytes())

    state = one_object(call(capsys, "chain", "state", place.run, "notes", "--module", place.module, "--json"))
    note = {"entry": "The note.", "value": b"hello".hex()}
    assert state == {"module": "notes", "height": 2, "entries": [note]}
    shown = call(capsys, "chain", "state", place.run, "notes").out
    assert shown == "notes at height 2: 1 entry\n\nThe note.\n  value  68656c6c6f\n"
    with_key = call(capsys, "chain", "state", place.run, "accounts").out
    assert re.search(rf"^  sender +{OPERATORS[0].public_key.hex()}$", with_key, re.MULTILINE)


def test_a_transaction_is_built_from_the_genesis_alone(place: Place, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "one.tx"
    refused(place.tx(capsys, out, "--genesis", place.genesis), 2, "--nonce", "--valid-until", "is needed")
    more = ("--genesis", place.genesis, "--nonce", 1, "--valid-until", 7)
    assert place.tx(capsys, out, *more).code == 0
    place.add(out.read_bytes())
    refused(place.tx(capsys, out, *more), 3, "exists already")


def test_what_the_chain_would_refuse_says_which_option_to_change(
    place: Place, tmp_path: Path, capsys: Capture
) -> None:
    out, run = tmp_path / "one.tx", ("--run", place.run)
    assert place.tx(capsys, out, *run).code == 0
    place.add(out.read_bytes())
    again = tmp_path / "again.tx"
    refused(place.tx(capsys, again, *run, "--nonce", 1), 5, "tx_nonce", "give another --nonce")
    refused(place.tx(capsys, again, *run, "--valid-until", 1), 5, "tx_expired", "give a later --valid-until")
    joins = {"action": 6, "key": "11" * 32, "proof": "00" * 64, "expiry_height": 9}
    words = ("--args", json.dumps(joins), "--key", place.key, "--out", again, "--genesis", place.genesis)
    outcome = call(
        capsys, *("chain", "tx", "governance", "propose_operator"), *words, "--nonce", 2, "--valid-until", 9
    )
    refused(outcome, 5, "key_proof", "make the proof by `chain possession` with the genesis of this chain")


def test_what_is_wrong_is_said_at_once_and_nothing_is_written(
    place: Place, tmp_path: Path, capsys: Capture
) -> None:
    out, run = tmp_path / "one.tx", ("--run", place.run)
    refused(place.tx(capsys, out, *run, method="writee"), 2, "has no method 'writee'", "did you mean 'write'")
    wrong = place.tx(capsys, out, *run, args='{"txt": 1}')
    refused(wrong, 2, "2 problems", "txt is not an argument. Did you mean 'text'?", "text is missing")
    refused(place.tx(capsys, out, *run, args="{"), 2, "is not JSON")
    refused(place.tx(capsys, out, *run, args="@nowhere.json"), 2, "cannot be read")
    refused(place.tx(capsys, out, *run, args=json.dumps({"text": "00" * 141})), 5, "note_long")
    refused(place.tx(capsys, out, *run, key=place.stranger), 5, "tx_role", "sign with another key")
    refused(place.tx(capsys, out, *run, key=tmp_path / "no.key"), 3, "cannot be read")
    refused(place.tx(capsys, out, *run, "--valid-until", 2**63), 2, "beyond 64 bits")
    refused(place.tx(capsys, out), 2, "give either --run or --genesis")
    refused(call(capsys, "chain", "state", place.run, "nots"), 2, "no module 'nots'", "did you mean 'notes'")
    refused(call(capsys, "chain", "describe", "metres"), 2, "Did you mean 'meters'?")
    refused(call(capsys, "chain", "describe"), 2, "MODULE: is missing; known: accounts, evidence, governance")
    refused(call(capsys, "chain", "state", place.run), 2, "MODULE: is missing; known: accounts", "notes")
    assert not out.exists()


def test_a_module_that_the_genesis_names_and_nobody_brought(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from p2p.ledger.module import CHAIN_MODULES

    CHAIN_MODULES.forget("notes")
    refused(call(capsys, "chain", "state", place.run, "meters"), 3, "chain module 'notes'", "--module")


def test_the_state_of_a_finished_run_is_shown(finished: RunResult, capsys: Capture) -> None:
    state = one_object(call(capsys, "chain", "state", finished.path, "settlement", "--json"))
    assert state["height"] == 48
    assert state["entries"]


def test_a_transaction_is_sent_to_the_validators(place: Place, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "one.tx"
    assert place.tx(capsys, out, "--run", place.run).code == 0
    validators = [Identity.from_seed(bytes([i]) * 32) for i in (1, 2, 3)]
    targets = [Target(f"validator-{i}", "validator", address(key)) for i, key in enumerate(validators)]
    answers = {0: "tx_nonce", 1: ""}
    got: list[bytes] = []

    @asynccontextmanager
    async def opened(identity: Identity) -> AsyncIterator[Transport]:
        network = MemoryNetwork()
        async with (
            network.endpoint(validators[0]) as zero,
            network.endpoint(validators[1]) as one,
            network.endpoint(identity) as own,
        ):
            for endpoint, code in ((zero, answers[0]), (one, answers[1])):

                async def answer(_peer: str, data: bytes, code: str = code) -> bytes:
                    got.append(data)
                    return encode(TxReply(1, code, "a sentence"))

                endpoint.serve(TX_PROTOCOL, answer)
            yield own

    assert send(out.read_bytes(), targets, opened).code == ""
    assert got == [out.read_bytes()] * 2
    answers[1] = "tx_nonce"
    with pytest.raises(VerificationFailed, match="tx_nonce: a sentence"):
        send(out.read_bytes(), targets, opened)
    with pytest.raises(VerificationFailed, match="no validator answers"):
        send(out.read_bytes(), targets[2:], opened)
    with pytest.raises(UsageError, match="names no validator"):
        send(out.read_bytes(), [], opened)
    with pytest.raises(InvalidData, match="is not a transaction"):
        send(b"x", targets, opened)


def test_a_scenario_names_the_modules_of_its_chain(place: Place, street: Path) -> None:
    from wattswap.errors import InvalidScenario
    from wattswap.runs.prepare import prepare

    plain = ws.load(street)
    assert "modules" not in plain.resolved()["chain"]
    with_notes = ws.load(street, overrides=['chain.modules=["notes"]'])
    assert with_notes.digest() != plain.digest()
    assert prepare(with_notes).genesis.modules == ("notes",)
    with pytest.raises(InvalidScenario, match="no chain module to add 'note'; did you mean 'notes'"):
        ws.load(street, overrides=['chain.modules=["note"]'])
    with pytest.raises(InvalidScenario, match="no chain module to add 'meters'"):
        ws.load(street, overrides=['chain.modules=["meters"]'])
