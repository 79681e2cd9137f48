"""Every command on a disk that takes nothing: exit 3, one sentence with path and cure, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.edit_kit import cell, fit_hashes
from tests.kits.network_kit import saved
from tests.kits.network_kit import street as lines_of_a_street
from tests.kits.run_kit import call, files_below, one_object, refused
from tests.kits.sample_kit import WHOLE, sampled
from wattswap.cli.command import COMMANDS
from wattswap.comparison import runner
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.tables import Tables

Capture = pytest.CaptureFixture[str]
INTERVAL = "2026-06-02T12:00Z"
DAY = "time.days=1"

WRITERS = {
    "run": ["run", "{street}", "-q", "--out", "{to}"],
    "compare": ["compare", "{street}", "-m", "uniform_price", "-q", "--out", "{to}"],
    "compare in processes": [
        *["compare", "{street}", "-m", "uniform_price", "--jobs", "2", "-q", "--out", "{to}"],
    ],
    "sweep": [
        "sweep",
        "{street}",
        "--vary",
        "market.k=0.1,0.9",
        "-m",
        "uniform_price",
        "-q",
        "--out",
        "{to}",
    ],
    "report": ["report", "{run}", "--out", "{to}/report.html"],
    "report of a comparison": ["report", "{comparison}", "--out", "{to}/report.html"],
    "size battery": ["size", "battery", "{street}", "--range", "0,5", "-q", "--figure", "{to}/sizes.svg"],
    "grid import": ["grid", "import", "{network}", "--out", "{to}/grid.json"],
    "grid draw": ["grid", "draw", "{network}", "--out", "{to}/grid.svg"],
    "data recipe": ["data", "recipe", "{meter}", "--out", "{to}/mine.toml"],
    "new": ["new", "{to}/new"],
    "new csv": ["new", "{to}/new", "--template", "csv"],
    "secret": ["secret", "{to}/key"],
    "live": ["live", "{street}", "--intervals", "2", "-q", "--out", "{to}"],
    "node init": ["node", "init", "{street}", "{to}/net"],
    "node keys": ["node", "keys", "{to}/keys", "--role", "validator", "--name", "validator-0"],
    "chain prove": ["chain", "prove", "{run}", "home-1", INTERVAL, "--out", "{to}/proof.json"],
}
"""Every command that writes files, by what is written."""

READERS = {
    "show": ["show", "{run}"],
    "show why": ["show", "{run}", "why", "home-1", "--csv"],
    "show of a comparison": ["show", "{comparison}"],
    "chain show": ["chain", "show", "{run}"],
    "chain verify": ["chain", "verify", "{run}"],
    "chain prove": ["chain", "prove", "{run}", "home-1", INTERVAL],
    "validate": ["validate", "{street}"],
    "list": ["list", "mechanisms"],
    "doctor": ["doctor"],
    "data check": ["data", "check", "{meter}"],
    "data sniff": ["data", "sniff", "{meter}"],
    "forecast evaluate": ["forecast", "evaluate", "{street}"],
    "sizes": ["size", "battery", "{street}", "--range", "0,5"],
    "help": ["--help"],
    "dry run": ["run", "{street}", "--dry-run"],
}
"""Commands that print and write nothing."""
HEARD = ("show", "chain verify", "list", "data sniff", "help")
READ = READERS if WHOLE else {name: READERS[name] for name in HEARD}
"""Those that are tried with a reader that has seen enough: in `make slow` all."""


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system in memory with these options in place of a folder; skips where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=700", "tmpfs", str(folder)]
    if not Path("/proc/mounts").exists() or os.geteuid() != 0:
        pytest.skip("a file system can be mounted by root of Linux only")
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that nothing can be written into; root may write into what the mode forbids, so it mounts one."""
    folder = tmp_path / "read-only"
    if os.geteuid() == 0:
        with mounted(folder, "ro"):
            yield folder
    else:
        folder.mkdir(mode=0o555)
        yield folder
        folder.chmod(0o755)


@pytest.fixture(scope="module")
def places(finished: RunResult, street: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the commands read."""
    compared = ws.compare(street, ["uniform_price"], out=tmp_path_factory.mktemp("compared"))
    meter = street / "meter.csv"
    network = saved(tmp_path_factory.mktemp("network"), lines_of_a_street())
    return {
        "street": street,
        "run": finished.path,
        "comparison": compared.path,
        "meter": meter,
        "network": network,
    }


def filled(command: list[str], places: dict[str, object], to: Path | None = None) -> list[str]:
    return [part.format(**places, to=to) for part in command]


def test_every_command_is_among_those_that_write_or_print() -> None:
    named = {command[0] for command in (*WRITERS.values(), *READERS.values())}
    # `resume` is tested below; `clear`, `check`, `verify` print one result; nodes have tests of their own.
    assert named | {"resume", "clear", "check", "network", "verify"} >= set(COMMANDS.all())


def one_sentence(code: int, err: str, place: Path) -> None:
    (line,) = err.splitlines()
    assert code == 3, err
    assert line.startswith("Error: ")
    assert str(place) in line
    assert "bug" not in line
    assert "name another place" in line or "cannot be written" in line


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_folder(name: str, places: dict[str, object], read_only: Path, capsys: Capture) -> None:
    outcome = call(capsys, *filled(WRITERS[name], places, read_only))
    one_sentence(outcome.code, _errors(outcome.err), read_only)
    assert files_below(read_only) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(name: str, places: dict[str, object], tmp_path: Path, capsys: Capture) -> None:
    with mounted(tmp_path / "small", "size=64k") as small:
        with (small / "filler").open("wb", buffering=0) as filler:
            _fill(filler.fileno(), leave=0 if name in TINY else 4_096)
        outcome = call(capsys, *filled(WRITERS[name], places, small))
        one_sentence(outcome.code, _errors(outcome.err), small)
        assert files_below(small) == ["filler"]


TINY = (
    "data recipe",
    "size battery",
    "grid import",
    "grid draw",
    "new",
    "new csv",
    "secret",
    "node keys",
    "chain prove",
    "compare in processes",
)
"""What fits into the last page of a disk."""


def full_at(call: int, function: Callable[..., None]) -> Callable[..., None]:
    """A function that finds the disk full at one of its calls, as writing does: the error names no file."""
    calls = count(1)

    def called(*args: object) -> None:
        if next(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        function(*args)

    return called


def test_a_disk_that_fills_up_during_a_run_leaves_what_resume_goes_on_from(
    street: Path, finished: RunResult, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "flush", full_at(2, Tables.flush))
        outcome = call(capsys, "run", street, "-q", "--out", tmp_path)
    (partial,) = tmp_path.iterdir()
    refused(
        outcome,
        3,
        f"Error: {partial}: No space left on device; make room there",
        f"then continue with: wattswap resume {partial}",
    )
    assert call(capsys, "resume", partial, "-q").code == 0
    (again,) = tmp_path.iterdir()
    assert RunResult(again).manifest["chain"]["head"] == finished.manifest["chain"]["head"]


def test_a_disk_that_is_full_before_the_first_checkpoint_leaves_nothing(
    street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tables, "flush", full_at(1, Tables.flush))
    outcome = call(capsys, "run", street, "-q", "--out", tmp_path)
    refused(
        outcome, 3, f"Error: {tmp_path}", "No space left on device; make room there, or name another place"
    )
    assert files_below(tmp_path) == []


def test_a_disk_that_fills_up_during_a_comparison_keeps_the_finished_cells(
    street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["compare", street, "-m", "uniform_price", "-q", "--out", tmp_path, "--json"]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "write_cell", full_at(2, runner.write_cell))
        outcome = call(capsys, *command)
    assert outcome.code == 3
    assert "then continue with: the same command" in one_object(outcome)["error"]["message"]
    assert (
        len([name for name in files_below(tmp_path) if "summary" in name and name.endswith(".parquet")]) == 1
    )
    assert call(capsys, *command).code == 0
    (folder,) = tmp_path.iterdir()
    assert call(capsys, "verify", folder).code == 0


def test_a_folder_that_is_removed_meanwhile(
    street: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removing(tables: Tables, part: int) -> None:
        shutil.rmtree(tmp_path / "runs")
        flush(tables, part)

    flush = Tables.flush
    monkeypatch.setattr(Tables, "flush", removing)
    outcome = call(capsys, "run", street, "-q", "--out", tmp_path / "runs")
    refused(outcome, 3, str(tmp_path / "runs"))
    assert files_below(tmp_path) == []


def _fill(descriptor: int, leave: int) -> None:
    try:
        while os.write(descriptor, bytes(4_096)):
            pass
    except OSError:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size - leave)


def _errors(err: str) -> str:
    """The lines about the error: other lines are notes and warnings."""
    return "\n".join(line for line in err.splitlines() if "Error" in line)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_where_a_folder_is_wanted(
    name: str, places: dict[str, object], tmp_path: Path, capsys: Capture
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    outcome = call(capsys, *filled(WRITERS[name], places, in_the_way))
    one_sentence(outcome.code, _errors(outcome.err), in_the_way)
    assert in_the_way.stat().st_size == 0


IN_PROCESSES = """
import json, os, sys
import pandas, pyarrow.parquet
import wattswap.api, wattswap.evaluation, wattswap.results, wattswap.runs.chain_reader, wattswap.sizing.study
from wattswap.cli import main
for command, errors in json.load(sys.stdin):
    if os.fork() == 0:
        os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
        main(command)
    print(os.waitstatus_to_exitcode(os.wait()[1]), file=sys.stderr)
"""
"""Each command in a process of its own, with standard output as it is given and all imports made once."""


def ended(commands: dict[str, list[str]], folder: Path, stdout: int) -> dict[str, tuple[int, str]]:
    """Exit code and standard error of each command."""
    files = {name: folder / f"{i}.txt" for i, name in enumerate(commands)}
    asked = json.dumps([(command, str(files[name])) for name, command in commands.items()])
    done = subprocess.run(
        [sys.executable, "-c", IN_PROCESSES],
        input=asked,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=True,
    )
    codes = map(int, done.stderr.split())
    return {
        name: (code, files[name].read_text(encoding="utf-8"))
        for name, code in zip(commands, codes, strict=True)
    }


NOWHERE = {"an error as json": ["show", "nowhere", "--json"]}
WITHOUT_A_DISK = ("show why", "chain prove", "data check", "help")


@pytest.fixture(scope="module")
def unread(places: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """How commands end that write into a pipe which its reader has closed."""
    reading, writing = os.pipe()
    os.close(reading)
    commands = {name: filled(command, places) for name, command in (READ | NOWHERE).items()}
    try:
        return ended(commands, tmp_path_factory.mktemp("unread"), writing)
    finally:
        os.close(writing)


@sampled
@pytest.mark.parametrize("name", READ)
def test_a_reader_of_a_pipe_that_has_seen_enough(name: str, unread: dict[str, tuple[int, str]]) -> None:
    code, err = unread[name]
    assert code == 0
    assert "Error" not in err
    assert "Exception" not in err


def test_an_error_as_json_that_nobody_reads_keeps_its_exit_code(unread: dict[str, tuple[int, str]]) -> None:
    assert unread["an error as json"] == (3, "")


@pytest.fixture(scope="module")
def on_a_full_disk(
    places: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str]]:
    """How commands end whose standard output is a file of a full disk."""
    commands = {name: filled(READERS[name], places) for name in WITHOUT_A_DISK}
    with Path("/dev/full").open("w") as full:
        return ended(commands, tmp_path_factory.mktemp("full"), full.fileno())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("name", WITHOUT_A_DISK)
def test_standard_output_into_a_file_of_a_full_disk(
    name: str, on_a_full_disk: dict[str, tuple[int, str]]
) -> None:
    code, err = on_a_full_disk[name]
    assert code == 3, err
    assert "Error: the output: No space left on device; make room there" in err
    assert "Exception" not in err


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX closes an output")
@pytest.mark.parametrize(("words", "code"), [("list mechanisms", 0), ("show nowhere", 3)])
def test_an_output_that_the_caller_has_closed_takes_nothing_and_changes_no_code(
    words: str, code: int
) -> None:
    for closed in (">&-", "2>&-"):
        command = f'exec "{sys.executable}" -m wattswap {words} {closed}'
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code
        assert "bug" not in done.stderr
        assert "Traceback" not in done.stderr


@pytest.fixture
def spoiled(finished: RunResult, tmp_path: Path) -> Path:
    """A run that `verify` refuses, after it has shown how far it is."""
    run = shutil.copytree(finished.path, tmp_path / "spoiled")
    cell("bills", "retail_nano", 0)(run)
    fit_hashes(run)
    return run


@pytest.mark.skipif(os.name != "posix", reason="a pipe without a reader, as a shell of POSIX makes it")
@pytest.mark.parametrize("more", [[], ["-q"], ["--json"]])
@pytest.mark.parametrize("nobody", ["a pipe that nobody reads", "/dev/full"])
def test_errors_that_nobody_can_read_let_no_spoiled_run_pass(
    nobody: str, more: list[str], spoiled: Path
) -> None:
    """Progress goes to standard error: a check must not end with the first line of it that is not taken."""
    if nobody == "/dev/full" and not Path(nobody).exists():
        pytest.skip("there is no /dev/full here")
    reading, writing = os.pipe()
    os.close(reading)
    taken = writing if nobody != "/dev/full" else os.open(nobody, os.O_WRONLY)
    command = [sys.executable, "-m", "wattswap", "verify", str(spoiled), *more]
    try:
        done = subprocess.run(command, stdout=taken, stderr=taken, timeout=120, check=False)
    finally:
        for descriptor in {writing, taken}:
            os.close(descriptor)
    assert done.returncode == 5


WRITTEN_FIRST = {
    "new": "new",
    "secret": "key",
    "node init": "net",
    "node keys": "keys",
    "chain prove": "proof.json",
}
"""Commands that write a file or folder and then print where it is, by its name."""


@pytest.fixture(scope="module")
def written_unprinted(
    places: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, tuple[int, str]]]:
    """How such commands end that write into a folder, and whose standard output is a file of a full disk."""
    to = tmp_path_factory.mktemp("written")
    commands = {name: filled(WRITERS[name], places, to) for name in WRITTEN_FIRST}
    with Path("/dev/full").open("w") as full:
        return to, ended(commands, tmp_path_factory.mktemp("unprinted"), full.fileno())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("name", WRITTEN_FIRST)
def test_what_was_written_is_named_where_the_output_is_full(
    name: str, written_unprinted: tuple[Path, dict[str, tuple[int, str]]]
) -> None:
    to, ends = written_unprinted
    code, err = ends[name]
    place = to / WRITTEN_FIRST[name]
    assert place.exists()
    assert code == 3, err
    assert "Error: the output: No space left on device; make room there" in err
    assert f"; written before that: {place}\n" in err
    assert "Exception" not in err
