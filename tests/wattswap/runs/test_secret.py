"""A secret file: keys and salts that nobody can guess, and runs that can still be repeated by who has it."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from p2p.errors import KeyFileError
from tests.kits.run_kit import call, write_street
from wattswap.errors import ExitCode, InvalidData
from wattswap.runs.folder import stored_scenario
from wattswap.runs.keys import Keys
from wattswap.runs.prepare import prepare

Capture = pytest.CaptureFixture[str]
SECRET = 'chain.secret_file="street.secret"'


@pytest.fixture
def street(tmp_path: Path, capsys: Capture) -> Path:
    folder = write_street(tmp_path / "street")
    done = call(capsys, "secret", folder / "street.secret")
    assert done.code == ExitCode.OK
    return folder


def test_a_secret_is_for_its_owner_only_and_never_overwritten(street: Path, capsys: Capture) -> None:
    file = street / "street.secret"
    before = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert call(capsys, "secret", file).code == ExitCode.INVALID
    assert file.read_text() == before


def test_two_secrets_give_other_keys_and_salts_and_other_roots(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    first = ws.run(ws.load(street, overrides=[SECRET]), out=tmp_path / "runs")
    (street / "street.secret").unlink()
    call(capsys, "secret", street / "street.secret")
    second = ws.run(ws.load(street, overrides=[SECRET]), out=tmp_path / "runs")
    plain = ws.run(ws.load(street), out=tmp_path / "runs")
    chains = {result.manifest["chain"]["id"] for result in (first, second, plain)}
    replays = {result.manifest["replay_sha256"] for result in (first, second, plain)}
    assert (len(chains), len(replays)) == (3, 3)
    assert first.bills().equals(second.bills()), "a secret changes hashes and no money"
    assert first.bills().equals(plain.bills())


def test_the_secret_itself_is_nowhere_in_the_run(street: Path, tmp_path: Path) -> None:
    result = ws.run(ws.load(street, overrides=[SECRET]), out=tmp_path)
    text = (street / "street.secret").read_text().strip()
    for path in result.path.iterdir():
        content = path.read_bytes()
        assert text.encode() not in content
        assert bytes.fromhex(text) not in content


def test_name_and_seed_alone_no_longer_give_the_operators_key(street: Path) -> None:
    """What somebody could try who holds the genesis: the keys of a scenario without the secret."""
    setup = prepare(ws.load(street, overrides=[SECRET]))
    guessed = Keys.of(ws.load(street)).identity("operator").public_key
    assert setup.genesis.operator != guessed
    assert setup.keys.identity("operator").public_key == setup.genesis.operator


def test_a_run_is_verified_with_its_secret_and_refused_with_another(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    result = ws.run(ws.load(street, overrides=[SECRET]), out=tmp_path)
    assert ws.verify(result.path)["ok"]
    (street / "street.secret").unlink()
    call(capsys, "secret", street / "street.secret")
    with pytest.raises(InvalidData, match=r"street\.secret.* has changed since the run"):
        stored_scenario(result.path)


def test_a_secret_that_others_may_read_is_refused(street: Path) -> None:
    (street / "street.secret").chmod(0o644)
    with pytest.raises(KeyFileError, match="others may read it"):
        prepare(ws.load(street, overrides=[SECRET]))


def test_a_secret_file_that_is_not_there_is_named_with_the_key(street: Path, capsys: Capture) -> None:
    done = call(capsys, "validate", street, "--set", 'chain.secret_file="nowhere"')
    assert done.code == ExitCode.INVALID
    assert "chain.secret_file: no file or folder 'nowhere'" in done.err
