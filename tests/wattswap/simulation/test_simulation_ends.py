"""How the command of the simulation ends: outputs that take nothing, Ctrl-C, and what is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kits.time_kit import eventually
from wattswap.nodes.roles import run_role
from wattswap.simulation import command
from wattswap.simulation.__main__ import main

LIED = Path(__file__).with_name("plans") / "false_within.json"
FULL = Path("/dev/full")
SHORT = ["--quiet-network", "--intervals", "2"]
needs_a_full_disk = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _results_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")


@needs_a_full_disk
@pytest.mark.parametrize(
    "words",
    [
        ["--plan", str(LIED), "--trace", str(FULL)],
        ["--seeds", "1", "--lie", "false_within:home-01", *SHORT, "--workers", "1", "--save", str(FULL)],
    ],
    ids=["trace", "save"],
)
def test_a_file_that_cannot_be_written_is_reported_after_the_report(
    words: list[str], capsys: Capture
) -> None:
    assert main(words) == 3
    out, err = capsys.readouterr()
    assert "violated: meters" in out
    assert "again: python -m wattswap.simulation" in out
    assert "its plan is in" not in out
    assert err == f"Error: {FULL}: No space left on device; make room there, or name another place\n"


def _of_a_process(stdout: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wattswap.simulation", "--plan", str(LIED)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )


@needs_a_full_disk
def test_standard_output_into_a_file_of_a_full_disk() -> None:
    with FULL.open("w") as full:
        done = _of_a_process(full.fileno())
    assert done.returncode == 3
    assert (
        done.stderr == "Error: the output: No space left on device; make room there, or name another place\n"
    )


def test_a_violation_keeps_its_code_where_the_reader_of_a_pipe_has_seen_enough() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = _of_a_process(writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (6, "")


def test_ctrl_c_in_a_node_ends_the_run_and_is_no_error_of_the_node(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        await run_role(*arguments)

    monkeypatch.setattr("wattswap.simulation.town.run_role", interrupted)
    assert main(["--plan", str(LIED)]) == 130
    assert tuple(capsys.readouterr()) == ("", "Interrupted.\n")
    assert main(["--seeds", "0..2", *SHORT, "--workers", "1", "--again"]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    cure = "the same command without --again continues where it stopped"
    assert err == f"Error: stopped after 0 of 2 seeds; {cure}\n"


WITH_WORKERS = """
import sys
from pathlib import Path
from wattswap.simulation import command
from wattswap.simulation.__main__ import main
from wattswap.simulation.run import work_in
command.RESULTS = Path(sys.argv[1])
work_in(Path(sys.argv[2]))
sys.exit(main(sys.argv[3:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent to a group of processes")
def test_ctrl_c_ends_the_workers_and_keeps_what_they_have_run(tmp_path: Path) -> None:
    results, work = tmp_path / "results", tmp_path / "work"
    work.mkdir()
    words = ["--seeds", "0..4000", "--quiet-network", "--intervals", "1", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_WORKERS, str(results), str(work), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        eventually(lambda: any(path.stat().st_size for path in results.glob("*.jsonl")), "a result", 120)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    stopped = re.fullmatch(
        r"Error: stopped after (\d+) of 4,000 seeds; the same command continues where it stopped\n", err
    )
    assert stopped, err
    assert list(work.iterdir()) == []
    (kept,) = results.iterdir()
    assert len(kept.read_text(encoding="utf-8").splitlines()) >= int(stopped[1]) > 0
