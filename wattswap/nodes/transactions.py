"""A transaction to any module of a chain: built from JSON, signed, and submitted to validators."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import trio

from market.files import read_at_most
from p2p.blocks.block import MAX_TX_BYTES, Tx, make_tx
from p2p.blocks.genesis import Genesis, read_genesis
from p2p.blocks.members import none_rotated, proof_among, read_member_file
from p2p.blocks.possession import NO_KEY, prove_possession
from p2p.errors import InvalidArguments, InvalidTx, KeyFileError, RemoteError, Unencodable
from p2p.ledger.edge import args_from
from p2p.ledger.module import Method, modules_of
from p2p.ledger.modules import accounts, evidence
from p2p.ledger.state import apply, check_call, check_tx
from p2p.roles.validator.mempool import TxReply
from p2p.wire.codec import Record, decode, encode
from p2p.wire.identity import PUBLIC_KEY_BYTES, Identity, load_key_file
from wattswap.errors import InvalidData, Problem, UsageError, VerificationFailed, suggest
from wattswap.nodes.chains import UNREACHABLE, send_tx
from wattswap.nodes.config import NODE_KEY, load_config
from wattswap.nodes.keys import PUBLIC_KEYS, open_key_folder, open_keys
from wattswap.nodes.status import Open, Target, ephemeral_transport
from wattswap.runs.accusations import read_accusation
from wattswap.runs.chain_reader import genesis_of, module_named, tip_of
from wattswap.runs.layout import MEMBERS

VALID_BLOCKS = 100
"""Blocks above the head for which a transaction is valid, where nothing else is asked for."""

ARGS_BYTES_MAX = 8 * MAX_TX_BYTES
"""Most bytes of arguments as JSON, which takes more room than the transaction. [B]"""

CURES: Final = {
    "tx_role": "sign with another key",
    "tx_nonce": "give another --nonce",
    "tx_expired": "give a later --valid-until",
    "key_proof": "make the proof by `chain possession` with the genesis of this chain",
    "evidence_known": "there is nothing left to do",
}
"""What to do about a transaction that the chain would refuse, by the code of the refusal."""

_PUBLIC_KEY = re.compile(f"[0-9a-fA-F]{{{2 * PUBLIC_KEY_BYTES}}}", re.ASCII)

ROOM_BYTES = 256
"""What a transaction holds beside its arguments, at most. [B]"""


def build(place: ChainPlace, module: str, method: str, args: str, key: Path) -> Tx:
    """Build and sign a transaction; where the chain is available, what it would refuse is refused here.

    Args:
        args: JSON, or @ and the name of a file of JSON.
        key: A key file, or the folder of a node that signs with one key.

    Raises:
        UsageError: Lists what does not fit the command or the method.
        KeyFileError: The key cannot be used.
        VerificationFailed: The chain would refuse the transaction.
    """
    record = _arguments(_method(place.genesis, module, method), args)
    return place.build(module, method, record, key)


def build_accusation(place: ChainPlace, files: Sequence[Path], key: Path) -> tuple[Tx, dict[str, Any]]:
    """Build the transaction that shows a proof to the chain module `evidence`; other arguments as for `build`.

    Args:
        files: A proof, or the transactions of two batches.

    Returns:
        The transaction, and what the proof proves.

    Raises:
        UsageError: Lists what does not fit the command.
        InvalidData: A file is not what it must be, or too large for a transaction.
        KeyFileError: The key cannot be used.
        VerificationFailed: It convicts nobody, or the chain would refuse it.
    """
    rotated = none_rotated if place.run is None else tip_of(place.run).state.home_key
    found = read_accusation(files, place.genesis, rotated)
    size = len(encode(found.args))
    if size > MAX_TX_BYTES - ROOM_BYTES:
        raise InvalidData.of(
            str(files[0]),
            f"has {size:,} bytes, more than a transaction holds ({MAX_TX_BYTES - ROOM_BYTES:,})",
            "it convicts offline only, by `chain check-omission`",
        )
    return place.build(evidence.NAME, found.method, found.args, key), found.facts(place.genesis)


def build_enter(place: ChainPlace, key: Path) -> Tx:
    """Build the transaction by which a home shows its key to the chain; arguments as for `build`.

    Raises:
        UsageError: Lists what does not fit the command, or the key is that of no home.
        GenesisError: The list of homes is not beside the genesis.
        KeyFileError: The key cannot be used.
        VerificationFailed: The chain would refuse the transaction.
    """
    found = read_member_file(place.folder / MEMBERS, place.genesis.members_root)
    signer = _signer(key, place.genesis)
    index = next((i for i, member in enumerate(found) if member.key == signer.public_key), None)
    if index is None:
        raise UsageError.of("--key", f"{key} is the key of no home of this chain", "give that of a home")
    args = accounts.EnterArgs(proof_among(found, index))
    return _build(place, accounts.NAME, accounts.ENTER, args, signer)


def possession_of(key: Path, genesis: Path, instead_of: str | None = None) -> dict[str, str]:
    """The proof that the holder of a key takes a place on a chain: by hex, with the public key.

    Args:
        key: A key file, or the folder of a node that signs with one key.
        instead_of: Public key whose place it takes, in hex; None for a new place.

    Raises:
        UsageError: It is not a public key, or that of the holder.
        KeyFileError: The key cannot be used.
    """
    trusted = read_genesis(genesis)
    if instead_of is not None and not _PUBLIC_KEY.fullmatch(instead_of):
        cure = f"give {2 * PUBLIC_KEY_BYTES} hexadecimal digits"
        raise UsageError.of("--instead-of", "is not a public key", cure)
    old = NO_KEY if instead_of is None else bytes.fromhex(instead_of)
    holder = _signer(key, trusted)
    if holder.public_key == old:
        raise UsageError.of("--instead-of", f"is the key of {key} itself", "give the key that it replaces")
    proof = prove_possession(holder, trusted.chain_id, old)
    return {"public_key": holder.public_key.hex(), "proof": proof.hex()}


@dataclass(frozen=True)
class ChainPlace:
    """The chain for which a transaction is made, as far as it is available.

    Args:
        command: The command that makes it, for its errors.
        folder: Where its genesis is.
        run: Folder with the chain; gives nonce and height.
        nonce: Needed where there is no run, as is valid_until.
    """

    command: str
    genesis: Genesis
    folder: Path
    run: Path | None
    nonce: int | None
    valid_until: int | None

    @classmethod
    def of(
        cls, command: str, run: Path | None, genesis: Path | None, nonce: int | None, valid_until: int | None
    ) -> Self:
        """The chain that a command line names.

        Args:
            genesis: The genesis alone; nonce and valid_until must then be given.

        Raises:
            UsageError: Neither a chain is given, nor its genesis with nonce and height.
        """
        _check_place(command, run, genesis, nonce, valid_until)
        if run is not None:
            return cls(command, genesis_of(run), run, run, nonce, valid_until)
        file = Path(genesis or "")
        return cls(command, read_genesis(file), file.parent, None, nonce, valid_until)

    def build(self, module: str, method: str, record: Record, key: Path) -> Tx:
        """Return the signed transaction; raises as the function `build`."""
        return _build(self, module, method, record, _signer(key, self.genesis))


def _build(place: ChainPlace, module: str, method: str, record: Record, sender: Identity) -> Tx:
    run, trusted, nonce, valid_until = place.run, place.genesis, place.nonce, place.valid_until
    tip = None if run is None else tip_of(run)
    last, height = (0, 0) if tip is None else (tip.state.nonce(sender.public_key), tip.height)
    until = height + VALID_BLOCKS if valid_until is None else valid_until
    try:
        tx = make_tx(
            sender, trusted.chain_id, last + 1 if nonce is None else nonce, until, module, method, record
        )
    except Unencodable:
        cure = "give a smaller one"
        raise UsageError.of(place.command, "a nonce or height beyond 64 bits", cure) from None
    try:
        if tip is None:
            check_call(modules_of(trusted)[module], method, record, tx.sender, trusted)
        elif tx.nonce == last + 1:
            apply(tip.state, tx, height + 1, trusted)
        else:  # it follows others that are not in the state yet
            check_tx(tip.state, tx, height + 1, trusted, pending=max(tx.nonce - last - 1, 0))
    except InvalidTx as error:
        cure = CURES.get(error.code, "change the transaction")
        raise VerificationFailed.of(f"{module}.{method}", f"would be refused: {error}", cure) from None
    return tx


def send(data: bytes, targets: list[Target], open_transport: Open, where: str = "TX") -> TxReply:
    """Submit a transaction to the validators of a network, with a temporary key.

    Raises:
        UsageError: No validator is known.
        InvalidData: The bytes are not a transaction.
        VerificationFailed: No validator accepted it.
    """
    try:
        decode(Tx, data)
    except RemoteError as error:
        cure = "give a file that `chain tx` wrote"
        raise InvalidData.of(where, f"is not a transaction: {error}", cure) from None
    addresses = [target.address for target in targets if target.role == "validator" and target.address]
    if not addresses:
        raise UsageError.of("NODES", "names no validator", "give the folder that `node init` made")

    async def main() -> TxReply:
        async with ephemeral_transport(open_transport) as transport:
            return await send_tx(transport, addresses, data)

    reply = trio.run(main)
    if reply.code:
        cure = "start the validators" if reply.code == UNREACHABLE else "build another transaction"
        raise VerificationFailed.of("the transaction", f"{reply.code}: {reply.detail}", cure)
    return reply


def _check_place(
    command: str, run: Path | None, genesis: Path | None, nonce: int | None, valid_until: int | None
) -> None:
    if (run is None) == (genesis is None):
        raise UsageError.of(command, "needs the chain", "give either --run or --genesis")
    missing = [name for name, value in (("--nonce", nonce), ("--valid-until", valid_until)) if value is None]
    if run is None and missing:
        raise UsageError(*(Problem(name, "is needed with --genesis", "or give --run") for name in missing))


def _method(genesis: Genesis, module: str, method: str) -> Method:
    methods = module_named(genesis, module).methods
    if method not in methods:
        raise UsageError.of("METHOD", f"module {module} has no method {method!r}", suggest(method, methods))
    return methods[method]


def _arguments(method: Method, text: str) -> Record:
    try:
        values = _json(text)
        return args_from(method, values)
    except InvalidArguments as invalid:
        raise UsageError(*(Problem("--args", problem) for problem in invalid.problems)) from None
    except (RemoteError, Unencodable) as error:
        raise UsageError.of("--args", str(error), "give values within the range of their type") from None


def _file_of_args(file: Path) -> bytes:
    data = read_at_most(file, ARGS_BYTES_MAX)
    if len(data) > ARGS_BYTES_MAX:
        cure = f"no transaction holds more than {MAX_TX_BYTES} bytes"
        raise UsageError.of(str(file), f"is larger than {ARGS_BYTES_MAX} bytes", cure)
    return data


def _json(text: str) -> Any:
    where = text[1:] if text.startswith("@") else "--args"
    try:
        return json.loads(_file_of_args(Path(where)).decode() if text.startswith("@") else text)
    except OSError as error:
        raise UsageError.of(where, f"cannot be read: {error.strerror}", "name another file") from None
    except (ValueError, RecursionError) as error:
        cure = "write it as '{\"name\": value}', or name a file as @FILE"
        raise UsageError.of(where, f"is not JSON: {error}", cure) from None


def _signer(key: Path, genesis: Genesis) -> Identity:
    """The key of a key file, or the one with which the node of a folder signs, or will sign."""
    if not key.exists():
        cure = "name a key file, as `wattswap secret` writes it, or the folder of a node"
        raise KeyFileError(key, f"cannot be read (there is no such file or folder); {cure}")
    if not key.is_dir():
        return load_key_file(key)
    if (key / PUBLIC_KEYS).is_file():  # of `wattswap node keys`, before there is a node
        keys = open_key_folder(key)
        names: Collection[str] = keys
    else:
        config = load_config(key)
        keys, names = open_keys(config, os.environ, genesis), config.key_names
    signing = [keys[name] for name in names if name != NODE_KEY]
    if not signing:
        cure = "give the folder of another node, or a key file"
        raise UsageError.of("--key", f"{key} is the folder of an observer, which signs nothing", cure)
    if len(signing) > 1:
        raise UsageError.of("--key", f"{key} is the node of {len(signing)} homes", "give the key file of one")
    return signing[0]
