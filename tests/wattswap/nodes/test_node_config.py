"""A node's config.toml: what it says is what is read, and every mistake is named at once, with its line."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattswap.errors import AlreadyExists, Problem
from wattswap.nodes.config import (
    Clock,
    InvalidConfig,
    Keystore,
    Listen,
    NodeConfig,
    config_text,
    key_names,
    load_config,
    toml_value,
    write_config,
)

KEY = "ab" * 32
PEER = "12D3KooWCDN6r4FK2FyK1DvhR21c7XBn6x99niVZLFpDWEeBhp7C"
GOOD = f"""\
schema = 1
role = "validator"
name = "validator-0"
scenario = "scenario/scenario.json"

[listen]
port = 4001

[keystore]
key_file = "keystore.key"

[clock]
begin_unix_ms = 1800000000000
pace_s = 10
gate_s = 4
takeover_s = 1.5

[[peers]]
name = "validator-1"
role = "validator"
public_key = "{KEY}"
address = "/ip4/127.0.0.1/tcp/4002/p2p/{PEER}"
"""


def read(folder: Path, text: str) -> NodeConfig:
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load_config(folder)


def problems(folder: Path, *changes: tuple[str, str], more: str = "") -> list[Problem]:
    """The problems of GOOD with some text exchanged."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    with pytest.raises(InvalidConfig) as caught:
        read(folder, text + more)
    return caught.value.problems


def test_a_config_is_read_with_its_defaults_and_its_paths_in_its_folder(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    assert (config.role, config.listen.host, config.listen.port) == ("validator", "127.0.0.1", 4001)
    assert config.genesis_path == tmp_path.resolve() / "genesis.bin"
    assert config.scenario_path == tmp_path.resolve() / "scenario" / "scenario.json"
    assert (config.clock.heartbeat_minutes, config.consensus.min_safe_height) == (0, 0)
    assert config.peers[0].key == bytes.fromhex(KEY)
    assert config.key_names == ("consensus",)


def test_what_is_written_is_read_back_and_not_overwritten(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    (tmp_path / "copy").mkdir()
    write_config(tmp_path / "copy" / "config.toml", config)
    assert load_config(tmp_path / "copy").in_folder(config.folder) == config
    with pytest.raises(AlreadyExists):
        write_config(tmp_path / "copy" / "config.toml", config)


def test_all_mistakes_are_named_at_once_with_their_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        ('role = "validator"\nname = "validator-0"', 'role = "validatorr"\nname = "no/name"'),
        ("port = 4001", 'host = "0.0.0.0"\nport = 70000'),
        ('key_file = "keystore.key"', ""),
        ("gate_s", "gates"),
        (KEY, "ab"),
        ("127.0.0.1", "192.168.0.1"),
    )
    lines = {problem.key: problem.line for problem in found}
    assert lines == {
        "role": 2,
        "name": 3,
        "listen.host": 7,
        "listen.port": 8,
        "keystore": 10,
        "clock.gate_s": 13,
        "clock.gates": 16,
        "peers[0].public_key": 22,
        "peers[0].address": 23,
    }
    cures = {problem.key: problem.cure for problem in found}
    assert "'validator'" in cures["role"]
    assert "did you mean 'gate_s'" in cures["clock.gates"]
    assert "this version listens on 127.0.0.1 only" in cures["listen.host"]


def test_a_known_key_in_the_wrong_table_is_told_where_it_belongs(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, ("port = 4001", "port = 4001\npace_s = 10"))
    assert "'clock.pace_s'" in found.cure


@pytest.mark.parametrize(
    ("change", "key", "phrase"),
    [
        (("gate_s = 4", "gate_s = 10"), "clock.gate_s", "leaves nothing of an interval"),
        (("gate_s = 4", "gate_s = nan"), "clock.gate_s", "nan"),
        (("gate_s = 4", "gate_s = inf"), "clock.gate_s", "too large"),
        (("pace_s = 10", "pace_s = true"), "clock.pace_s", "must be a number"),
        (("port = 4001", 'port = "4001"'), "listen.port", "must be a whole number"),
        (('key_file = "keystore.key"', 'key_file = "a"\npassphrase_env = "B"'), "keystore", "one way"),
        (("schema = 1", "schema = 2"), "schema", "not known"),
        (('name = "validator-1"', 'name = "validator-0"'), "peers[0].name", "twice"),
        (
            ("schema = 1", 'schema = 1\nhouseholds = ["home-1"]'),
            "households",
            "has 1 home; a validator has no homes",
        ),
        (('role = "validator"', 'role = "gateway"'), "households", "at least one home"),
        (('role = "validator"', 'role = "household"\nhouseholds = ["a", "b"]'), "households", "exactly one"),
        (
            ('role = "validator"', 'role = "gateway"\nhouseholds = ["a", "a"]'),
            "households",
            "names 'a' twice",
        ),
        (("tcp/4002", "tcp/99999"), "peers[0].address", "not an address of a node"),
        ((f"p2p/{PEER}", f"p2p/{PEER[::-1]}"), "peers[0].address", "not an address of a node"),
    ],
)
def test_each_rule_names_its_key(tmp_path: Path, change: tuple[str, str], key: str, phrase: str) -> None:
    (found,) = problems(tmp_path, change)
    assert found.key == key
    assert phrase in f"{found.message}; {found.cure}"


def test_a_safe_height_is_for_validators(tmp_path: Path) -> None:
    more = "\n[consensus]\nmin_safe_height = 7\n"
    (found,) = problems(tmp_path, ('role = "validator"', 'role = "observer"'), more=more)
    assert found.key == "consensus.min_safe_height"


@pytest.mark.parametrize(
    ("text", "phrase"), [("schema = ", "not valid TOML"), ("a = 1\na = 2", "not valid TOML"), ("=", "TOML")]
)
def test_what_is_no_toml_is_named_with_its_line(tmp_path: Path, text: str, phrase: str) -> None:
    with pytest.raises(InvalidConfig, match=phrase) as caught:
        read(tmp_path, text)
    assert caught.value.problems[0].line is not None


def test_bytes_that_are_no_text_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="node init"):
        load_config(tmp_path)
    (tmp_path / "config.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(InvalidConfig, match="UTF-8"):
        load_config(tmp_path)


def test_intervals_open_at_the_stated_pace() -> None:
    clock = Clock(begin_unix_ms=1_000, pace_s=2.5, gate_s=1, takeover_s=1)
    assert [clock.opens_ms(i) for i in (0, 1, 4)] == [1_000, 3_500, 11_000]


def test_a_node_speaks_on_the_network_with_its_signing_key_where_it_has_one() -> None:
    assert key_names("operator", ()) == ("operator",)
    assert key_names("household", ("anna",)) == ("household/anna",)
    assert key_names("gateway", ("anna", "ben")) == ("node", "household/anna", "household/ben")
    assert key_names("observer", ()) == ("node",)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_from_toml(text: str) -> None:
    assert tomllib.loads(f"key = {toml_value(text)}") == {"key": text}


@dataclass(frozen=True)
class _Numbers:
    port: int
    pace_s: float
    begin_ms: int


@given(
    st.builds(
        _Numbers,
        port=st.integers(1, 65_535),
        pace_s=st.floats(0.001, 86_400),
        begin_ms=st.integers(0, 7_258_118_400_000),
    )
)
def test_any_numbers_come_back(numbers: _Numbers) -> None:
    written: Any = {"schema": 1}
    config = NodeConfig(
        **written,
        role="observer",
        name="x",
        scenario="s.toml",
        listen=Listen(port=numbers.port),
        keystore=Keystore(passphrase_env="P"),
        clock=Clock(
            begin_unix_ms=numbers.begin_ms, pace_s=numbers.pace_s, gate_s=numbers.pace_s / 2, takeover_s=1.0
        ),
    )
    assert NodeConfig.model_validate(tomllib.loads(config_text(config))) == config
