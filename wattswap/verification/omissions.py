"""The proofs of broken promises in the folder of a live run: each convicts, by a batch or closing of this chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from p2p.batches.blob import open_blob
from p2p.batches.closings import BrokenPromise
from p2p.batches.receipts import Omission, check_promise, slot_of
from p2p.blocks.genesis import Genesis
from p2p.blocks.members import Members, Rotated
from p2p.ledger.modules import evidence
from p2p.roles.replica.blobs import blob_file
from p2p.wire.codec import decode
from wattswap.errors import Problem, VerificationFailed, WattswapError
from wattswap.runs.accusations import Accusation, read_accusation
from wattswap.runs.chain_reader import find_batch, open_chain, stamp, tip_of
from wattswap.runs.layout import BLOBS, OMISSIONS

CURE = "move it elsewhere, and show it to `wattswap chain check-omission`"


def check_omissions(folder: Path, genesis: Genesis, members: Members) -> str:
    """Check the proofs of broken promises that homes kept.

    Args:
        folder: Of a live run whose chain and blobs have been verified.
        genesis: Of the run.
        members: Of the run.

    Raises:
        VerificationFailed: Names every file that proves nothing, or nothing about this run.
    """
    proofs = folder / OMISSIONS
    if not proofs.exists():
        return "no proof of a broken promise"
    files = sorted(proofs.iterdir())
    if not files:
        raise VerificationFailed.of(str(proofs), "is empty: it is there only with a proof", "remove it")
    rotated = tip_of(folder).state.home_key
    found = [_problem(file, folder, genesis, members, rotated) for file in files]
    problems = [Problem(str(file), what, CURE) for file, what in zip(files, found, strict=True) if what]
    if problems:
        raise VerificationFailed(*problems)
    return f"each proof of a broken promise convicts: {len(files)}"


def _problem(file: Path, folder: Path, genesis: Genesis, members: Members, rotated: Rotated) -> str:
    """What is wrong with a proof; empty if nothing is."""
    from wattswap.nodes.node import OMISSION

    try:
        accusation = read_accusation([file], genesis, rotated)
    except WattswapError as error:
        return error.problems[0].message
    of_chain, slot = _PARTS[accusation.method](file, folder, genesis, members, accusation, rotated)
    if not of_chain:
        return f"convicts by a batch or closing that the chain did not settle {stamp(accusation.interval_start)} by"
    assert accusation.household is not None, "a proof in one file is about a home"
    later = f"-{slot}" if slot else ""  # as `wattswap.nodes.node` names it
    name = f"{OMISSION}{accusation.interval_start}-{accusation.household}{later}.bin"
    return "" if file.name == name else f"proves what the file {name} is to prove"


def _omission(
    file: Path, folder: Path, genesis: Genesis, _members: Members, accusation: Accusation, rotated: Rotated
) -> tuple[bool, int]:
    """Whether the batch of an omission is on the chain, and the slot of the message."""
    proof = decode(Omission, file.read_bytes())
    message, _ = check_promise(proof.receipt, proof.message, proof.home, genesis, rotated)
    with open_chain(folder) as store:
        found = find_batch(store, accusation.interval_start)
    settled = found is not None and found.block.txs[found.tx_index] == proof.tx
    return settled, slot_of(message, genesis.params.rounds)


def _broken_promise(
    file: Path, folder: Path, genesis: Genesis, members: Members, accusation: Accusation, rotated: Rotated
) -> tuple[bool, int]:
    """Whether the closing of a proof is in the blob of its interval, and the slot of the message."""
    proof = decode(BrokenPromise, file.read_bytes())
    with open_chain(folder) as store:
        found = find_batch(store, accusation.interval_start)
    if found is None:
        return False, proof.closing.slot
    blob = folder / BLOBS / blob_file(found.args.interval_start, found.args.blob_hash)
    content = open_blob(blob.read_bytes(), genesis, members, rotated)
    return proof.closing in content.closings, proof.closing.slot


_PARTS: dict[str, Callable[[Path, Path, Genesis, Members, Accusation, Rotated], tuple[bool, int]]] = {
    evidence.OMISSION: _omission,
    evidence.BROKEN_PROMISE: _broken_promise,
}
"""By method of the chain module `evidence`: whether its proof is of this chain, and the slot that it is about."""
