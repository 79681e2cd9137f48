"""An interval for which a rule has no clearing ends a run with a sentence that says whose rule and which interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyomo.environ import ConcreteModel, Constraint, Var

from market.mechanism import MECHANISMS
from optimizer.own_rule import Structure, own_rule
from tests.kits.run_kit import call, write_street


def far_too_much(structure: Structure) -> Any:
    """The first bid gets a thousand kWh."""
    model = ConcreteModel()
    model.quantity = Var(structure.orders)
    model.balance = Constraint(expr=sum(model.quantity[i] for i in structure.orders) == 0)
    if structure.bids:
        model.at_least = Constraint(expr=model.quantity[structure.bids[0]] >= 1_000_000)
    return model


def test_the_mechanism_and_the_interval_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_street(tmp_path)
    MECHANISMS.register(own_rule("far_too_much", far_too_much, "a test"))
    try:
        over = ("--set", "market.mechanism=far_too_much", "--set", "homes.strategy=truthful")
        done = call(capsys, "run", folder, *over, "--out", tmp_path / "runs", "--quiet")
    finally:
        MECHANISMS.forget("far_too_much")
    assert done.code == 4
    assert "far_too_much, interval 20" in done.err
    assert "no quantities satisfy" in done.err
    assert "at_least" in done.err
    assert "Traceback" not in done.err
