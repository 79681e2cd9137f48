"""Ctrl-C in the middle of a run or a comparison with a plug-in, and going on with the same, another or no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.plugin_kit import own_registries, written
from tests.kits.run_kit import call, files_below, refused, write_street

STRATEGY = """
import os, signal
from agents.bidding import STRATEGIES, Strategy, one_order_a_home
def start(homes, rules):
    return {"asked": 0 * homes}
def bid(state, view):
    if os.environ.get("CTRL_C") and state["asked"][0] == 30:
        os.killpg(0, signal.SIGINT)
    return one_order_a_home(view.net_wh, 200_000, 200_000)
def learn(state, outcome):
    return {"asked": state["asked"] + 1}
STRATEGIES.register(Strategy("middle", bid, "the middle", start=start, learn=learn), contract=2)
"""


def command(*words: object, ctrl_c: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process group of its own, in which the plug-in may send what Ctrl-C sends."""
    environment = {name: value for name, value in os.environ.items() if name != "CTRL_C"}
    return subprocess.run(
        [sys.executable, "-m", "wattswap", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment | ({"CTRL_C": "1"} if ctrl_c else {}),
        start_new_session=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def given(tmp_path: Path) -> list[object]:
    street = write_street(tmp_path / "street")
    module = written(tmp_path, "middle.py", STRATEGY)
    return [street, "--module", module, "--set", "homes.strategy=middle", "-q", "--json"]


def test_a_run_goes_on_with_the_very_file_it_began_with(
    given: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = json.loads(command("run", *given, "--out", tmp_path / "whole").stdout)
    stopped = command("run", *given, "--out", tmp_path / "stopped", ctrl_c=True)
    assert stopped.returncode == 130, stopped.stderr
    (partial,) = (tmp_path / "stopped").iterdir()
    assert "after 31 of 48 intervals" in stopped.stdout
    before = files_below(partial)

    other = ["--module", written(tmp_path / "other", "middle.py", STRATEGY + "\n")]
    refusals = (([], "middle.py: is needed, with sha-256"), (other, "and the file that was used here has"))
    for more, sentence in refusals:
        with own_registries(monkeypatch):
            refused(call(capsys, "resume", partial, "-q", *more), 3, sentence)
    assert files_below(partial) == before

    done = json.loads(command("resume", partial, "-q", "--json", "--module", tmp_path / "middle.py").stdout)
    hashes = [
        json.loads((Path(one["run"]) / "manifest.json").read_text())["replay_sha256"] for one in (whole, done)
    ]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_comparison_goes_on_with_the_same_command(jobs: int, given: list[object], tmp_path: Path) -> None:
    """To the figures of one process that nothing interrupted."""
    words = ["compare", *given, "-m", "pay_as_bid", "--jobs", jobs, "--out"]
    whole = json.loads(command(*words, tmp_path / "whole", "--jobs", 1).stdout)
    stopped = command(*words, tmp_path / "stopped", ctrl_c=True)
    assert stopped.returncode == 130, stopped.stderr
    assert "Traceback" not in stopped.stderr
    (folder,) = (tmp_path / "stopped").iterdir()
    assert [name for name in files_below(folder) if name.endswith(".tmp")] == []
    assert len(json.loads((folder / "comparison.json").read_text())["missing"]) == 3
    done = json.loads(command(*words, tmp_path / "stopped").stdout)
    assert Path(done["comparison"]) == folder
    figures = [one["points"]["base"] for one in (whole, done)]
    for label, row in figures[0].items():
        assert {**row, "clear_ms": 0} == {**figures[1][label], "clear_ms": 0}
