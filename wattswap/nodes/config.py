"""A node's config.toml: strict, all errors at once with their lines, paths relative to the node's folder."""

from __future__ import annotations

import json
import re
import tomllib
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, field_validator, model_validator

from market.errors import counted, with_article
from market.files import read_at_most
from p2p.transports.base import is_peer_id
from p2p.wire.identity import PUBLIC_KEY_BYTES
from p2p.wire.messages import MAX_TIME_S
from wattswap.errors import AlreadyExists, ExitCode, Problem, WattswapError
from wattswap.runs.layout import GENESIS, NODE_CONFIG, NODE_DATA
from wattswap.runs.missing import nodes_in
from wattswap.scenario.fields import Fault, Wrong
from wattswap.scenario.layers import Place, Source, dotted
from wattswap.scenario.lines import KeyPath, line_numbers
from wattswap.scenario.problems import faults_of
from wattswap.scenario.time import Table

CONFIG = NODE_CONFIG
SCHEMA = 1
LOOPBACK = "127.0.0.1"
MAX_BYTES = 1_000_000
MAX_PEERS = 1_000
MAX_PORT = 65_535
KEPT_INTERVALS = 672
"""Intervals whose messages are kept: a week of quarter hours."""
MAX_MS = 7_258_118_400_000
"""The year 2200. [ms since 1970, UTC]"""
T = TypeVar("T", bound=Table)
CURE = "`wattswap node init` writes the folders of a neighbourhood"
Role = Literal["household", "gateway", "operator", "validator", "observer"]
SIGNING_KEY: dict[str, str] = {"operator": "operator", "validator": "consensus"}
"""Name in the keystore of the key that a role signs with; homes have one each."""
NODE_KEY = "node"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDRESS = re.compile(r"/ip4/([0-9.]{7,15})/tcp/([1-9][0-9]{0,4})/p2p/(\w+)", re.ASCII)
ADDRESS_FORM = f"/ip4/{LOOPBACK}/tcp/PORT/p2p/PEER-ID"
"""What the address of a node looks like, for people."""


class InvalidConfig(WattswapError):
    """A node's config.toml that breaks the rules of docs/how-to/run-nodes.md."""

    exit_code: ClassVar[ExitCode] = ExitCode.INVALID


def _public_key(value: str) -> str:
    if not re.fullmatch(rf"[0-9a-f]{{{2 * PUBLIC_KEY_BYTES}}}", value):
        raise Wrong(f"{value[:80]!r} is not a public key", "write 64 of the digits 0-9 and a-f")
    return value


PublicKey = Annotated[str, AfterValidator(_public_key)]
"""A public key as 64 hexadecimal digits."""


def node_name(value: str) -> str:
    """Check the name of a node, which is also the name of its folder.

    Raises:
        Wrong: It is no such name.
    """
    if not _NAME.fullmatch(value):
        raise Wrong(f"{value[:64]!r} is not a name", "use 1 to 64 letters, digits, - and _")
    return value


def host_of(address: str) -> str:
    """The IPv4 address in a node's address; empty where the text is no address of a node."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2]) > MAX_PORT or not is_peer_id(found[3]):
        return ""
    try:
        return str(IPv4Address(found[1]))
    except ValueError:
        return ""


def household_key(household: str) -> str:
    """The name of a home's key in the keystore."""
    return f"household/{household}"


def meter_key(household: str) -> str:
    """The name of the key of a home's meter, in the keystore of meters."""
    return f"meter/{household}"


def former_key(name: str) -> str:
    """Under what a node holds the key that a key of its keystore has replaced."""
    return f"{name}/former"


class Listen(Table):
    """[listen]: where other nodes reach this one."""

    host: str = Field(default=LOOPBACK, description="Address to listen on; 127.0.0.1.")
    port: int = Field(ge=1, le=MAX_PORT, description="TCP port to listen on.")
    connections: int = Field(
        default=512,
        ge=8,
        le=1_024,
        description="Most connections of others; an eighth is kept for collectors.",
    )
    per_address: int = Field(
        default=512,
        ge=1,
        le=1_024,
        description="Most of one IP address; 127.0.0.1 is that of all nodes here.",
    )
    strangers: int = Field(
        default=32,
        ge=0,
        le=1_024,
        description="Most of nodes that are no homes, no collectors and no [[peers]].",
    )

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        if value != LOOPBACK:
            raise Wrong(f"{value[:64]!r} is not on this machine", f"this version listens on {LOOPBACK} only")
        return value


class Keystore(Table):
    """[keystore]: the node's keys, and what decrypts them."""

    file: str = Field(default="keystore.json", description="The encrypted keystore.")
    passphrase_env: str | None = Field(
        default=None, description="Environment variable that holds the passphrase."
    )
    key_file: str | None = Field(default=None, description="File of 32 random bytes that decrypts it.")
    former: str | None = Field(
        default=None,
        description="Folder with the keystore of before a rotation of keys on the chain, and its key file.",
    )
    signs_from_unix_s: int | None = Field(
        default=None,
        ge=1,
        le=MAX_TIME_S,
        description="Start of the first interval whose messages the new keys of homes sign; before it the former do.",
    )

    meters: str | None = Field(
        default=None, description="Folder with the keystore of the homes' meters, and its key file."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.passphrase_env is None) == (self.key_file is None):
            cure = 'give passphrase_env = "NAME" or key_file = "FILE", one of the two'
            raise Wrong("needs exactly one way to decrypt the keystore", cure)
        if self.signs_from_unix_s is not None and self.former is None:
            raise Wrong("says when new keys sign, and names no former ones", 'give former = "FOLDER", too')
        return self


class Clock(Table):
    """[clock]: when the intervals of the scenario open, and how long each step may take."""

    begin_unix_ms: int = Field(
        ge=0,
        le=MAX_MS,
        description="When interval 0 opens, in ms since 1970 UTC; 0: as soon as all nodes are up.",
    )
    pace_s: float = Field(ge=0, le=86_400, description="Time from one interval to the next, in seconds.")
    gate_s: float = Field(
        gt=0, le=86_400, description="Longest time that orders of a round are accepted, in seconds."
    )
    takeover_s: float = Field(gt=0, le=86_400, description="Timeout for an absent collector, in seconds.")
    heartbeat_minutes: int = Field(
        default=0,
        ge=0,
        le=1_440,
        description="Longest time without a block, in minutes; 0 makes no empty blocks.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.begin_unix_ms and self.gate_s >= self.pace_s:
            cure = f"use less than {self.pace_s:g}; readings and blocks need the rest of the interval"
            raise Wrong(f"{self.gate_s:g} leaves nothing of an interval of {self.pace_s:g} s", cure, "gate_s")
        return self

    def opens_ms(self, i: int) -> int:
        """When the i-th interval of the scenario opens. [ms since 1970, UTC]"""
        return self.begin_unix_ms + round(i * self.pace_s * 1_000)


class Consensus(Table):
    """[consensus]: how a validator takes part."""

    min_safe_height: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="First height that a restored validator may sign; 0 for one that is not restored.",
    )
    timeouts: Literal["lan", "wan"] = Field(default="lan", description="Timeouts of the consensus rounds.")


class Peer(Table):
    """[[peers]]: another node."""

    name: str = Field(description="Name of the node.")
    role: Role = Field(description="What it does.")
    public_key: PublicKey = Field(description="The key it signs with, 64 hexadecimal digits.")
    address: str = Field(description="Where it listens, with its peer id.")

    @field_validator("address")
    @classmethod
    def _address(cls, value: str) -> str:
        if host_of(value) != LOOPBACK:
            cure = f"write {ADDRESS_FORM}; other machines are not reached in this version"
            raise Wrong(f"{value[:120]!r} is not an address of a node", cure)
        return value

    @property
    def key(self) -> bytes:
        """The public key as bytes."""
        return bytes.fromhex(self.public_key)


class NodeConfig(Table):
    """The configuration of one node."""

    version: int = Field(alias="schema", description="Version of this file format; 1.")
    role: Role = Field(description="What this node does.")
    name: str = Field(description="Name of this node.")
    households: tuple[str, ...] = Field(
        default=(), strict=False, description="The homes this node acts for: one, or those of a gateway."
    )
    scenario: str = Field(description="The scenario: a TOML file, or the JSON file that node init writes.")
    genesis: str = Field(default=GENESIS, description="The genesis of the chain.")
    data: str = Field(default=NODE_DATA, description="Folder for what the node stores.")
    snapshot: bool = Field(
        default=False,
        description="Start a new chain file from a snapshot of other nodes, not at the first block.",
    )
    kept_intervals: int = Field(
        default=KEPT_INTERVALS,
        ge=8,
        le=1_000_000,
        description="Settled intervals whose messages an operator or validator keeps, for disputes and those behind.",
    )
    listen: Listen = Field(description="Where other nodes reach this one.")
    keystore: Keystore = Field(description="The node's keys.")
    clock: Clock = Field(description="When the intervals open.")
    consensus: Consensus = Field(default=Consensus(), description="How a validator takes part.")
    peers: tuple[Peer, ...] = Field(default=(), strict=False, description="The other nodes.")
    _folder: Path = PrivateAttr(default_factory=Path)

    @field_validator("version")
    @classmethod
    def _version(cls, value: int) -> int:
        if value != SCHEMA:
            raise Wrong(f"{value} is not known", f"this wattswap reads schema {SCHEMA}")
        return value

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return node_name(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        faults = [*household_faults(self.role, self.households), *_peer_faults(self.name, self.peers)]
        if self.consensus.min_safe_height and self.role != "validator":
            faults.append(("consensus.min_safe_height", f"means nothing for role {self.role}", "remove it"))
        store, homes = self.keystore, self.role in ("household", "gateway")
        if homes and store.former is not None and store.signs_from_unix_s is None:
            cure = "give signs_from_unix_s = TIME, the `from s` of `wattswap chain state VALIDATOR accounts`"
            faults.append(("keystore", "names former keys of homes, and not when the new ones sign", cure))
        if store.meters is not None and not homes:
            faults.append(("keystore.meters", f"means nothing for role {self.role}", "remove it"))
        if faults:
            raise Wrong.all_of(faults)
        return self

    def in_folder(self, folder: Path) -> Self:
        """The same configuration with paths relative to a folder."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

    @property
    def folder(self) -> Path:
        """The node's folder, from which relative paths count."""
        return self._folder

    @property
    def scenario_path(self) -> Path:
        """Where the scenario is."""
        return self._folder / self.scenario

    @property
    def genesis_path(self) -> Path:
        """Where the genesis is."""
        return self._folder / self.genesis

    @property
    def data_path(self) -> Path:
        """Folder for what the node stores."""
        return self._folder / self.data

    @property
    def keystore_path(self) -> Path:
        """Where the keystore is."""
        return self._folder / self.keystore.file

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names under which the keystore must hold this node's keys; the first is its key on the network."""
        return key_names(self.role, self.households)


def key_names(role: str, households: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a node's keys, the libp2p key first.

    Operators, validators and single homes use one key for both: a connection then authenticates it.
    """
    signing = [household_key(home) for home in households]
    if role in SIGNING_KEY:
        return (SIGNING_KEY[role],)
    return tuple(signing) if role == "household" else (NODE_KEY, *signing)


def household_faults(role: str, households: tuple[str, ...]) -> list[Fault]:
    """Faults of a node's homes: (key, message, what to do)."""
    if len(set(households)) < len(households):
        twice = next(home for home in households if households.count(home) > 1)
        return [("households", f"names {twice!r} twice", "name each home once")]
    wanted = {"household": "exactly one home", "gateway": "at least one home"}.get(role, "no homes")
    fits = {"household": len(households) == 1, "gateway": bool(households)}.get(role, not households)
    cure = "name them as in the scenario's data" if role in ("household", "gateway") else "remove the key"
    held = counted(len(households), "home")
    return [] if fits else [("households", f"has {held}; {with_article(role)} has {wanted}", cure)]


def _peer_faults(own_name: str, peers: tuple[Peer, ...]) -> list[Fault]:
    faults: list[Fault] = []
    if len(peers) > MAX_PEERS:
        faults.append(("peers", f"has {len(peers)} nodes", f"the most are {MAX_PEERS}"))
    seen: dict[str, set[str]] = {"name": {own_name}, "public_key": set(), "address": set()}
    for i, peer in enumerate(peers):
        for key, values in seen.items():
            value = getattr(peer, key)
            if value in values:
                faults.append((f"peers.{i}.{key}", f"{value!r} is given twice", "each node has its own"))
            values.add(value)
    return faults


def load_config(path: Path | str) -> NodeConfig:
    """Read a config.toml, or that of a node's folder.

    Raises:
        InvalidConfig: Lists every problem with its line.
    """
    file = Path(path)
    if not file.exists():
        raise InvalidConfig.of(str(path), "there is no such folder", CURE)
    if file.is_dir():
        file = _in_folder(file)
    return read_table(file, NodeConfig).in_folder(file.parent.resolve())


def _in_folder(folder: Path) -> Path:
    """The config.toml of a node's folder; names a node where the folder is that of all nodes."""
    file = folder / CONFIG
    if file.exists():
        return file
    nodes = nodes_in(folder)
    if nodes:
        cure = f"name one of them, such as {nodes[0]}"
        raise InvalidConfig.of(str(folder), "is the folder of nodes, not of one", cure)
    raise InvalidConfig.of(str(folder), f"is no node's folder: it holds no {CONFIG}", CURE)


def read_table(file: Path, model: type[T]) -> T:
    """Read a strict TOML file of the nodes.

    Raises:
        InvalidConfig: Lists every problem with its line.
    """
    content, places = _parse(file)
    source = Source(str(file), file.parent, places)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [source.problem(_positions(path), *rest) for path, *rest in faults_of(error, model)]
        raise InvalidConfig(*sorted(problems, key=lambda problem: problem.line or 0)) from None


def _positions(path: KeyPath) -> KeyPath:
    """Positions of an array that came as text in a fault's key."""
    return tuple(int(part) if isinstance(part, str) and part.isdecimal() else part for part in path)


def _parse(file: Path) -> tuple[dict[str, Any], dict[KeyPath, Place]]:
    try:
        raw = read_at_most(file, MAX_BYTES)
    except OSError as error:
        raise InvalidConfig.of(str(file), f"cannot be read: {error.strerror}", CURE) from None
    if len(raw) > MAX_BYTES:
        raise InvalidConfig.of(str(file), f"is larger than {MAX_BYTES:,} bytes", CURE)
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(found[1]) if found else 1
        message = (
            "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"is not valid TOML: {error}"
        )
        raise InvalidConfig(Problem(f"{file}:{line}", message, "fix this line", line)) from None
    lines = line_numbers(text)
    return content, {path: Place(str(file), line, dotted(path)) for path, line in lines.items()}


def write_config(path: Path, config: NodeConfig) -> None:
    """Write a config.toml with its comments; nothing is overwritten.

    Raises:
        AlreadyExists: The file is there already.
    """
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(config_text(config))
    except FileExistsError:
        raise AlreadyExists.of(str(path), "exists already", "choose another folder") from None


def config_text(config: NodeConfig) -> str:
    """The configuration as TOML, each key with the sentence that explains it."""
    blocks = [
        "# A node of a wattswap neighbourhood; docs/how-to/run-nodes.md explains it. Paths are relative to this folder."
    ]
    blocks.append(_table_text(config))
    for key in ("listen", "keystore", "clock", "consensus"):
        blocks.append(f"[{key}]\n{_table_text(getattr(config, key))}")
    for peer in config.peers:
        blocks.append("[[peers]]\n" + _table_text(peer, comments=False))
    return "\n\n".join(blocks) + "\n"


def _table_text(table: Table, comments: bool = True) -> str:
    lines = []
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        if value is None or isinstance(value, Table) or name == "peers":
            continue
        line = f"{field.alias or name} = {toml_value(value)}"
        lines.append(f"{line:<48}  # {field.description}" if comments else line)
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """A text, number or list of them as TOML."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    # A JSON text is a TOML text, but for the character DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
