"""Proofs of broken promises in a run folder: those of this chain stay, all others are refused by file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import wattswap as ws
from p2p.batches.batch import BatchArgs, batch_tx
from p2p.batches.blob import open_blob
from p2p.batches.closings import Closing, make_broken_promise, make_closing
from p2p.batches.receipts import Omission
from p2p.blocks.block import block_hash
from p2p.roles.household.witnesses import Witnesses
from p2p.wire.codec import decode, encode
from p2p.wire.messages import VERSION, ReceiptCode, ReceiptMessage, message_id, sign_message
from tests.kits.edit_kit import entry, fit_hashes, sql
from tests.wattswap.nodes import test_broken_promises
from tests.wattswap.nodes.test_broken_promises import DAYLIGHT_S, VICTIM, leave_out, lived
from wattswap.errors import VerificationFailed
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.prepare import Setup, prepare

PROOF = f"omissions/omission-{DAYLIGHT_S}-0.bin"


def convicting(street: Path, out: Path, *changes: str) -> Path:
    """A run whose operator left out an order that only it had promised; the home's proof is in the folder."""
    show = Witnesses.show

    def secretly(one: Witnesses, home: str, slot: int, start_s: int, name: bytes, data: bytes) -> None:
        if (home, slot, start_s) != (VICTIM, 0, DAYLIGHT_S):
            show(one, home, slot, start_s, name, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Witnesses, "show", secretly)
        leave_out(patch, [0], with_closings=True)
        return lived(street, out, *changes).path


@pytest.fixture(scope="module")
def convicted(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three intervals."""
    return convicting(street, tmp_path_factory.mktemp("convicted"))


@pytest.fixture
def run(convicted: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(convicted, tmp_path / "copy")


def refused(run: Path) -> str:
    """The sentence with which verify refuses it."""
    with pytest.raises(VerificationFailed) as caught:
        ws.verify(run)
    return str(caught.value)


def test_a_proof_of_the_run_is_checked(run: Path) -> None:
    checks = ws.verify(run)["checks"]
    assert checks["omissions"] == "each proof of a broken promise convicts: 1"


def test_a_proof_under_another_name_is_refused(run: Path) -> None:
    other = run / f"omissions/omission-{DAYLIGHT_S}-1.bin"
    (run / PROOF).rename(other)
    assert f"{other}: proves what the file omission-{DAYLIGHT_S}-0.bin is to prove" in refused(run)


def test_one_changed_byte_of_a_proof_is_refused(run: Path) -> None:
    data = bytearray((run / PROOF).read_bytes())
    data[len(data) // 2] ^= 1
    (run / PROOF).write_bytes(data)
    assert f"{run / PROOF}: " in refused(run)


def test_a_proof_by_a_batch_that_is_not_on_the_chain_is_refused(run: Path) -> None:
    """Its collector has signed that batch, too: all keys of a simulation follow from the seed."""
    proof, setup = decode(Omission, (run / PROOF).read_bytes()), prepare(stored_scenario(run))

    args = decode(BatchArgs, proof.tx.args, max_bytes=1 << 20)
    tx = batch_tx(setup.keys.identity("operator"), setup.genesis.chain_id, 9, 99, args)
    (run / PROOF).write_bytes(encode(msgspec.structs.replace(proof, tx=tx)))
    assert f"{run / PROOF}: convicts by a batch or closing that the chain did not settle" in refused(run)


# --- a validator that closes a slot without what it had promised ------------------------------------------------


def first_closing(run: Path, setup: Setup) -> Closing:
    """The closing of a validator in the blob of the first interval."""
    blob = next(path for path in (run / "blobs").iterdir() if path.name.startswith(f"{DAYLIGHT_S}-"))
    return open_blob(blob.read_bytes(), setup.genesis, setup.member_list).closings[0]


def broken_promise(run: Path, change: Callable[[Closing], Closing] = lambda closing: closing) -> None:
    """Write a proof that the validator of a closing had promised the order of the absent home."""
    setup = prepare(stored_scenario(run))
    closing = first_closing(run, setup)
    place = setup.genesis.authorities.index(closing.validator)
    validator = setup.keys.identity("authority", str(place))
    message = setup.message_of(1, DAYLIGHT_S, ())
    name = setup.roster[1]
    fields = (VERSION, setup.genesis.chain_id, DAYLIGHT_S, name, message_id(message), ReceiptCode.ACCEPTED)
    receipt = sign_message(validator, ReceiptMessage(*fields))
    signed = sign_message(setup.keys.identity("household", name), message)
    proof = make_broken_promise(receipt, signed, setup.member_list.proof(1), change(closing))
    (run / "omissions").mkdir(exist_ok=True)
    (run / f"omissions/omission-{DAYLIGHT_S}-1.bin").write_bytes(proof)


def test_a_closing_in_the_blob_without_a_promised_order_convicts(copied: Callable[[str], Path]) -> None:
    run = copied("absent")
    broken_promise(run)
    assert ws.verify(run)["checks"]["omissions"].endswith("convicts: 1")


def test_a_closing_that_is_in_no_blob_is_refused(copied: Callable[[str], Path]) -> None:
    run = copied("absent")
    keys = prepare(stored_scenario(run)).keys

    def without_promises(closing: Closing) -> Closing:
        genesis = prepare(stored_scenario(run)).genesis
        validator = keys.identity("authority", str(genesis.authorities.index(closing.validator)))
        return make_closing(validator, genesis.chain_id, DAYLIGHT_S, 0, ())

    broken_promise(run, without_promises)
    assert "convicts by a batch or closing that the chain did not settle" in refused(run)


def test_blocks_that_are_cut_off_above_the_last_interval_are_listed(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They can convict the operator of a run: who cuts them off, and takes away the home's proof, is not noticed."""
    monkeypatch.setattr(test_broken_promises, "INTERVALS", 1)
    run = convicting(street, tmp_path)
    with open_chain(run) as store:
        assert [tx.module for block, _ in store.blocks() for tx in block.txs] == ["settlement", "evidence"]
        head = block_hash(store.block(1)[0].header)
    sql("DELETE FROM blocks WHERE height = 2")(run)
    shutil.rmtree(run / "omissions")
    entry("chain", "blocks", value=1)(run)
    entry("chain", "head", value=head.hex())(run)
    fit_hashes(run)
    listed = {what for one in ws.verify(run)["unchecked"] for what in one["what"]}
    assert {"chain.db: blocks above the last interval's", "manifest.json: chain.head", "omissions"} <= listed
