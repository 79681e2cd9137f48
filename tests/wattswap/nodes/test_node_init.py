"""node init and node keys: a whole neighbourhood of folders or nothing, and each folder is complete in itself."""

from __future__ import annotations

import json
import re
import shutil
import stat
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

import wattswap as ws
from p2p.blocks.genesis import Genesis, read_genesis
from p2p.blocks.members import read_member_file
from p2p.transports.base import peer_id_of
from p2p.wire import keystore
from p2p.wire.identity import Identity
from p2p.wire.keystore import Lock, open_keystore, public_keys
from tests.kits.run_kit import FIRST, call, files_below, one_object, refused, write_street
from wattswap.errors import InvalidData, UsageError
from wattswap.nodes.bundle import setup_of
from wattswap.nodes.config import InvalidConfig, NodeConfig, load_config
from wattswap.nodes.keys import load_public_keys, make_keys, open_keys
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes, node_slots
from wattswap.runs.prepare import prepare

Capture = pytest.CaptureFixture[str]
BEGIN_MS = 1_800_000_000_000
ROSTER = ("home-1", "home-2", "home-3")


def member_keys(genesis: Path) -> tuple[bytes, ...]:
    """Public keys of the homes, out of the list beside a genesis."""
    root = read_genesis(genesis).members_root
    return tuple(member.key for member in read_member_file(genesis.with_name("members.bin"), root))


@pytest.fixture(scope="module")
def made(street: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[NodeConfig, ...]:
    """Folders of the small street with a node for each home; look, do not touch."""
    folder = tmp_path_factory.mktemp("nodes") / "street"
    return init_nodes(ws.load(street), folder, NetworkSpec(BEGIN_MS, observers=1), KeyPlan())


def names(found: tuple[NodeConfig, ...]) -> list[str]:
    return [config.name for config in found]


def test_every_node_has_a_folder_with_a_config_that_reads_back(made: tuple[NodeConfig, ...]) -> None:
    validators = [f"validator-{i}" for i in range(4)]
    assert names(made) == [*validators, "operator-0", "observer-0", *ROSTER]
    assert [load_config(config.folder) for config in made] == list(made)
    assert len({config.listen.port for config in made}) == len(made)


def test_secrets_are_readable_by_their_owner_only(made: tuple[NodeConfig, ...]) -> None:
    for config in made:
        assert stat.S_IMODE(config.folder.stat().st_mode) == 0o700
        for name in ("keystore.json", "keystore.key"):
            assert stat.S_IMODE((config.folder / name).stat().st_mode) == 0o600


def test_the_genesis_is_the_same_everywhere_and_holds_the_keys_of_the_keystores(
    made: tuple[NodeConfig, ...],
) -> None:
    (data,) = {config.genesis_path.read_bytes() for config in made}
    genesis = read_genesis(made[0].genesis_path)
    keys = {config.name: public_keys(config.keystore_path) for config in made}
    assert genesis.authorities == tuple(keys[f"validator-{i}"]["consensus"] for i in range(4))
    assert genesis.operator == keys["operator-0"]["operator"]
    assert member_keys(made[0].genesis_path) == tuple(keys[home][f"household/{home}"] for home in ROSTER)
    assert len({key for held in keys.values() for key in held.values()}) == len(made)
    assert data


def test_everybody_knows_validators_operators_and_observers_by_key_and_address(
    made: tuple[NodeConfig, ...],
) -> None:
    by_name = {config.name: config for config in made}
    for config in made:
        assert {peer.name for peer in config.peers} == set(names(made)) - {config.name} - set(ROSTER)
        for peer in config.peers:
            other = by_name[peer.name]
            (key,) = public_keys(other.keystore_path).values()
            assert peer.key == key
            assert peer.address == f"/ip4/127.0.0.1/tcp/{other.listen.port}/p2p/{peer_id_of(key)}"


def test_a_moved_folder_works_where_the_scenario_is_gone(tmp_path: Path) -> None:
    scenario = write_street(tmp_path / "scenario")
    init_nodes(ws.load(scenario), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan())
    shutil.move(tmp_path / "nodes" / "home-2", tmp_path / "elsewhere")
    shutil.rmtree(scenario)
    shutil.rmtree(tmp_path / "nodes")
    config = load_config(tmp_path / "elsewhere")
    genesis = read_genesis(config.genesis_path)
    keys = open_keys(config, {}, genesis)
    assert keys["household/home-2"].public_key == member_keys(config.genesis_path)[1]
    setup = setup_of(config, genesis)
    assert setup.roster == ROSTER
    assert setup.genesis.params == genesis.params


def test_other_facts_of_the_data_than_the_genesis_commits_to_are_named(street: Path, tmp_path: Path) -> None:
    made = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS, gateways=1), KeyPlan())
    genesis = read_genesis(made[0].genesis_path)
    facts = made[0].scenario_path.with_name("homes.json")
    content = json.loads(facts.read_text())
    content["readings"][1] = "00" * 32
    facts.write_text(json.dumps(content))
    with pytest.raises(InvalidData, match="commits to"):
        setup_of(made[0], genesis)
    assert setup_of(made[1], genesis).roster == ROSTER


@pytest.mark.parametrize(
    "changes",
    [
        {"order_kinds": (0, 1)},
        {"max_energy_wh": 2**62},
        {"max_price_micro_per_kwh": 2**62},
        {"max_node": 0},
        {"currency": "USD"},
        {"minutes": 5},
    ],
)
def test_a_genesis_of_other_rules_than_the_scenario_is_refused(
    changes: dict[str, object], made: tuple[NodeConfig, ...]
) -> None:
    """Wider limits would let a home hand in an order that the mechanism cannot clear, and nobody could settle."""
    genesis = read_genesis(made[0].genesis_path)
    params = msgspec.structs.replace(genesis.params, **changes)
    with pytest.raises(InvalidData, match="commits to"):
        setup_of(made[0], msgspec.structs.replace(genesis, params=params))
    governed = msgspec.structs.replace(genesis.params.governed, tx_quota=7)
    params = msgspec.structs.replace(genesis.params, governed=governed)
    assert setup_of(made[0], msgspec.structs.replace(genesis, params=params)).roster == ROSTER


def test_a_damaged_scenario_is_named(street: Path, tmp_path: Path) -> None:
    config = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS, gateways=1), KeyPlan())[0]
    config.scenario_path.write_text("{")
    with pytest.raises(InvalidData, match="another node"):
        setup_of(config, read_genesis(config.genesis_path))


def test_what_happens_to_one_nodes_scenario_file_leaves_the_others_alone(
    street: Path, tmp_path: Path
) -> None:
    one, other, *_ = init_nodes(
        ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS, gateways=1), KeyPlan()
    )
    before = other.scenario_path.read_bytes()
    one.scenario_path.write_text("{}")
    assert other.scenario_path.read_bytes() == before


def test_a_passphrase_opens_every_node(street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(keystore.SCRYPT, "n", 2**14)
    keys = KeyPlan(Lock.passphrase("six random words"), "STREET_PASS")
    for config in init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS, gateways=1), keys):
        assert not (config.folder / "keystore.key").exists()
        opened = open_keys(config, {"STREET_PASS": "six random words"}, read_genesis(config.genesis_path))
        assert {name: key.public_key for name, key in opened.items()} == public_keys(config.keystore_path)
        with pytest.raises(InvalidData, match="STREET_PASS"):
            open_keys(config, {}, read_genesis(config.genesis_path))


def test_meter_data_outside_the_scenarios_folder_are_read_and_prices_come_along(tmp_path: Path) -> None:
    scenario = write_street(tmp_path / "scenario")
    (scenario / "meter.csv").rename(tmp_path / "far.csv")
    hours = (f"{FIRST + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ},0.25" for hour in range(72))
    (tmp_path / "prices.csv").write_text("\n".join(["timestamp,price_per_kwh", *hours, ""]))
    text = (scenario / "scenario.toml").read_text().replace('"meter.csv"', '"../far.csv"')
    retail = re.search(r"\[tariff\]\nimport_per_kwh = .*\n", text)
    assert retail is not None
    text = text.replace(retail[0], '[tariff]\nimport_series = "../prices.csv"\n')
    (scenario / "scenario.toml").write_text(text)
    made = init_nodes(ws.load(scenario), tmp_path / "nodes", NetworkSpec(BEGIN_MS, gateways=1), KeyPlan())
    (tmp_path / "far.csv").unlink()
    found = files_below(made[0].folder / "scenario")
    assert found == ["homes.json", "import_series-prices.csv", "scenario.json", "weights.json"]
    assert setup_of(made[-1], read_genesis(made[-1].genesis_path)).roster == ROSTER


def test_derived_keys_give_the_genesis_of_a_run(street: Path, tmp_path: Path) -> None:
    scenario = ws.load(street)
    made = init_nodes(scenario, tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan(derived=True))
    assert read_genesis(made[0].genesis_path) == prepare(scenario).genesis


def test_keys_are_random_unless_they_are_asked_to_be_derived(
    made: tuple[NodeConfig, ...], street: Path
) -> None:
    setup = prepare(ws.load(street))
    derived: Genesis = setup.genesis
    genesis = read_genesis(made[0].genesis_path)
    ours = {*genesis.authorities, *member_keys(made[0].genesis_path), genesis.operator}
    assert not ours & {*derived.authorities, *setup.member_list.keys, derived.operator}


def test_a_secret_file_goes_into_no_folder(street: Path, tmp_path: Path) -> None:
    scenario = tmp_path / "scenario"
    shutil.copytree(street, scenario)
    Lock.new_key_file(scenario / "community.secret")
    secret = (scenario / "community.secret").read_text().strip()
    text = (scenario / "scenario.toml").read_text() + '\n[chain]\nsecret_file = "community.secret"\n'
    (scenario / "scenario.toml").write_text(text)
    for derived in (False, True):
        made = init_nodes(
            ws.load(scenario),
            tmp_path / f"{derived}",
            NetworkSpec(BEGIN_MS, gateways=1),
            KeyPlan(derived=derived),
        )
        contents = [path.read_bytes() for path in (tmp_path / f"{derived}").rglob("*") if path.is_file()]
        assert not [content for content in contents if secret.encode() in content]
        expected = prepare(ws.load(scenario)).genesis.authorities
        assert (read_genesis(made[0].genesis_path).authorities == expected) is derived


def test_gateways_share_the_homes_in_roster_order() -> None:
    roster = tuple(f"h{i}" for i in range(10))
    by_number = [
        slot.households for slot in node_slots(roster, NetworkSpec(0, gateways=3)) if slot.role == "gateway"
    ]
    by_size = [
        slot.households
        for slot in node_slots(roster, NetworkSpec(0, households_per_gateway=4))
        if slot.role == "gateway"
    ]
    for shares in (by_number, by_size):
        assert sum(shares, ()) == roster
        assert {len(share) for share in shares} == {3, 4}


def test_homes_whose_id_is_no_folder_name_are_numbered() -> None:
    roster = ("a/b", "operator-0", "fine", "household-0")
    found = [slot.name for slot in node_slots(roster, NetworkSpec(0)) if slot.role == "household"]
    assert found == ["household-0", "household-1", "fine", "household-3"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in found)


def test_every_number_that_does_not_fit_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        node_slots(
            ROSTER,
            NetworkSpec(1, validators=3, operators=9, gateways=4, observers=-1, pace_s=0.0, first_port=80),
        )
    wheres = [problem.where for problem in caught.value.problems]
    assert wheres == [
        "--validators",
        "--operators",
        "--gateways",
        "--observers",
        "--pace-seconds",
        "--first-port",
    ]


@pytest.mark.parametrize(
    ("validators", "fits"), [(0, False), (1, True), (2, False), (4, True), (25, True), (26, False)]
)
def test_there_is_one_authority_or_four_to_twenty_five(validators: int, fits: bool) -> None:
    try:
        node_slots(ROSTER, NetworkSpec(0, validators=validators))
    except UsageError:
        assert not fits
    else:
        assert fits


def test_an_existing_folder_is_refused_even_when_empty(street: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "taken").mkdir()
    refused(call(capsys, "node", "init", street, tmp_path / "taken"), 3, "exists already")
    assert files_below(tmp_path) == ["taken"]


def test_a_failure_leaves_nothing_behind(street: Path, tmp_path: Path) -> None:
    def fail(*_: object) -> Genesis:
        raise UsageError.of("", "no genesis today")

    with pytest.raises(UsageError):
        init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan(), make_genesis=fail)
    assert files_below(tmp_path) == []


def test_an_owners_keys_go_into_the_genesis_and_his_keystore_opens_his_node(
    street: Path, tmp_path: Path
) -> None:
    make_keys(tmp_path / "his", "validator", "validator-2", [], None)
    make_keys(tmp_path / "hers", "gateway", "gateway-0", ROSTER, None)
    both = "\n".join((tmp_path / who / "public-keys.toml").read_text() for who in ("his", "hers"))
    (tmp_path / "both.toml").write_text(both)
    given = load_public_keys(tmp_path / "both.toml")
    made = init_nodes(
        ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS, gateways=1), KeyPlan(given=given)
    )
    (config,) = [config for config in made if config.name == "validator-2"]
    assert not config.keystore_path.exists()
    for name in ("keystore.json", "keystore.key"):
        shutil.copy2(tmp_path / "his" / name, config.folder)
    genesis = read_genesis(config.genesis_path)
    assert open_keys(config, {}, genesis)["consensus"].public_key == genesis.authorities[2]
    hers = public_keys(tmp_path / "hers" / "keystore.json")
    assert member_keys(config.genesis_path) == tuple(hers[f"household/{home}"] for home in ROSTER)


def test_given_keys_that_fit_no_node_are_all_named(street: Path, tmp_path: Path) -> None:
    given = {
        "validatr-2": make_keys(tmp_path / "a", "validator", "validatr-2", [], None),
        "operator-0": make_keys(tmp_path / "b", "validator", "operator-0", [], None),
    }
    with pytest.raises(UsageError) as caught:
        init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan(given=given))
    text = str(caught.value)
    assert "did you mean 'validator-2'" in text
    assert "node 'operator-0' has role operator here, for no home" in text


def test_a_file_of_public_keys_names_its_mistakes_with_lines(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    block = '[[nodes]]\nname = "validator-1"\nrole = "validator"\n[nodes.public_keys]\nconsensus = "{}"\n'
    file.write_text(block.format("zz") + block.format("ab" * 32).replace("role =", "rol ="))
    with pytest.raises(InvalidConfig) as caught:
        load_public_keys(file)
    found = {(problem.line, problem.key) for problem in caught.value.problems}
    assert (5, "nodes[0].public_keys.consensus") in found
    assert (8, "nodes[1].rol") in found


def test_keys_of_another_node_do_not_open_a_node(street: Path, tmp_path: Path) -> None:
    made = init_nodes(ws.load(street), tmp_path / "nodes", NetworkSpec(BEGIN_MS), KeyPlan())
    by_name = {config.name: config for config in made}
    for name in ("keystore.json", "keystore.key"):
        shutil.copy2(by_name["home-1"].folder / name, by_name["home-2"].folder / name)
    config = by_name["home-2"]
    with pytest.raises(Exception, match="keystore of another node"):
        open_keys(config, {}, read_genesis(config.genesis_path))


def test_a_genesis_of_other_keys_is_named(made: tuple[NodeConfig, ...], street: Path) -> None:
    config = next(config for config in made if config.role == "operator")
    with pytest.raises(InvalidConfig, match="does not know the key operator"):
        open_keys(config, {}, prepare(ws.load(street)).genesis)


def test_the_command_prints_the_start_order_and_what_comes_next(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    outcome = call(
        capsys, "node", "init", street, tmp_path / "n", "--gateways", 1, "--begin", "2026-12-01T00:00Z"
    )
    assert outcome.code == 0, outcome.err
    starts = [line.strip() for line in outcome.out.splitlines() if "node run" in line]
    assert starts[0] == f"wattswap node run {tmp_path / 'n' / 'validator-0'}"
    assert starts[-1] == f"wattswap node run {tmp_path / 'n' / 'gateway-0'}"
    assert "2026-12-01T00:00:00Z" in outcome.out
    assert f"wattswap network status {tmp_path / 'n'}" in outcome.out


def test_the_command_seals_with_the_passphrase_of_a_variable(
    street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("node", "keys", tmp_path / "k", "--role", "operator", "--name", "operator-0")
    monkeypatch.delenv("STREET_PASS", raising=False)
    refused(call(capsys, *arguments, "--passphrase-env", "STREET_PASS"), 3, "STREET_PASS", "is not set")
    monkeypatch.setenv("STREET_PASS", "short")
    refused(call(capsys, *arguments, "--passphrase-env", "STREET_PASS"), 3, "at least 8")
    monkeypatch.setenv("STREET_PASS", "long enough for all")
    outcome = call(capsys, *arguments, "--passphrase-env", "STREET_PASS")
    opened = open_keystore(tmp_path / "k" / "keystore.json", Lock.passphrase("long enough for all"))
    assert isinstance(opened["operator"], Identity)
    assert opened["operator"].public_key.hex() in outcome.out
    assert opened["operator"].seed.hex() not in outcome.out + outcome.err
    assert files_below(tmp_path / "k") == ["keystore.json", "public-keys.toml"]


def test_the_command_for_keys_refuses_what_does_not_fit(tmp_path: Path, capsys: Capture) -> None:
    keys = ("node", "keys", tmp_path / "k", "--name")
    refused(call(capsys, *keys, "x", "--role", "operatorr"), 2, "did you mean 'operator'")
    refused(call(capsys, *keys, "no/name", "--role", "household"), 2, "2 problems", "exactly one home")
    refused(
        call(capsys, *keys, "x", "--role", "operator", "--key-file", "--passphrase-env", "X"), 2, "excludes"
    )
    assert files_below(tmp_path) == []


def test_a_single_validator_is_warned_about(street: Path, tmp_path: Path, capsys: Capture) -> None:
    outcome = call(
        capsys, "node", "init", street, tmp_path / "n", "--validators", 1, "--gateways", 1, "--derived-keys"
    )
    assert outcome.code == 0
    assert "a single validator is for tests only" in outcome.err
    assert "can be guessed" in outcome.err


def test_the_json_names_the_chain_and_the_nodes(street: Path, tmp_path: Path, capsys: Capture) -> None:
    facts = one_object(
        call(
            capsys, "node", "init", street, tmp_path / "n", "--gateways", 1, "--first-port", 20_000, "--json"
        )
    )
    assert facts["chain_id"] == read_genesis(tmp_path / "n" / "gateway-0" / "genesis.bin").chain_id.hex()
    assert [node["port"] for node in facts["nodes"]] == list(range(20_000, 20_006))


def test_a_number_that_is_refused_is_shown_in_digits(street: Path, tmp_path: Path, capsys: Capture) -> None:
    for given, shown in (("1000000", "1,000,000 s"), ("-2.5", "-2.5 s")):
        outcome = call(capsys, "node", "init", street, tmp_path / "net", "--pace-seconds", given)
        refused(outcome, 2, f"--pace-seconds: {shown}; use more than 0")


def test_an_observer_signs_no_transaction(
    made: tuple[NodeConfig, ...], tmp_path: Path, capsys: Capture
) -> None:
    observer = next(config for config in made if config.role == "observer")
    words = ("--key", observer.folder, "--genesis", observer.genesis_path)
    refused(call(capsys, "chain", "possession", *words), 2, "an observer, which signs nothing")
