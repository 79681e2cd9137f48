"""Keys of meters in the folders of nodes: a keystore of their own, and the keys that the genesis has."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest

import wattswap as ws
from p2p.blocks.genesis import read_genesis
from p2p.blocks.members import read_member_file
from p2p.errors import KeyFileError
from p2p.wire.keystore import public_keys
from tests.kits.run_kit import call, refused
from wattswap.nodes.config import InvalidConfig, NodeConfig, load_config, meter_key
from wattswap.nodes.keys import METERS, PublicNode, load_public_keys, make_keys, open_keys
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes

Capture = pytest.CaptureFixture[str]
BEGIN_MS = 1_800_000_000_000
ROSTER = ("home-1", "home-2", "home-3")
HOME = "home-2"


def registered(config: NodeConfig) -> tuple[bytes, ...]:
    """Public keys of the meters, out of the list beside a genesis."""
    root = read_genesis(config.genesis_path).members_root
    return tuple(
        member.meter_key for member in read_member_file(config.genesis_path.with_name("members.bin"), root)
    )


def opened(config: NodeConfig) -> dict[str, bytes]:
    """Public keys of all that a node opens at its start."""
    genesis = read_genesis(config.genesis_path)
    return {name: key.public_key for name, key in open_keys(config, {}, genesis).items()}


def of_node(made: tuple[NodeConfig, ...], name: str) -> NodeConfig:
    return next(config for config in made if config.name == name)


def init(
    street: Path, folder: Path, gateways: int = 0, *metered: str, **plan: object
) -> tuple[NodeConfig, ...]:
    keys = KeyPlan(has_meter_key=metered.__contains__, **plan)  # type: ignore[arg-type]
    return init_nodes(ws.load(street), folder, NetworkSpec(BEGIN_MS, gateways=gateways), keys)


def configured(config: NodeConfig, old: str, new: str) -> NodeConfig:
    path = config.folder / "config.toml"
    text, count = re.subn(old, new, path.read_text())
    assert count == 1
    path.write_text(text)
    return load_config(config.folder)


def test_each_meter_has_a_key_in_a_keystore_of_its_own(street: Path, tmp_path: Path, capsys: Capture) -> None:
    call(capsys, "node", "init", street, tmp_path / "nodes", "--meter-keys")
    nodes = {home: load_config(tmp_path / "nodes" / home) for home in ROSTER}
    for i, (home, config) in enumerate(nodes.items()):
        held = public_keys(config.folder / METERS / "keystore.json")
        assert held == {meter_key(home): registered(config)[i]}
        assert set(public_keys(config.keystore_path)) == {f"household/{home}"}
        assert opened(config) == {**public_keys(config.keystore_path), **held}
        assert stat.S_IMODE((config.folder / METERS).stat().st_mode) == 0o700
        for name in ("keystore.json", "keystore.key"):
            assert stat.S_IMODE((config.folder / METERS / name).stat().st_mode) == 0o600
        own = (config.folder / "keystore.key").read_bytes()
        assert (config.folder / METERS / "keystore.key").read_bytes() != own
    assert len({*registered(nodes[HOME])}) == len(ROSTER)
    assert not (tmp_path / "nodes" / "operator-0" / METERS).exists()


def test_a_gateway_holds_the_keys_of_the_meters_that_have_one(street: Path, tmp_path: Path) -> None:
    config = of_node(init(street, tmp_path / "nodes", 1, HOME), "gateway-0")
    key = registered(config)[1]
    assert registered(config) == (b"", key, b"")
    meters = {name: found for name, found in opened(config).items() if name.startswith("meter/")}
    assert meters == {meter_key(HOME): key}


def test_no_meter_has_a_key_that_was_not_asked_for(street: Path, tmp_path: Path) -> None:
    config = of_node(init(street, tmp_path / "nodes"), HOME)
    assert registered(config) == (b"", b"", b"")
    assert config.keystore.meters is None
    assert not (config.folder / METERS).exists()
    assert set(opened(config)) == {f"household/{HOME}"}


def test_derived_keys_of_meters_are_the_same_again(street: Path, tmp_path: Path) -> None:
    one, other = (init(street, tmp_path / name, 0, *ROSTER, derived=True)[0] for name in ("a", "b"))
    assert registered(one) == registered(other)
    assert len({*registered(one)}) == len(ROSTER)
    random = init(street, tmp_path / "c", 0, *ROSTER)[0]
    assert not {*registered(random)} & {*registered(one)}


def test_a_passphrase_opens_both_keystores(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("PASSPHRASE", "a long sentence that nobody guesses")
    words = ("--meter-keys", "--passphrase-env", "PASSPHRASE", "--gateways", "1")
    call(capsys, "node", "init", street, tmp_path / "nodes", *words)
    config = load_config(tmp_path / "nodes" / "gateway-0")
    keys = open_keys(
        config,
        {"PASSPHRASE": "a long sentence that nobody guesses"},
        read_genesis(config.genesis_path),
    )
    assert {meter_key(home) for home in ROSTER} < set(keys)
    assert not (config.folder / METERS / "keystore.key").exists()


def test_a_node_without_the_key_of_a_registered_meter_does_not_start(street: Path, tmp_path: Path) -> None:
    """It could sign no reading that counts."""
    config = of_node(init(street, tmp_path / "nodes", 0, *ROSTER), HOME)
    shutil.rmtree(config.folder / METERS)
    with pytest.raises(KeyFileError, match=r"meters/keystore\.key"):
        opened(config)
    config = configured(config, 'meters = "meters".*\n', "")
    with pytest.raises(
        InvalidConfig, match="of home 'home-2', which this node does not hold; name the folder"
    ):
        opened(config)


def test_the_key_of_another_meter_is_refused(street: Path, tmp_path: Path) -> None:
    made = init(street, tmp_path / "nodes", 0, *ROSTER)
    config = of_node(made, HOME)
    make_keys(tmp_path / "new", "household", HOME, [HOME], None, with_meters=True)
    for source in (of_node(made, "home-1").folder / METERS, tmp_path / "new" / METERS):
        shutil.rmtree(config.folder / METERS)
        shutil.copytree(source, config.folder / METERS)
        with pytest.raises(InvalidConfig, match="which this node does not hold"):
            opened(config)


def test_a_key_of_a_meter_that_the_genesis_does_not_have_is_refused(street: Path, tmp_path: Path) -> None:
    """The readings that it signs would count nowhere."""
    config = of_node(init(street, tmp_path / "nodes", 0, "home-1"), HOME)
    make_keys(tmp_path / "new", "household", HOME, [HOME], None, with_meters=True)
    shutil.copytree(tmp_path / "new" / METERS, config.folder / METERS)
    assert set(opened(config)) == {f"household/{HOME}"}, "its config names no meters"
    config = configured(config, r"\[keystore\]\n", '[keystore]\nmeters = "meters"\n')
    with pytest.raises(InvalidConfig, match="has no meter key of home 'home-2'; remove meters"):
        opened(config)


def test_an_owner_makes_the_keys_of_the_meters_too(street: Path, tmp_path: Path, capsys: Capture) -> None:
    words = (
        "--role",
        "gateway",
        "--name",
        "gateway-0",
        *(w for home in ROSTER for w in ("--household", home)),
    )
    call(capsys, "node", "keys", tmp_path / "hers", *words, "--meter-keys")
    given = tmp_path / "hers" / "public-keys.toml"
    assert len(load_public_keys(given)["gateway-0"].public_keys) == 1 + 2 * len(ROSTER)
    nodes = tmp_path / "nodes"
    done = call(capsys, "node", "init", street, nodes, "--gateways", "1", "--public-keys", given)
    assert f"keystore.json to {nodes / 'gateway-0'}" in done.out
    assert f"meters to {nodes / 'gateway-0'}" in done.out
    config = load_config(nodes / "gateway-0")
    for name in ("keystore.json", "keystore.key"):
        shutil.copy2(tmp_path / "hers" / name, config.folder)
    shutil.copytree(tmp_path / "hers" / METERS, config.folder / METERS)
    assert tuple(opened(config)[meter_key(home)] for home in ROSTER) == registered(config)


def test_the_meter_of_a_home_of_another_node_is_refused() -> None:
    keys = {"household/home-1": "0" * 64, meter_key("home-2"): "1" * 64}
    with pytest.raises(ValueError, match="does not hold the keys of this role"):
        PublicNode(name="home-1", role="household", households=("home-1",), public_keys=keys)


def test_two_owners_with_one_meter_key_are_refused(street: Path, tmp_path: Path, capsys: Capture) -> None:
    for home in ROSTER[:2]:
        make_keys(tmp_path / home, "household", home, [home], None, with_meters=True)
    texts = {home: (tmp_path / home / "public-keys.toml").read_text() for home in ROSTER[:2]}
    keys = [
        public_keys(tmp_path / home / METERS / "keystore.json")[meter_key(home)].hex() for home in ROSTER[:2]
    ]
    given = tmp_path / "both.toml"
    given.write_text("\n".join((texts["home-1"], texts["home-2"].replace(keys[1], keys[0]))))
    done = call(capsys, "node", "init", street, tmp_path / "nodes", "--public-keys", given)
    refused(done, 2, "have the same key")


def test_a_node_without_homes_has_no_meters(street: Path, tmp_path: Path) -> None:
    config = of_node(init(street, tmp_path / "nodes"), "operator-0")
    with pytest.raises(InvalidConfig, match="means nothing for role operator"):
        configured(config, r"\[keystore\]\n", '[keystore]\nmeters = "meters"\n')
