"""Keys of a node: made by their owner, opened at the start, and the public half that goes into a genesis."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from p2p.blocks.genesis import Genesis
from p2p.blocks.members import read_member_file
from p2p.errors import KeyFileError
from p2p.wire.identity import SEED_BYTES, Identity
from p2p.wire.keystore import Lock, open_keystore, write_keystore
from wattswap.errors import AlreadyExists, InvalidData, Problem, UsageError
from wattswap.nodes.config import (
    InvalidConfig,
    NodeConfig,
    PublicKey,
    Role,
    household_faults,
    key_names,
    node_name,
    read_table,
    toml_value,
)
from wattswap.runs.layout import MEMBERS
from wattswap.scenario.fields import Wrong
from wattswap.scenario.tables import Table

KEYSTORE = "keystore.json"
KEY_FILE = "keystore.key"
PUBLIC_KEYS = "public-keys.toml"


class PublicNode(Table):
    """[[nodes]]: the public keys of a node whose owner keeps the secret ones."""

    name: str = Field(description="Name of the node.")
    role: Role = Field(description="What it does.")
    households: tuple[str, ...] = Field(default=(), strict=False, description="The homes it acts for.")
    public_keys: dict[str, PublicKey] = Field(description="Public keys by their name in the keystore.")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return node_name(value)

    @model_validator(mode="after")
    def _check(self) -> PublicNode:
        faults = household_faults(self.role, self.households)
        wanted = key_names(self.role, self.households)
        if not faults and set(self.public_keys) != set(wanted):
            faults = [("public_keys", "does not hold the keys of this role", f"give {', '.join(wanted)}")]
        if faults:
            raise Wrong.all_of(faults)
        return self


class PublicKeyFile(Table):
    """Public keys of nodes, as `wattswap node keys` prints them, one after the other."""

    nodes: tuple[PublicNode, ...] = Field(strict=False, description="The nodes whose owners keep their keys.")

    @model_validator(mode="after")
    def _check(self) -> PublicKeyFile:
        names = [node.name for node in self.nodes]
        twice = [
            (f"nodes.{i}.name", f"{name!r} stands there twice", "keep one of the two")
            for i, name in enumerate(names)
            if name in names[:i]
        ]
        if twice:
            raise Wrong.all_of(twice)
        return self


def load_public_keys(path: Path) -> dict[str, PublicNode]:
    """Read a file of public keys, by the names of the nodes.

    Raises:
        InvalidConfig: Lists every problem with its line.
    """
    return {node.name: node for node in read_table(path, PublicKeyFile).nodes}


def public_text(node: PublicNode) -> str:
    """The public keys of a node as the block of a file for `node init --public-keys`."""
    keys = "\n".join(f"{toml_value(name)} = {toml_value(key)}" for name, key in node.public_keys.items())
    homes = f"households = {toml_value(node.households)}\n" if node.households else ""
    head = f"[[nodes]]\nname = {toml_value(node.name)}\nrole = {toml_value(node.role)}\n{homes}"
    return f"{head}[nodes.public_keys]\n{keys}\n"


def new_identity() -> Identity:
    """A key from the random bytes of the system."""
    return Identity.from_seed(secrets.token_bytes(SEED_BYTES))


def passphrase_lock(variable: str, environment: Mapping[str, str]) -> Lock:
    """The lock of the passphrase that an environment variable holds.

    Raises:
        InvalidData: It is not set, or too short.
    """
    text = environment.get(variable)
    if text is None:
        cure = f"set it in the shell that starts wattswap: read -rs {variable} && export {variable}"
        raise InvalidData.of(f"environment variable {variable}", "is not set", cure)
    try:
        return Lock.passphrase(text)
    except ValueError as error:
        raise InvalidData.of(f"environment variable {variable}", str(error)) from None


def seal(folder: Path, keys: Mapping[str, Identity], lock: Lock | None) -> None:
    """Write the keystore of a node's folder; without a lock one is made, as a key file beside it."""
    write_keystore(folder / KEYSTORE, keys, lock or Lock.new_key_file(folder / KEY_FILE))


def make_keys(
    folder: Path, role: Role, name: str, households: Sequence[str], lock: Lock | None
) -> PublicNode:
    """Make the keys of one node, for an owner who gives nobody else the secret ones.

    Returns:
        The public keys, which are also written beside the keystore.

    Raises:
        UsageError: A name or households that do not fit the role.
        AlreadyExists: The folder is there already.
    """
    homes = tuple(households)
    faults = household_faults(role, homes)
    try:
        node_name(name)
    except Wrong as wrong:
        faults += wrong.faults
    if faults:
        raise UsageError(*(Problem("node keys", message, cure) for _, message, cure in faults))
    keys = {key: new_identity() for key in key_names(role, homes)}
    public = PublicNode(
        name=name,
        role=role,
        households=homes,
        public_keys={key: identity.public_key.hex() for key, identity in keys.items()},
    )
    with new_folder(folder) as partial:
        seal(partial, keys, lock)
        (partial / PUBLIC_KEYS).write_text(public_text(public), encoding="utf-8", newline="\n")
    return public


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder that appears whole or not at all, readable by its owner only.

    Raises:
        AlreadyExists: It is there already.
    """
    if folder.exists() or folder.is_symlink():
        raise AlreadyExists.of(str(folder), "exists already", "choose another folder")
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    try:
        yield partial
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def open_keys(config: NodeConfig, environment: Mapping[str, str], genesis: Genesis) -> dict[str, Identity]:
    """Open a node's keystore and check that the chain knows its keys.

    Returns:
        Keys by their names of `config.key_names`.

    Raises:
        KeyFileError: The keystore or its key file cannot be used.
        InvalidData: The passphrase is not there.
        InvalidConfig: A key is missing, or the genesis has another one.
    """
    store = config.keystore
    if store.passphrase_env is not None:
        lock = passphrase_lock(store.passphrase_env, environment)
    else:
        lock = Lock.key_file(config.folder / (store.key_file or KEY_FILE))
    keys = open_keystore(config.keystore_path, lock)
    missing = [name for name in config.key_names if name not in keys]
    if missing:
        what = f"holds no key {', '.join(missing)} for a {config.role}"
        raise KeyFileError(config.keystore_path, f"{what}; it is the keystore of another node")
    homes = config.role in ("household", "gateway")
    member_keys = _member_keys(config, genesis) if homes else frozenset[bytes]()
    known: Collection[bytes] = {
        "operator": _operators(genesis),
        "validator": genesis.authorities,
        "household": member_keys,
        "gateway": member_keys,
    }.get(config.role, ())
    signing = [name for name in config.key_names if name != "node"]
    strange = [name for name in signing if keys[name].public_key not in known]
    # A validator may be voted in after the genesis: the chain's state knows, the genesis does not.
    if strange and config.role != "validator":
        cure = "use the genesis that was made with this node's public keys"
        raise InvalidConfig.of(str(config.genesis_path), f"does not know the key {', '.join(strange)}", cure)
    return {name: keys[name] for name in config.key_names}


def _member_keys(config: NodeConfig, genesis: Genesis) -> frozenset[bytes]:
    """Public keys of the homes, out of the list beside the genesis."""
    path = config.genesis_path.with_name(MEMBERS)
    return frozenset(member.key for member in read_member_file(path, genesis.members_root))


def _operators(genesis: Genesis) -> tuple[bytes, ...]:
    operators: tuple[bytes, ...] = getattr(genesis, "operators", (genesis.operator,))
    return operators
