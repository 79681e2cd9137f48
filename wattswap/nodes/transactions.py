"""A transaction to any module of a chain: built from JSON, signed, and submitted to validators."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import trio

from p2p.blocks.block import Tx, make_tx
from p2p.blocks.genesis import Genesis, read_genesis
from p2p.errors import InvalidArguments, InvalidTx, RemoteError, Unencodable
from p2p.ledger.edge import args_from
from p2p.ledger.module import Method
from p2p.ledger.state import check_tx
from p2p.roles.validator.mempool import TxReply
from p2p.wire.codec import Record, decode
from p2p.wire.identity import Identity, load_key_file
from wattswap.errors import InvalidData, Problem, UsageError, VerificationFailed, suggest
from wattswap.nodes.chains import UNREACHABLE, send_tx
from wattswap.nodes.config import NODE_KEY, load_config
from wattswap.nodes.keys import open_keys
from wattswap.nodes.status import Open, Target, ephemeral_transport
from wattswap.runs.chain_reader import genesis_of, module_named, tip_of

VALID_BLOCKS = 100
"""Blocks above the head for which a transaction is valid, where nothing else is asked for."""


def build(
    module: str,
    method: str,
    args: str,
    key: Path,
    *,
    run: Path | None = None,
    genesis: Path | None = None,
    nonce: int | None = None,
    valid_until: int | None = None,
) -> Tx:
    """Build and sign a transaction; where the chain is available, what it would refuse is refused here.

    Args:
        args: JSON, or @ and the name of a file of JSON.
        key: A key file, or the folder of a node that signs with one key.
        run: Folder with the chain; gives nonce and height.
        genesis: The genesis alone; nonce and valid_until must then be given.

    Raises:
        UsageError: Lists what does not fit the command or the method.
        KeyFileError: The key cannot be used.
        VerificationFailed: The chain would refuse the transaction.
    """
    _check_place(run, genesis, nonce, valid_until)
    trusted = genesis_of(run) if genesis is None and run is not None else read_genesis(Path(genesis or ""))
    called = _method(trusted, module, method)
    record = _arguments(called, args)
    sender = _signer(key, trusted)
    tip = None if run is None else tip_of(run)
    last, height = (0, 0) if tip is None else (tip.state.nonce(sender.public_key), tip.height)
    until = height + VALID_BLOCKS if valid_until is None else valid_until
    try:
        tx = make_tx(sender, trusted.chain_id, nonce or last + 1, until, module, method, record)
    except Unencodable:
        raise UsageError.of("chain tx", "a nonce or height beyond 64 bits", "give a smaller one") from None
    try:
        called.check(record, trusted)
        if tip is not None:
            check_tx(tip.state, tx, height + 1, trusted, pending=max(tx.nonce - last - 1, 0))
    except InvalidTx as error:
        cure = "change the transaction" if error.code != "tx_role" else "sign with another key"
        raise VerificationFailed.of(f"{module}.{method}", f"would be refused: {error}", cure) from None
    return tx


def send(data: bytes, targets: list[Target], open_transport: Open) -> TxReply:
    """Submit a transaction to the validators of a network, with a temporary key.

    Raises:
        UsageError: No validator is known.
        InvalidData: The bytes are no transaction.
        VerificationFailed: No validator took it.
    """
    try:
        decode(Tx, data)
    except RemoteError as error:
        cure = "give a file that `chain tx` wrote"
        raise InvalidData.of("TX", f"is not a transaction: {error}", cure) from None
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


def _check_place(run: Path | None, genesis: Path | None, nonce: int | None, valid_until: int | None) -> None:
    if (run is None) == (genesis is None):
        raise UsageError.of("chain tx", "needs the chain", "give either --run or --genesis")
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


def _json(text: str) -> Any:
    where = text[1:] if text.startswith("@") else "--args"
    try:
        return json.loads(Path(where).read_text(encoding="utf-8") if text.startswith("@") else text)
    except OSError as error:
        raise UsageError.of(where, f"cannot be read: {error.strerror}", "name another file") from None
    except (ValueError, RecursionError) as error:
        cure = "write it as '{\"name\": value}', or name a file as @FILE"
        raise UsageError.of(where, f"is not JSON: {error}", cure) from None


def _signer(key: Path, genesis: Genesis) -> Identity:
    """The key of a key file, or the one with which the node of a folder signs."""
    if not key.is_dir():
        return load_key_file(key)
    keys = open_keys(load_config(key), os.environ, genesis)
    signing = [identity for name, identity in keys.items() if name != NODE_KEY]
    if len(signing) != 1:
        raise UsageError.of("--key", f"{key} is the node of {len(signing)} homes", "give the key file of one")
    return signing[0]
