"""Several processes with hot sessions: none waits for another, whether forked from a hot one or started anew."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]
)
def test_processes_with_hot_sessions_answer_alike_and_none_waits_for_ever(method: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kits.hot_processes", method],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"answers": 20, "equal": True}
