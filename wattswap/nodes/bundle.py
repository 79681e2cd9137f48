"""A scenario and what a node needs of the files it names in one folder, so that the node can be moved."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path, PurePath
from typing import Any

from msgspec.structs import replace

from p2p.blocks.genesis import Genesis
from p2p.blocks.members import Members, read_members
from wattswap.errors import InvalidData
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.held import HOMES, holds_part, read_held, write_private
from wattswap.runs.layout import MEMBERS, SCENARIO
from wattswap.runs.prepare import Setup, prepare
from wattswap.scenario.load import Scenario, from_resolved, load

_METER = ("data", "path")
_FILES = (_METER, ("data", "weather"), ("tariff", "import_series"), ("tariff", "feed_in_series"))


def write_bundle(scenario: Scenario, folder: Path, *, with_secret: bool) -> Scenario:
    """Write a scenario and copy the files it names but for meter data, and return it as `load_bundle` reads it there.

    Args:
        with_secret: Keep naming the secret file where it is, for keys that are derived from it. It is never
            copied: whoever has it can sign as everybody.
    """
    folder.mkdir(mode=0o700)
    base = scenario.source.base
    content = scenario.resolved()
    for table, key in _FILES:
        named = content.get(table, {}).get(key)
        if named is not None:
            content[table][key] = place = _place(named, key)
            if (table, key) != _METER:
                _copy(base / named, folder / place)
    secret_file = content["chain"].pop("secret_file", None)
    digest = content["chain"].pop("secret_file_sha256", None)
    if with_secret and secret_file is not None:
        content["chain"] |= {"secret_file": str((base / secret_file).resolve()), "secret_file_sha256": digest}
    write_private(folder / SCENARIO, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return _loaded(folder / SCENARIO, without_data=True)


def load_bundle(path: Path) -> Scenario:
    """Read the scenario of a node: the JSON file of a bundle, or any scenario file.

    Raises:
        InvalidScenario: It is not valid.
        InvalidData: A file it names has changed, the JSON is damaged, or it is that of a node without the data of all.
    """
    if path.suffix != ".json":
        return load(path)
    if holds_part(path):
        what = "is the scenario of a node, which holds the readings of its own homes at most"
        raise InvalidData.of(
            str(path), what, "use the scenario from which `wattswap node init` made the node"
        )
    return _loaded(path)


def _loaded(path: Path, *, without_data: bool = False) -> Scenario:
    """Read the JSON file of a bundle; see `load_bundle`."""
    cure = "copy the scenario's folder back from another node of the neighbourhood"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidData.of(str(path), f"cannot be read: {error.strerror}", cure) from None
    except ValueError:
        raise InvalidData.of(str(path), "is not the JSON that was written", cure) from None
    if isinstance(content, dict) and set(content) == {"resolved", "base"}:  # a run folder's own
        return from_resolved(content["resolved"], content["base"])
    if not isinstance(content, dict):
        raise InvalidData.of(str(path), "is not a scenario", cure)
    return from_resolved(content, path.parent, without_data=without_data)


def setup_of(config: NodeConfig, genesis: Genesis) -> Setup:
    """Prepare a node's scenario and check that it is the one the genesis commits to.

    Its `keys` and `genesis` are those of a simulation: a node signs with its keystore and follows its genesis file.

    Raises:
        InvalidData: Another scenario, other meter data or other homes, or none of a home of this node.
        WattswapError: The scenario cannot run.
    """
    path = config.scenario_path
    if holds_part(path):
        held = read_held(path.parent, config.role, config.households)
        setup = prepare(_loaded(path, without_data=True), held=held)
    else:
        setup = prepare(load_bundle(path))
    ours = setup.genesis
    # The validators may have agreed on other parameters to govern, and on other accounts and modules; nothing else.
    params = replace(ours.params, governed=genesis.params.governed)
    if (params, ours.members) != (genesis.params, genesis.members):
        what = f"is not the scenario, with its data, that {config.genesis_path} commits to"
        cure = f"copy {SCENARIO}, {HOMES} and genesis.bin from another node of the neighbourhood"
        raise InvalidData.of(str(config.scenario_path), what, cure)
    return setup


def members_beside(config: NodeConfig, setup: Setup) -> Members:
    """Read the list of homes beside a node's genesis.

    Raises:
        GenesisError: It is missing, damaged or of another genesis or roster.
    """
    return read_members(config.genesis_path.with_name(MEMBERS), setup.roster, setup.genesis.members_root)


def link_bundle(bundle: Path, folder: Path) -> None:
    """Put a written bundle into another folder, without storing its files twice on the same disk."""
    shutil.copytree(bundle, folder, copy_function=_link)
    # The scenario may be edited: each node has its own copy.
    (folder / SCENARIO).unlink()
    write_private(folder / SCENARIO, (bundle / SCENARIO).read_text(encoding="utf-8"))


def _place(named: str, key: str) -> str:
    """The place of a file: its own relative path, or KEY-NAME if that leads out of the folder."""
    path = PurePath(named)
    return f"{key}-{path.name}" if path.is_absolute() or ".." in path.parts else str(path)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a disk without links
        shutil.copyfile(source, target)
