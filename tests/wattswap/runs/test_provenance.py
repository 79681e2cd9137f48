"""What a manifest says of itself and cannot be run again: who signed, which files, which network, and no others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wattswap as ws
from tests.kits.run_kit import call
from tests.kits.town_kit import playing
from wattswap.nodes.live import run_live
from wattswap.results import RunResult

Manifest = dict[str, Any]


@pytest.fixture
def copy(finished: RunResult, tmp_path: Path) -> Path:
    """A copy of the finished run, to be spoilt."""
    return shutil.copytree(finished.path, tmp_path / finished.path.name)


@pytest.fixture(scope="module")
def networked(street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Two intervals with nodes in memory."""
    out = tmp_path_factory.mktemp("live")
    return run_live(ws.load(street), intervals=2, out=out, run_nodes=playing())


def refusal(run: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines with which verify ends, with code 5 and nothing on stdout."""
    outcome = call(capsys, "verify", run, "-q")
    assert (outcome.code, outcome.out) == (5, ""), outcome.err
    return outcome.err.splitlines()


def change(run: Path, edit: Callable[[Manifest], object]) -> None:
    path = run / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    edit(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


CLAIMS: dict[str, tuple[Callable[[Manifest], object], list[str]]] = {
    "signed": (lambda m: m.update(signed=True), ["says signed = True, it must be False"]),
    "signed left out": (lambda m: m.pop("signed"), ["says signed = None, it must be False"]),
    "another driver": (lambda m: m.update(driver="by hand"), ["says driver = by hand, it must be in process"]),
    "a live driver": (
        lambda m: m.update(driver="live"),
        ["says signed = False, it must be True", "names no network, but a live run has one"],
    ),
    "a live driver that signed": (
        lambda m: m.update(driver="live", signed=True),
        ["names no network, but a live run has one"],
    ),
    "another schema": (lambda m: m.update(schema=2), ["says schema = 2, it must be 1"]),
    "a network": (
        lambda m: m.update(network={"nodes": 4}),
        ["describes a network, but this run used none"],
    ),
    "one file more": (
        lambda m: m["files"].update({"notes.txt": "0" * 64}),
        ["names notes.txt", "no file of such a run"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_that_a_second_run_cannot_refute_is_named(
    claim: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, phrases = CLAIMS[claim]
    change(copy, edit)
    lines = refusal(copy, capsys)
    assert any(f"{copy / 'manifest.json'}: " in line for line in lines)
    for phrase in phrases:
        assert any(phrase in line for line in lines), (phrase, lines)


@pytest.mark.parametrize("value", [[], None, "all of them", 3])
@pytest.mark.parametrize("key", ["files", "chain", "data", "versions", "source"])
def test_a_manifest_of_another_form_is_refused_and_no_bug(
    key: str, value: object, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(copy, lambda manifest: manifest.update({key: value}))
    outcome = call(capsys, "verify", copy, "-q")
    if (key, value) == ("source", None):  # as where the program is no git checkout
        assert outcome.code == 0
    else:
        assert (outcome.code, outcome.out) == (5, ""), outcome.err
        assert f"{copy / 'manifest.json'}: " in outcome.err


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "lock", "live", "checkpoint.json", "chain.db-wal"])
def test_a_file_that_no_run_leaves_is_named(
    name: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / name).write_text("mine")
    assert refusal(copy, capsys) == [f"Error: {copy / name}: is not part of this run; move it elsewhere"]


def test_a_folder_within_the_run_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "parts").mkdir()
    assert refusal(copy, capsys) == [f"Error: {copy / 'parts'}: is not part of this run; move it elsewhere"]


def test_every_stray_file_and_every_changed_one_is_said_at_once(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "a.txt").touch()
    (copy / "b.txt").touch()
    (copy / "metrics.json").write_text("{}")
    lines = refusal(copy, capsys)
    assert lines[0] == "Error: 3 problems"
    assert [line.split(": ")[0].rsplit("/", 1)[1] for line in lines[1:]] == ["metrics.json", "a.txt", "b.txt"]


def test_the_log_may_say_anything(copy: Path) -> None:
    """It holds the time of day, which no second run repeats."""
    (copy / "log.jsonl").write_text("other\n")
    assert ws.verify(copy)["ok"]


def test_a_live_run_verifies(networked: RunResult) -> None:
    assert (networked.manifest["driver"], networked.manifest["signed"]) == ("live", True)
    assert ws.verify(networked.path)["ok"]


@pytest.mark.parametrize(
    ("edit", "phrase"),
    [
        (lambda m: m.update(driver="in process"), "says signed = True, it must be False"),
        (lambda m: m.update(driver="in process", signed=False), "describes a network"),
        (lambda m: m.update(signed=False), "says signed = False, it must be True"),
        (lambda m: m.pop("network"), "names no network"),
    ],
)
def test_a_live_run_that_calls_itself_something_else_is_named(
    edit: Callable[[Manifest], object],
    phrase: str,
    networked: RunResult,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = shutil.copytree(networked.path, tmp_path / "run")
    change(run, edit)
    assert any(phrase in line for line in refusal(run, capsys))
