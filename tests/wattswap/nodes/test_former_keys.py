"""The folder of a node whose home has rotated its key: both keystores, each for its intervals."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import wattswap as ws
from p2p.blocks.block import Tx
from p2p.blocks.genesis import read_genesis
from p2p.blocks.possession import check_possession
from p2p.errors import KeyFileError
from p2p.ledger.modules.accounts import EnterArgs
from p2p.ledger.state import apply, initial_state
from p2p.ledger.store import ChainStore
from p2p.wire.codec import decode
from p2p.wire.keystore import public_keys
from tests.kits.known_kit import FolderChain, identity_of
from tests.kits.run_kit import call, refused
from wattswap.nodes.config import InvalidConfig, NodeConfig, former_key, household_key, load_config
from wattswap.nodes.keys import make_keys, open_keys
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.nodes.roles import _former, prepared

Capture = pytest.CaptureFixture[str]
BEGIN_MS = 1_800_000_000_000
HOME = "home-2"
KEY = household_key(HOME)


@pytest.fixture
def place(street: Path, tmp_path: Path) -> Path:
    """The folder of a home's node, with another keystore than the one that was in the genesis."""
    made = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan())
    folder = next(config.folder for config in made if config.name == HOME)
    make_keys(tmp_path / "new", "household", HOME, [HOME], None)
    (folder / "former").mkdir()
    for name in ("keystore.json", "keystore.key"):
        shutil.move(folder / name, folder / "former" / name)
        shutil.copy2(tmp_path / "new" / name, folder / name)
    return folder


def configured(folder: Path, lines: str) -> NodeConfig:
    path = folder / "config.toml"
    path.write_text(path.read_text().replace("[keystore]\n", f"[keystore]\n{lines}\n"))
    return load_config(folder)


def test_a_key_that_the_genesis_does_not_have_needs_the_one_that_it_has_replaced(place: Path) -> None:
    config = load_config(place)
    with pytest.raises(InvalidConfig, match="name the folder with the keystore of before as former"):
        open_keys(config, {}, read_genesis(config.genesis_path))


def test_both_keys_are_opened(place: Path) -> None:
    config = configured(place, 'former = "former"\nsigns_from_unix_s = 1474278300')
    keys = open_keys(config, {}, read_genesis(config.genesis_path))
    assert keys[KEY].public_key == public_keys(place / "keystore.json")[KEY]
    assert keys[former_key(KEY)].public_key == public_keys(place / "former" / "keystore.json")[KEY]
    assert config.keystore.signs_from_unix_s == 1_474_278_300


def test_a_time_without_former_keys_is_refused(place: Path) -> None:
    with pytest.raises(InvalidConfig, match='give former = "FOLDER"'):
        configured(place, "signs_from_unix_s = 1474278300")


def test_former_keys_of_a_home_without_a_time_are_refused(place: Path) -> None:
    with pytest.raises(InvalidConfig, match="not when the new ones sign; give signs_from_unix_s"):
        configured(place, 'former = "former"')


@pytest.mark.parametrize("other", ["the same keys", "the keys of another home"])
def test_a_former_keystore_without_a_key_that_was_replaced_is_refused(place: Path, other: str) -> None:
    same = other == "the same keys"
    source = place if same else next(path for path in place.parent.glob("home-*") if path != place)
    for name in ("keystore.json", "keystore.key"):
        shutil.copy2(source / name, place / "former" / name)
    config = configured(place, 'former = "former"\nsigns_from_unix_s = 1474278300')
    with pytest.raises(KeyFileError, match="holds no key that was replaced"):
        open_keys(config, {}, read_genesis(config.genesis_path))


def test_a_key_does_not_take_its_own_place(place: Path, capsys: Capture) -> None:
    config = load_config(place)
    new = public_keys(place / "keystore.json")[KEY]
    words = ("--key", str(place.parent.parent / "new"), "--genesis", str(config.genesis_path))
    done = call(capsys, "chain", "possession", *words, "--instead-of", new.hex())
    refused(done, 2, "itself; give the key that it replaces")


def test_the_keys_that_node_keys_makes_sign_that_they_take_the_place_of_others(
    place: Path, tmp_path: Path, capsys: Capture
) -> None:
    genesis = load_config(place).genesis_path
    old = public_keys(place / "former" / "keystore.json")[KEY]
    words = ("--key", str(tmp_path / "new"), "--genesis", str(genesis), "--instead-of", old.hex())
    proof = bytes.fromhex(call(capsys, "chain", "possession", *words).out.strip())
    new = public_keys(tmp_path / "new" / "keystore.json")[KEY]
    check_possession(new, proof, read_genesis(genesis).chain_id, old)


def test_a_home_enters_with_the_key_of_its_nodes_folder(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    made = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan())
    config = next(config for config in made if config.name == HOME)
    genesis, out = read_genesis(config.genesis_path), tmp_path / "enter.tx"
    words = ("--genesis", str(config.genesis_path), "--nonce", "1", "--valid-until", "9", "--out", str(out))
    call(capsys, "chain", "enter", "--key", str(config.folder), *words)
    tx = decode(Tx, out.read_bytes())
    assert tx.sender == public_keys(config.keystore_path)[KEY]
    state = apply(initial_state(genesis), tx, 1, genesis)
    assert state.home_of(tx.sender) == 1


def test_a_key_of_no_home_cannot_enter(street: Path, tmp_path: Path, capsys: Capture) -> None:
    made = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan())
    operator = next(config for config in made if config.role == "operator")
    words = ("--nonce", "1", "--valid-until", "9", "--out", str(tmp_path / "enter.tx"))
    place = ("--key", str(operator.folder), "--genesis", str(operator.genesis_path))
    refused(call(capsys, "chain", "enter", *place, *words), 2, "is the key of no home of this chain")
    assert not (tmp_path / "enter.tx").exists()


def test_a_home_that_has_entered_builds_no_second_transaction_of_it(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    """With the chain at hand a transaction is executed on its newest state before it is written."""
    made = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan(derived=True))
    nodes = {config.name: config for config in made}
    chain, run = FolderChain(nodes), nodes["validator-0"].folder
    chain.call(
        identity_of(nodes[HOME], chain.setup), "accounts.enter", EnterArgs(chain.setup.member_list.proof(1))
    )
    with ChainStore.create(run / "chain.db", chain.genesis) as store:
        for block, cert in chain.made:
            store.append(block, cert)
    words = ("--key", str(nodes[HOME].folder), "--run", str(run), "--out", str(tmp_path / "enter.tx"))
    refused(call(capsys, "chain", "enter", *words), 5, "member_known")
    assert not (tmp_path / "enter.tx").exists()


def test_new_keys_begin_with_an_interval(place: Path) -> None:
    config = configured(place, 'former = "former"\nsigns_from_unix_s = 1474278301')
    setup = prepared(config)
    node = SimpleNamespace(config=config, keys=open_keys(config, {}, setup.genesis), setup=setup)
    with pytest.raises(InvalidConfig, match="signs_from_unix_s = 1474278301 is no start of an interval"):
        _former(node)  # type: ignore[arg-type]
