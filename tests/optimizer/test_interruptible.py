"""Ctrl-C in the middle of a solve: it ends at once, the session solves on, and no process crashes."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from random import Random
from threading import Thread
from time import monotonic
from typing import Any

import numpy as np
import pytest

from market.units import FloatArray
from optimizer.solver import interruptible
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.compile import CompiledModel
from optimizer.solver.session import Session

PROCESSES = 4
SECONDS = 1.0


def covering(rows: int, columns: int, seed: int = 1) -> CompiledModel:
    """Most worth within random sums: an LP of so many rows and columns that takes hundreds of iterations."""
    rng = np.random.default_rng(seed)
    matrix = (rng.random((rows, columns)) < 0.05) * rng.integers(1, 20, (rows, columns))
    row, column = matrix.nonzero()
    model = ModelBuilder()
    x = model.variables("x", columns, 0.0, 10.0, worth(rng, columns))
    most = rng.integers(100, 1000, rows).astype(np.float64)
    model.sums("most", rows, [(x[column], row, matrix[row, column].astype(np.float64))], upper=most)
    return model.compile()


def worth(rng: np.random.Generator, columns: int) -> FloatArray:
    """Costs of columns, all worth something."""
    return -rng.integers(1, 100, columns).astype(np.float64)


class Stopped(Exception):
    """What a handler raises."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_handler_raises_ends_the_solve_and_the_session_solves_on(number: signal.Signals) -> None:
    model = covering(100, 300)
    session, right = Session(model, interruptible=True), Session(model).answer(model.cost, *bounds(model))
    asked, answer = 0, interruptible.answer

    def stop(_number: int, _frame: object) -> None:
        raise Stopped

    def in_the_middle(*event: Any) -> None:
        nonlocal asked
        asked += 1
        if asked == 20:
            signal.raise_signal(number)
            signal.raise_signal(number)
        answer(*event)

    before = signal.signal(number, stop)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(interruptible, "answer", in_the_middle)
            with pytest.raises(Stopped):
                session.answer(model.cost, *bounds(model))
        assert asked == 20  # not one iteration more
        assert session.answer(model.cost, *bounds(model)) == pytest.approx(right)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)


def test_a_handler_that_raises_nothing_lets_the_solve_go_on_and_may_be_replaced_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, heard = covering(100, 300), []
    session, right = Session(model, interruptible=True), Session(model).answer(model.cost, *bounds(model))

    def hear(number: int, _frame: object) -> None:
        heard.append(number)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def in_the_middle(*event: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        answer(*event)

    before, answer = signal.signal(signal.SIGINT, hear), interruptible.answer
    monkeypatch.setattr(interruptible, "answer", in_the_middle)
    try:
        assert session.answer(model.cost, *bounds(model)) == pytest.approx(right)
        assert heard == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_solves_as_the_main_thread_does() -> None:
    model = covering(100, 300)
    session, found = Session(model, interruptible=True), []
    solving = Thread(target=lambda: found.append(session.answer(model.cost, *bounds(model))))
    solving.start()
    solving.join()
    assert found[0] == pytest.approx(Session(model).answer(model.cost, *bounds(model)))


@pytest.mark.parametrize("seed", range(PROCESSES))
def test_no_process_crashes_whenever_it_is_interrupted(seed: int) -> None:
    """At random times, also while a session is made or dropped and while the process ends."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from tests.optimizer.test_interruptible import solve_on; solve_on({seed}, {SECONDS})",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    rng = Random(seed)
    while child.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(rng.expovariate(rng.choice([5, 50, 500])))
        child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert child.returncode in (0, -signal.SIGINT), said


def solve_on(seed: int, seconds: float) -> None:
    """Solve with other costs until the time is up, whatever interrupts it."""
    model, rng = covering(400, 1500), np.random.default_rng(seed)
    session = Session(model, interruptible=True)
    print("ready", flush=True)
    end = monotonic() + seconds
    while monotonic() < end:
        try:
            session.answer(worth(rng, len(model.cost)), *bounds(model))
        except KeyboardInterrupt:
            if rng.integers(2):
                session = Session(model, interruptible=True)


def bounds(model: CompiledModel) -> tuple[FloatArray, FloatArray]:
    """Of its columns."""
    return model.lower, model.upper
