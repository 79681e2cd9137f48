"""From a module's declarations alone: arguments out of JSON, entries as JSON, a listing."""

from __future__ import annotations

import json

import pytest

from p2p.errors import InvalidArguments
from p2p.ledger.edge import args_from, described, fields_of, plain, shown
from p2p.ledger.module import CHAIN_MODULES
from p2p.ledger.modules import meters
from p2p.ledger.modules.meters import Meter
from tests.kits.modules_kit import HOMES, OPERATORS, Chain, make_genesis

METER = "ab" * 32
MODULES = CHAIN_MODULES.all()


def test_arguments_come_out_of_json_and_make_a_transaction() -> None:
    chain = Chain(make_genesis())
    values = {"meter": METER, "household": 1, "kind": meters.BOTH, "capacity_w": 9_000, "efficiency_ppm": 0}
    args = args_from(MODULES["meters"].methods["register"], values)
    chain.call(OPERATORS[0], "meters.register", args)
    assert meters.find(chain.tip.state.view(), bytes.fromhex(METER)) == Meter(1, meters.BOTH, 9_000, 0)
    assert plain(args) == values


def test_everything_that_is_wrong_with_arguments_is_said_at_once() -> None:
    issue = next(m for m in MODULES.values() if "issue" in m.methods).methods["issue"]
    reading = {"interval_start": "0", "secondes": 900}
    with pytest.raises(InvalidArguments) as caught:
        args_from(issue, {"meter": "xyz", "readings": [reading]})
    said = str(caught.value)
    assert "meter must be hexadecimal text" in said
    assert "readings[0].interval_start must be a whole number" in said
    assert "readings[0].secondes is not an argument. Did you mean 'seconds'?" in said
    assert "readings[0].path is missing" in said


@pytest.mark.parametrize("values", [None, [], "x", 1])
def test_arguments_that_are_no_object_are_refused(values: object) -> None:
    with pytest.raises(InvalidArguments, match="must be an object with number"):
        args_from(MODULES["governance"].methods["approve"], values)  # type: ignore[arg-type]


def test_every_entry_of_a_busy_state_can_be_shown() -> None:
    chain = Chain(make_genesis())
    meter = chain.register("roof", 0, meters.PRODUCTION)
    chain.settle_day()
    opened = chain.anchor(meter, [(1_500, 0), (2_700, 0)])
    origin = next(m for m in MODULES.values() if "issue" in m.methods)
    args = origin.methods["issue"].args(meter, tuple(opened), chain.balances(meter, *opened))
    chain.call(HOMES[0], f"{origin.name}.issue", args)
    state = chain.tip.state
    for module in MODULES.values():
        entries = list(shown(state, module))
        assert len(entries) == len(list(state.trees[module.name].items()))
        json.dumps(entries)
    wh = [e["value"]["wh"] for e in shown(state, origin) if e["entry"] == "A guarantee."]
    assert sorted(wh) == [1, 3]


def test_every_module_describes_itself() -> None:
    for module in MODULES.values():
        text = json.dumps(described(module))
        assert module.summary.endswith(".")
        assert all(m.about.endswith(".") for m in module.methods.values())
        assert all(name in text for name in module.methods)
    assert fields_of(MODULES["meters"].methods["anchor"].args)["root"] == "hex"
