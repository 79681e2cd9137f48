"""Proofs of broken promises on the command line: checked offline, and put before a chain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.batches.closings import Promised
from p2p.blocks.block import Tx
from p2p.blocks.genesis import Genesis
from p2p.blocks.possession import NO_KEY
from p2p.ledger.modules.accounts import RotateArgs
from p2p.ledger.modules.governance import ADD_OPERATOR, OperatorArgs
from p2p.ledger.store import ChainStore
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity, save_key_file
from tests.kits.chain_kit import OPERATOR, START, authorities
from tests.kits.modules_kit import STRANGER, Chain
from tests.kits.proofs_kit import HOME, broken_promise, omission, two_batches
from tests.kits.run_kit import Outcome, call, one_object, refused
from tests.kits.signed_kit import RIVAL, keyed_genesis
from wattswap.runs.chain_reader import stamp

Capture = pytest.CaptureFixture[str]
MEMBERS, VALIDATOR = 4, authorities(4)[1]
GENESIS = keyed_genesis(MEMBERS)


class Place:
    """A folder with a chain, keys, and proofs in files."""

    def __init__(self, folder: Path, genesis: Genesis = GENESIS) -> None:
        self.folder, self.chain, self.run = folder, Chain(genesis), folder / "run"
        self.run.mkdir()
        self.genesis = self.run / "genesis.bin"
        self.genesis.write_bytes(encode(genesis))
        ChainStore.create(self.run / "chain.db", genesis).close()
        self.key = self.key_of("rival", RIVAL)

    def key_of(self, name: str, identity: Identity) -> Path:
        path = self.folder / f"{name}.key"
        save_key_file(path, identity)
        return path

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path

    def batches(self, *txs: Tx) -> list[Path]:
        return [self.file(f"batch-{number}", tx.raw) for number, tx in enumerate(txs)]

    def accuse(self, capsys: Capture, *files: Path, **more: object) -> Outcome:
        options = {"key": self.key, "run": self.run, "out": self.folder / "evidence.tx"} | more
        words = [
            word for name, value in options.items() if value is not None for word in (f"--{name}", value)
        ]
        return call(capsys, "chain", "accuse", *files, *words)

    def check(self, capsys: Capture, *files: Path) -> Outcome:
        return call(capsys, "chain", "check-omission", *files, "--genesis", self.genesis)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("proof", "who", "what"),
    [
        (omission(GENESIS, OPERATOR), f"operator {OPERATOR.public_key.hex()}", "its batch lacks"),
        (omission(GENESIS, VALIDATOR), f"validator {VALIDATOR.public_key.hex()}", "its batch lacks"),
        (broken_promise(GENESIS, VALIDATOR), f"validator {VALIDATOR.public_key.hex()}", "its closing lacks"),
        (
            omission(GENESIS, STRANGER),
            f"a key that the genesis does not name: {STRANGER.public_key.hex()}",
            "its batch lacks",
        ),
    ],
)
def test_a_proof_names_the_office_the_key_and_what_was_broken(
    proof: bytes, who: str, what: str, place: Place, capsys: Capture
) -> None:
    file = place.file("proof.bin", proof)
    outcome = place.check(capsys, file)
    assert outcome.code == 0
    first, second, _ = outcome.out.splitlines()
    assert first == f"broken promise of {who}"
    assert what in second
    assert f"home {HOME}, interval {stamp(START)}" in outcome.out
    facts = one_object(call(capsys, "chain", "check-omission", file, "--genesis", place.genesis, "--json"))
    assert (facts["household"], facts["interval"], facts["convicted"]) == (HOME, stamp(START), True)
    assert facts["role"] == (None if "does not name" in who else who.split()[0])


def test_two_batches_are_checked_together(place: Place, capsys: Capture) -> None:
    outcome = place.check(capsys, *place.batches(*two_batches(GENESIS, OPERATOR)))
    assert outcome.code == 0
    assert "it signed two different batches of the interval" in outcome.out
    assert "home" not in outcome.out


def test_what_convicts_nobody_says_why(place: Place, capsys: Capture) -> None:
    kept = place.file("kept.bin", broken_promise(GENESIS, VALIDATOR, promised=(Promised(HOME, 4),)))
    refused(place.check(capsys, kept), 5, "the promise was kept", "it convicts nobody")
    first, second = two_batches(GENESIS, OPERATOR)
    again = batch_tx(OPERATOR, GENESIS.chain_id, 9, 200, decode(BatchArgs, first.args))
    refused(place.check(capsys, *place.batches(first, again)), 5, "the batches are the same")
    other = two_batches(GENESIS, RIVAL)[0]
    refused(place.check(capsys, *place.batches(second, other)), 5, "of different keys or intervals")


def test_a_proof_of_another_chain_names_both_chains(place: Place, capsys: Capture) -> None:
    """Of a genesis with other homes too, where the path to the home fails as well."""
    here = GENESIS.chain_id.hex()[:16]
    for other in (keyed_genesis(MEMBERS, "another street"), keyed_genesis(MEMBERS + 9)):
        there = other.chain_id.hex()[:16]
        proofs = [omission(other, OPERATOR), broken_promise(other, VALIDATOR)]
        files = [[place.file(f"elsewhere-{n}.bin", proof)] for n, proof in enumerate(proofs)]
        for given in (*files, place.batches(*two_batches(other, OPERATOR))):
            hint = f"it convicts nobody: the genesis is that of another chain, {here}"
            refused(place.check(capsys, *given), 5, f"of chain {there}", hint)
            refused(place.accuse(capsys, *given), 5, f"of chain {there}", hint)


def test_a_signature_that_fails_hints_at_the_genesis(place: Place, capsys: Capture) -> None:
    first, second = two_batches(GENESIS, OPERATOR)
    forged = msgspec.structs.replace(second, signature=first.signature)
    refused(
        place.check(capsys, *place.batches(first, forged)),
        5,
        "does not verify",
        f"perhaps the genesis is that of another chain, {GENESIS.chain_id.hex()[:16]}",
    )


def test_an_error_names_its_own_command(place: Place, capsys: Capture) -> None:
    proof = place.file("proof.bin", omission(GENESIS, OPERATOR))
    alone = {"run": None, "genesis": place.genesis, "valid-until": 9}
    refused(place.accuse(capsys, proof, **alone, nonce=2**63), 2, "Error: chain accuse: a nonce or height")


def test_a_file_that_is_no_proof_says_what_is_wanted(place: Place, capsys: Capture) -> None:
    junk = place.file("junk.bin", b"junk")
    (batch,) = place.batches(two_batches(GENESIS, OPERATOR)[0])
    call_of = place.chain.tx(RIVAL, "evidence.omission", OperatorArgs(ADD_OPERATOR, b"", b"", 1))
    transaction = place.file("other.tx", call_of.raw)
    refused(place.check(capsys, junk), 3, "is not a proof of a broken promise", "two batches")
    refused(place.check(capsys, batch), 3, "which proves nothing alone", "the other batch")
    for pair in ((batch, junk), (junk, batch), (batch, transaction)):
        refused(place.check(capsys, *pair), 3, "is not the transaction of a batch")
    refused(place.accuse(capsys, junk), 3, "is not a proof of a broken promise")
    refused(place.accuse(capsys, place.folder / "nowhere.bin"), 3, "nowhere.bin")


@pytest.mark.parametrize("kind", ["omission", "broken promise", "two batches"])
def test_an_accusation_becomes_a_transaction_that_convicts(kind: str, place: Place, capsys: Capture) -> None:
    files = {
        "omission": lambda: [place.file("proof.bin", omission(GENESIS, OPERATOR))],
        "broken promise": lambda: [place.file("proof.bin", broken_promise(GENESIS, OPERATOR))],
        "two batches": lambda: place.batches(*two_batches(GENESIS, OPERATOR)),
    }[kind]()
    outcome = place.accuse(capsys, *files)
    assert outcome.code == 0
    assert OPERATOR.public_key.hex() in outcome.out
    tx = decode(Tx, (place.folder / "evidence.tx").read_bytes())
    place.chain.add([tx])
    assert place.chain.tip.state.operators == (RIVAL.public_key,)
    refused(place.accuse(capsys, *files), 3, "exists already")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_transaction_that_is_written_is_named_where_the_output_is_full(place: Place) -> None:
    proof, out = place.file("proof.bin", omission(GENESIS, OPERATOR)), place.folder / "evidence.tx"
    words: list[str | Path] = [
        sys.executable,
        "-m",
        "wattswap",
        "chain",
        "accuse",
        proof,
        "--key",
        place.key,
        "--run",
        place.run,
    ]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*words, "--out", out], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert decode(Tx, out.read_bytes()).module == "evidence"
    assert done.returncode == 3
    assert done.stderr.endswith(f"written before that: {out}\n")


def test_a_key_without_a_role_accuses_nobody(place: Place, capsys: Capture) -> None:
    proof = place.file("proof.bin", omission(GENESIS, OPERATOR))
    refused(place.accuse(capsys, proof, key=place.key_of("stranger", STRANGER)), 5, "tx_role")
    assert not (place.folder / "evidence.tx").exists()


def test_the_genesis_alone_is_enough_with_nonce_and_height(place: Place, capsys: Capture) -> None:
    proof = place.file("proof.bin", omission(GENESIS, OPERATOR))
    alone = {"run": None, "genesis": place.genesis}
    refused(place.accuse(capsys, proof, **alone), 2, "--nonce", "--valid-until", "is needed")
    assert place.accuse(capsys, proof, **alone, nonce=1, **{"valid-until": 9}).code == 0
    refused(place.accuse(capsys, proof, run=None), 2, "chain accuse", "give either --run or --genesis")


def test_a_proof_that_no_transaction_holds_is_for_an_offline_check_only(
    tmp_path: Path, capsys: Capture
) -> None:
    """A closing with the promises of thousands of homes is larger than a transaction."""
    genesis = keyed_genesis(5_000)
    place = Place(tmp_path, genesis)
    many = tuple(Promised(home, 2**62) for home in range(5_000) if home != HOME)
    proof = place.file("large.bin", broken_promise(genesis, VALIDATOR, promised=many))
    assert proof.stat().st_size > 64 * 1024
    assert place.check(capsys, proof).code == 0
    refused(place.accuse(capsys, proof), 3, "more than a transaction holds", "check-omission")


# --- possession ---------------------------------------------------------------------------------------------


def test_possession_is_what_a_proposal_shows(place: Place, capsys: Capture) -> None:
    key = place.key_of("new", STRANGER)
    outcome = call(capsys, "chain", "possession", "--key", key, "--genesis", place.genesis)
    proof = bytes.fromhex(outcome.out.strip())
    args = OperatorArgs(ADD_OPERATOR, STRANGER.public_key, proof, 9)
    for validator in authorities(3):
        place.chain.validators[validator.public_key] = validator
    place.chain.call(authorities(1)[0], "governance.propose_operator", args)
    facts = one_object(
        call(capsys, "chain", "possession", "--key", key, "--genesis", place.genesis, "--json")
    )
    assert facts == {"public_key": STRANGER.public_key.hex(), "proof": proof.hex()}


def test_possession_of_the_place_of_another_key_is_what_rotate_key_shows(
    place: Place, capsys: Capture
) -> None:
    words = ("--key", place.key_of("new", STRANGER), "--genesis", place.genesis)
    outcome = call(capsys, "chain", "possession", *words, "--instead-of", RIVAL.public_key.hex())
    args = RotateArgs(STRANGER.public_key, bytes.fromhex(outcome.out.strip()))
    place.chain.call(RIVAL, "accounts.rotate_key", args)
    assert place.chain.tip.state.operators == (OPERATOR.public_key, STRANGER.public_key)
    new_place = call(capsys, "chain", "possession", *words, "--instead-of", NO_KEY.hex()).out
    assert new_place == call(capsys, "chain", "possession", *words).out


@pytest.mark.parametrize(
    "old", ["", " ", "x", "00", "0" * 63, "00" * 33, " ".join(["00"] * 32), "٠" * 64, "0x" + "00" * 31]
)
def test_what_is_no_public_key_is_refused(old: str, place: Place, capsys: Capture) -> None:
    words = ("--key", place.key, "--genesis", place.genesis, "--instead-of", old)
    refused(call(capsys, "chain", "possession", *words), 2, "--instead-of", "64 hexadecimal digits")


def test_the_two_batches_of_the_kit_differ() -> None:
    first, second = (decode(BatchArgs, tx.args) for tx in two_batches(GENESIS, OPERATOR))
    assert msgspec.structs.replace(second, orders=first.orders) == first
