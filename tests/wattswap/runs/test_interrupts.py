"""Ctrl-C at any moment: one sentence or one JSON object, code 130, nothing half done."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.kits.run_kit import files_below, python
from tests.kits.sample_kit import sample_of

PROGRAM = """\
import os, signal
import wattswap.{module} as module
from wattswap.cli import main

def interrupted(*arguments, **options):
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("the signal comes before this line")

module.{name} = interrupted
main({arguments!r})
"""
MOMENTS = {
    "while the scenario is read": ("scenario.load", "read_document", ["run", "{street}"]),
    "while the data are read": ("runs.engine", "prepare", ["run", "{street}", "--out", "{out}"]),
    "before the first interval": ("runs.engine", "Run", ["run", "{street}", "--out", "{out}"]),
    "in a command without a run": ("catalogue", "catalogue", ["list", "mechanisms"]),
}
TEXT = ("while the data are read", "in a command without a run")
JSON = ("before the first interval",)
"""The samples of `make test`."""


def outcome(moment: str, street: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    module, name, words = MOMENTS[moment]
    arguments = [*(word.format(street=street, out=out) for word in words), *more]
    return python(PROGRAM.format(module=module, name=name, arguments=arguments))


@pytest.mark.parametrize("moment", sample_of(MOMENTS, TEXT))
def test_ctrl_c_outside_the_loop_prints_one_word_and_exits_with_130(
    moment: str, street: Path, tmp_path: Path
) -> None:
    done = outcome(moment, street, tmp_path)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in done.stderr
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("moment", sample_of(MOMENTS, JSON))
def test_ctrl_c_outside_the_loop_prints_one_object_with_json(
    moment: str, street: Path, tmp_path: Path
) -> None:
    done = outcome(moment, street, tmp_path, "--json")
    assert done.returncode == 130, done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["message"]) == (130, "interrupted")
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert files_below(tmp_path) == []
