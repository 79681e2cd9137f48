"""Runs that are interrupted, killed or crash, and are resumed to the same hashes and bytes."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import wattswap as ws
from market.book import OrderBook
from market.clearing import Clearing
from market.errors import PluginFailed
from market.rules import MarketRules
from p2p.ledger.store import ChainStore
from tests.kits.plugin_kit import own_registries
from tests.kits.resume_kit import interrupted, only_partial
from tests.kits.run_kit import call, files_below, refused, start, wait_for_file, write_street
from wattswap.canonical_json import canonical_json
from wattswap.comparison.result import ComparisonFolder
from wattswap.errors import Interrupted, RunNotFound, VerificationFailed
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.engine import resume
from wattswap.runs.layout import CHECKPOINT, PARTIAL, TABLE_FILES
from wattswap.runs.tables import Tables

LONG_DAYS = 5
"""Days of the street that is killed as a process: long enough that the kill always comes in time."""


class Killed(BaseException):
    """Represents the end of the process: nothing catches it, nothing tidies up after it."""


def assert_same(resumed: RunResult, whole: RunResult) -> None:
    """The same hashes, chain and table bytes."""
    for name in ("replay_sha256", "chain", "scenario_sha256", "data"):
        assert resumed.manifest[name] == whole.manifest[name], name
    for name in (*TABLE_FILES, "metrics.json", "genesis.bin", "scenario.json"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert set(files_below(resumed.path)) == set(files_below(whole.path))


@pytest.fixture(autouse=True)
def a_checkpoint_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny runs of these tests are over before a checkpoint is due by the clock."""
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0.0)


@pytest.fixture(scope="session")
def long_street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("long"), days=LONG_DAYS, minutes=15)


@pytest.fixture(scope="session")
def whole(long_street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return ws.run(long_street, out=tmp_path_factory.mktemp("whole"))


def test_a_run_killed_in_the_middle_is_resumed_to_the_same_hashes_and_bytes(
    long_street: Path, whole: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start("run", long_street, "--out", tmp_path, "-q")
    wait_for_file(process, tmp_path, CHECKPOINT)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    partial = only_partial(tmp_path)
    done = json.loads((partial / CHECKPOINT).read_text())["done"]
    assert 0 < done < LONG_DAYS * 96
    outcome = call(capsys, "resume", partial, "--json", "-q")
    assert outcome.code == 0, outcome.err
    resumed = RunResult(json.loads(outcome.out)["run"])
    assert_same(resumed, whole)
    assert ws.verify(resumed.path)["ok"]


def test_ctrl_c_exits_with_130_and_names_the_command_that_goes_on(
    long_street: Path, whole: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start("run", long_street, "--out", tmp_path, "-q")
    wait_for_file(process, tmp_path, CHECKPOINT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    partial = only_partial(tmp_path)
    assert (process.returncode, out) == (130, "")
    assert f"continue with: wattswap resume {partial}" in err
    command = err.split("continue with: wattswap ")[1].split()
    assert call(capsys, *command, "-q").code == 0
    (finished,) = tmp_path.iterdir()
    assert_same(RunResult(finished), whole)


def test_ctrl_c_keeps_every_finished_interval(street: Path, finished: RunResult, tmp_path: Path) -> None:
    def interrupt(done: int, _total: int, _price: float | None) -> None:
        if done == 29:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="stopped after 30 of 48 intervals"):
        ws.run(street, out=tmp_path, on_progress=interrupt)
    told: list[int] = []
    resumed = resume(only_partial(tmp_path), on_progress=lambda done, _total, _price: told.append(done))
    assert told == list(range(31, 49))
    assert_same(resumed, finished)


def test_a_run_can_be_interrupted_again_and_again(street: Path, finished: RunResult, tmp_path: Path) -> None:
    def interrupt(done: int, _total: int, _price: float | None) -> None:
        if done % 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        ws.run(street, out=tmp_path, on_progress=interrupt)
    partial = only_partial(tmp_path)
    for _ in range(20):
        with pytest.raises(Interrupted):
            resume(partial, on_progress=interrupt)
    assert_same(resume(partial), finished)


def crash_in(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call_number: int, after: bool
) -> None:
    """Make the n-th call of a function the last thing that the process does."""
    real: Callable[..., object] = getattr(owner, name)
    calls = 0

    def dying(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call_number and not after:
            raise Killed
        result = real(*args, **kwargs)
        if calls == call_number:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, dying)


CRASHES: dict[str, tuple[object, str, int, bool]] = {
    "within the second day": (ChainStore, "append", 30, True),
    "before a block is stored": (ChainStore, "append", 40, False),
    "between the last block and its tables": (Tables, "flush", 2, False),
    "between tables and checkpoint": (Tables, "flush", 2, True),
    "before the tables are joined": (Tables, "join", 1, False),
    "after the tables were joined": (Tables, "join", 1, True),
    "between metrics and manifest": (engine, "file_hashes", 1, False),
    "between manifest and name": (engine, "_name_finished", 1, False),
    "while it is given its name": (engine.os, "rename", 1, False),
}


@pytest.mark.parametrize("moment", CRASHES)
def test_a_run_that_dies_is_resumed_from_any_moment(
    moment: str, street: Path, finished: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        crash_in(patch, *CRASHES[moment])
        with pytest.raises(Killed):
            ws.run(street, out=tmp_path)
    assert_same(resume(only_partial(tmp_path)), finished)


def test_a_run_killed_before_its_first_checkpoint_starts_over(
    street: Path, finished: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_args, **_kwargs: None)  # a killed process tidies nothing up
        crash_in(patch, ChainStore, "append", 10, True)
        with pytest.raises(Killed):
            ws.run(street, out=tmp_path)
    assert_same(resume(only_partial(tmp_path)), finished)


def test_a_half_written_part_is_thrown_away(
    street: Path, finished: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        crash_in(patch, ChainStore, "append", 30, True)
        with pytest.raises(Killed):
            ws.run(street, out=tmp_path)
    parts = only_partial(tmp_path) / "parts"
    (parts / "orders.000001.arrow").write_bytes(b"half")
    (parts / "readings.000001.tmp").write_bytes(b"half")
    assert_same(resume(only_partial(tmp_path)), finished)


def test_a_run_that_failed_after_a_checkpoint_goes_on_when_the_cause_is_mended(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario_text = "market.mechanism=patchy"
    with own_registries(monkeypatch):
        broken = True
        calls = 0

        @ws.mechanism("patchy", source="a test")
        def clear(book: OrderBook, rules: MarketRules) -> Clearing:
            nonlocal calls
            calls += 1
            if broken and calls == 30:
                raise ZeroDivisionError("for a while")
            cleared = ws.clear(book, "uniform_price", rules)
            assert isinstance(cleared, Clearing)
            return cleared

        scenario = ws.load(street, overrides=[scenario_text])
        with pytest.raises(PluginFailed, match="ZeroDivisionError: for a while"):
            ws.run(scenario, out=tmp_path / "a")
        broken = False
        assert_same(resume(only_partial(tmp_path / "a")), ws.run(scenario, out=tmp_path / "b"))


def test_an_unfinished_run_is_found_by_the_name_it_will_have(street: Path, tmp_path: Path) -> None:
    def interrupt(done: int, _total: int, _price: float | None) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        ws.run(street, out=tmp_path, on_progress=interrupt)
    partial = only_partial(tmp_path)
    assert resume(partial.with_name(partial.name.removesuffix(PARTIAL))).path.is_dir()


def test_resuming_a_finished_run_is_refused_and_changes_nothing(finished: RunResult) -> None:
    before = {name: (finished.path / name).read_bytes() for name in files_below(finished.path)}
    with pytest.raises(RunNotFound, match=f"the run is finished; see it with: wattswap show {finished.path}"):
        resume(finished.path)
    assert {name: (finished.path / name).read_bytes() for name in files_below(finished.path)} == before


@pytest.mark.parametrize("command", ["show", "verify", "report", "chain show"])
@pytest.mark.parametrize("named", ["partial", "whole"])
def test_an_unfinished_run_is_answered_with_the_command_that_finishes_it(
    command: str, named: str, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = engine.begin(engine.prepare(ws.load(street)), tmp_path)
    path = partial if named == "partial" else partial.with_name(partial.name.removesuffix(PARTIAL))
    if (command, named) == ("chain show", "partial"):
        return  # a chain that has begun is shown
    refused(
        call(capsys, *command.split(), path), 3, f"not finished; finish it with: wattswap resume {partial}"
    )


def test_a_folder_that_is_not_there_is_answered_with_the_nearest_or_the_newest(
    finished: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def sentence(command: str, path: Path) -> str:
        outcome = call(capsys, command, path)
        assert (outcome.code, outcome.out) == (3, "")
        return outcome.err

    shutil.copytree(finished.path, tmp_path / finished.path.name)
    near, run = tmp_path / f"{finished.path.name[:-1]}x", tmp_path / finished.path.name
    assert f"{near}: there is no such folder; did you mean {run}?" in sentence("show", near)
    assert f"no run is here; name one that is in it, such as {run}" in sentence("verify", tmp_path)
    assert f"`wattswap run` printed, such as {run}" in sentence("report", tmp_path / "nothing")
    assert f"is a file, not a folder; name its folder, {run}\n" in sentence("show", run / "genesis.bin")
    assert "the name of one ends in .partial" in sentence("resume", tmp_path / "nothing")
    with pytest.raises(RunNotFound, match="no comparison is here; give the folder that `wattswap compare`"):
        ComparisonFolder(run)


def test_changed_data_are_refused(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street")
    partial = interrupted(street, tmp_path / "runs", 30)
    file = street / "meter.csv"
    first_wh = file.read_text(encoding="utf-8").splitlines()[1].split(",")[2]
    file.write_text(file.read_text(encoding="utf-8").replace(f",{first_wh},", ",0.001,", 1), encoding="utf-8")
    before = files_below(partial)
    with pytest.raises(VerificationFailed, match="data have changed since this run began"):
        resume(partial)
    assert files_below(partial) == before


def test_a_damaged_checkpoint_or_scenario_is_named(street: Path, tmp_path: Path) -> None:
    partial = interrupted(street, tmp_path / "runs", 30)
    for name in (CHECKPOINT, "scenario.json"):
        good = (partial / name).read_bytes()
        (partial / name).write_bytes(good[:-20])
        with pytest.raises(VerificationFailed, match=name):
            resume(partial)
        (partial / name).write_bytes(good)


@pytest.fixture(scope="session")
def stopped(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three homes, one with a battery, that was interrupted after 30 of 48 intervals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CHECKPOINT_S", 0.0)
        return interrupted(street, tmp_path_factory.mktemp("stopped"), 30)


def battery(saved: Any, depth: int = -1) -> Any:
    """The state of all batteries in a checkpoint, after one of the last intervals."""
    return saved["homes"]["devices"][depth]["battery"]


def with_values(column: Any, *values: object) -> None:
    column["values"] = list(values)


def of_one_home(column: Any) -> None:
    column["shape"], column["values"] = [1], column["values"][:1]


EDITS: dict[str, tuple[Callable[[Any], object], str]] = {
    "no homes": (lambda saved: saved.pop("homes"), "it has no 'homes'"),
    "homes in a list": (lambda saved: saved.update(homes=[3]), "list indices must be integers"),
    "homes of another interval": (lambda saved: saved["homes"].update(row=40), "lived 16 intervals, not 30"),
    "homes before the run": (lambda saved: saved["homes"].update(row=3), "row is 3, and can be 24 to 72"),
    "a row in words": (lambda saved: saved["homes"].update(row="54"), "row is 54, and can be"),
    "homes that react": (lambda saved: saved["homes"].update(alone={}), "alone is not of homes that react"),
    "no states": (lambda saved: saved["homes"].update(devices=[]), "devices is a list of 2 intervals, not 0"),
    "too many states": (
        lambda saved: saved["homes"]["devices"].append(saved["homes"]["devices"][0]),
        "devices is a list of 2 intervals, not 3",
    ),
    "no batteries": (lambda saved: saved["homes"]["devices"][0].pop("battery"), "it has no 'battery'"),
    "no content": (lambda saved: battery(saved).pop("stored_uwh"), "a state has no column 'stored_uwh'"),
    "states in a list": (
        lambda saved: saved["homes"]["devices"][0].update(battery=[1]),
        "a state is not a table of columns",
    ),
    "batteries of one home": (lambda saved: of_one_home(battery(saved)["stored_uwh"]), "there are 3 homes"),
    "a content in words": (
        lambda saved: with_values(battery(saved)["stored_uwh"], "full", 0, 0),
        "'stored_uwh' of a state has a value that is not int64",
    ),
    "half a content": (
        lambda saved: with_values(battery(saved)["stored_uwh"], 0.5, 0, 0),
        "'stored_uwh' of a state has a value that is not int64",
    ),
    "a content with decimals": (
        lambda saved: battery(saved)["stored_uwh"].update(type="float64"),
        "stored_uwh of device 'battery' is not whole numbers",
    ),
    "a content of another type": (
        lambda saved: battery(saved)["stored_uwh"].update(type="object"),
        "has a value that is not object",
    ),
    "a content beyond 64 bits": (
        lambda saved: with_values(battery(saved)["stored_uwh"], 2**70, 0, 0),
        "too large",
    ),
    "a battery more than full": (
        lambda saved: with_values(battery(saved)["stored_uwh"], 2_000_000_001, 0, 0),
        "is 2000000001 in home 1, and can be 0 to 2000000000",
    ),
    "a battery less than empty": (
        lambda saved: with_values(battery(saved, 0)["stored_uwh"], -1, 0, 0),
        "is -1 in home 1, and can be 0 to 2000000000",
    ),
    "a content without a battery": (
        lambda saved: with_values(battery(saved)["stored_uwh"], 0, 1, 0),
        "is 1 in home 2, and can be 0 to 0",
    ),
    "no agreements": (
        lambda saved: saved["homes"].update(agreed=[]),
        "agreed is a list of 1 intervals, not 0",
    ),
    "agreements of one home": (
        lambda saved: saved["homes"].update(agreed=[[1]]),
        "agreed has the shape [1], not [3]",
    ),
    "agreements with decimals": (
        lambda saved: saved["homes"].update(agreed=[[0.5, 0, 0]]),
        "agreed is not whole numbers",
    ),
    "no controllers": (lambda saved: saved["homes"].update(control={}), "it has no 'self_consumption'"),
    "no strategies": (lambda saved: saved["homes"].update(strategies={}), "it has no 'staircase'"),
    "more than the run": (lambda saved: saved.update(done=49), "done is 49, and can be 1 to 48"),
    "a truth for a number": (lambda saved: saved.update(done=True), "done is True"),
    "no parts": (lambda saved: saved.update(parts=0), "parts is 0, and can be 1 to 48"),
    "one part less": (lambda saved: saved.update(parts=1), "24 intervals are in its 1 parts, not 30"),
    "one part more": (lambda saved: saved.update(parts=3), "intervals.000002.arrow is missing or damaged"),
    "one bill for all": (lambda saved: saved.update(bills=[[0]]), "bills has the shape [1, 1]"),
    "a bill with decimals": (
        lambda saved: saved["bills"][1].__setitem__(0, 0.5),
        "bills is not whole numbers",
    ),
    "one account of the system": (
        lambda saved: saved.update(system_nano=[0]),
        "system_nano has the shape [1]",
    ),
    "a turnover below 0": (lambda saved: saved.update(turnover_nano=-1.0), "turnover_nano is -1.0"),
    "charges of fewer intervals": (
        lambda saved: saved["charges"].update(done=3),
        "charges are of 3 intervals, not of 30",
    ),
    "another sum": (lambda saved: saved["without"].update(lost=[0, 0, 0]), "without has sums of ['lost'"),
    "what batteries hold in words": (
        lambda saved: saved.update(beyond_alone_wh="5"),
        "beyond_alone_wh is '5'",
    ),
    "homes that would do otherwise": (
        lambda saved: saved.update(alone_wh={"alone_load_wh": 1}),
        "alone_wh holds",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_checkpoint_that_was_edited_and_hashed_again_is_refused(
    name: str, stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the run is lost by it: with the checkpoint as it was, it goes on."""
    partial, (edit, phrase) = tmp_path / stopped.name, EDITS[name]
    shutil.copytree(stopped, partial)
    saved = json.loads((partial / CHECKPOINT).read_text(encoding="utf-8"))
    del saved["sha256"]
    edit(saved)
    saved["sha256"] = sha256(canonical_json(saved).encode()).hexdigest()
    (partial / CHECKPOINT).write_text(json.dumps(saved), encoding="utf-8")
    before = files_below(partial)
    refused(call(capsys, "resume", partial), 5, "checkpoint.json: is damaged: ", phrase)
    assert files_below(partial) == before
    with ChainStore.open(partial / "chain.db") as store:
        assert store.height == 30


@pytest.mark.parametrize("key", ["done", "bills", "sha256"])
def test_a_checkpoint_that_was_edited_is_refused(key: str, street: Path, tmp_path: Path) -> None:
    partial = interrupted(street, tmp_path / "runs", 30)
    saved = json.loads((partial / CHECKPOINT).read_text(encoding="utf-8"))
    saved[key] = {"done": 3, "bills": [[0]], "sha256": "0" * 64}[key]
    (partial / CHECKPOINT).write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(VerificationFailed, match="is damaged: its content has another hash"):
        resume(partial)


def test_a_chain_shorter_than_the_checkpoint_is_refused(street: Path, tmp_path: Path) -> None:
    partial = interrupted(street, tmp_path / "runs", 30)
    with ChainStore.open(partial / "chain.db") as store:
        store.truncate_above(3)
    with pytest.raises(VerificationFailed, match="ends at block 3, the checkpoint counts 30"):
        resume(partial)
