"""--json of every command that has it is one object and nothing else, with a solver that prints its name from C."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import highspy
import pytest

from data.store.imports import Options, import_files
from tests.kits.run_kit import call
from wattswap.cli import command
from wattswap.results import RunResult

INTERVAL = "2026-06-02T12:00Z"
BOOK = """\
{"orders": [{"id": "a", "participant": "a", "side": "buy", "quantity_kwh": 1, "price_per_kwh": 0.3},
            {"id": "b", "participant": "b", "side": "sell", "quantity_kwh": 1, "price_per_kwh": 0.1}]}
"""
STREET = "New Circuit.c basekv=0.4 bus1=a\nNew Line.l bus1=a bus2=b r1=0.1 x1=0.1\nNew Load.h bus1=b kw=1\n"

COMMANDS: dict[str, tuple[int, str]] = {
    "validate": (0, "{street}"),
    "list": (0, "mechanisms"),
    "new": (0, "{out}/new --from-data {out}/store"),
    "doctor": (0, ""),
    "run": (0, "{street} -m vcg -q --out {out}/runs"),
    "resume": (3, "{run}"),
    "show": (0, "{run}"),
    "verify": (0, "{run}"),
    "compare": (0, "{street} -m vcg -q --out {out}/compared"),
    "sweep": (0, "{street} -m vcg --vary market.k=0,1 -q --out {out}/swept"),
    "report": (0, "{run} --out {out}/report.html"),
    "clear": (0, "{out}/book.json -m welfare_optimum"),
    "data check": (0, "{street}/meter.csv"),
    "data import": (0, "{street}/meter.csv --out {out}/new.store"),
    "data export": (0, "{out}/store --out {out}/readings.csv"),
    "data show": (0, "{out}/store"),
    "data repair": (0, "{out}/store --policy zero"),
    "data undo": (3, "{out}/store"),
    "data resample": (0, "{out}/store --minutes 60 --out {out}/hours"),
    "data assemble": (0, "{out}/store --out {out}/assembled"),
    "data recipe": (0, "{out}/odd.csv"),
    "data sniff": (0, "{street}/meter.csv"),
    "forecast evaluate": (0, "{street}"),
    "grid import": (0, "{out}/street.dss --out {out}/grid.json"),
    "grid check": (0, "{out}/street.dss"),
    "grid ac": (0 if find_spec("pandapower") else 4, "{out}/street.dss"),
    "size battery": (0, "{street} --range 0,5 -q"),
    "check mechanism": (0, "uniform_price --books 20"),
    "check market": (0, "{street} --set time.intervals=6 --rounds 1 -q"),
    "chain show": (0, "{run}"),
    "chain verify": (0, "{run}"),
    "chain check-proof": (0, "{out}/proof.json --genesis {run}/genesis.bin"),
    "chain check-omission": (3, "{out}/proof.json --genesis {run}/genesis.bin"),
    "chain describe": (0, "settlement"),
    "chain state": (0, "{run} settlement"),
    "chain tx": (2, "settlement nothing --args {{}} --key {out}/key --out {out}/tx"),
    "chain enter": (3, "--key {out}/key --run {run} --out {out}/tx"),
    "chain accuse": (3, "{out}/proof.json --key {out}/key --run {run} --out {out}/tx"),
    "chain possession": (3, "--key {out}/proof.json --genesis {run}/genesis.bin"),
    "node init": (0, "{street} {out}/net"),
}
LIVE: dict[str, tuple[int, str]] = {
    "live": (0, "{street} --validators 1 --processes 1 --intervals 2 -q --out {out}/live"),
    "network status": (6, "{out}/down"),
}
"""Commands by their exit code and arguments; those below open sockets."""


@pytest.fixture(scope="module")
def places(street: Path, finished: RunResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What the commands read and where they write."""
    out = tmp_path_factory.mktemp("json")
    (out / "book.json").write_text(BOOK, encoding="utf-8")
    (out / "odd.csv").write_text(
        "Tag;Bezug in kWh\n01.09.2022 00:00;0,1\n01.09.2022 00:15;0,2\n", encoding="utf-8"
    )
    (out / "street.dss").write_text(STREET, encoding="utf-8")
    import_files([street / "meter.csv"], out / "store", Options())
    return {"street": street, "run": finished.path, "out": out}


@pytest.fixture(autouse=True)
def talkative_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    """HiGHS as its version 1.16 is: it prints its name before it can be told not to."""
    made = highspy.Highs

    def printing() -> Any:
        os.write(1, b"Running HiGHS 1.16.0\n")
        return made()

    monkeypatch.setattr(highspy, "Highs", printing)


def with_json(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The names of all commands below one that have the option."""
    for name, inside in getattr(command, "commands", {}).items():
        yield from with_json(inside, (*path, name))
    if any("--json" in parameter.opts for parameter in command.params):
        yield " ".join(path)


def test_every_command_with_json_is_tried() -> None:
    assert set(with_json(command())) == {*COMMANDS, *LIVE}


@pytest.mark.parametrize(
    "command", [*COMMANDS, *(pytest.param(command, marks=pytest.mark.live) for command in LIVE)]
)
def test_json_is_one_object_and_nothing_else(
    command: str, places: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    if "proof.json" in (COMMANDS | LIVE)[command][1]:
        call(
            capfd, "chain", "prove", places["run"], "home-1", INTERVAL, "--out", places["out"] / "proof.json"
        )
    if command == "network status":
        call(capfd, "node", "init", places["street"], places["out"] / "down")
    code, arguments = (COMMANDS | LIVE)[command]
    outcome = call(capfd, *command.split(), *arguments.format(**places).split(), "--json")
    assert outcome.code == code, outcome.out + outcome.err
    assert isinstance(json.loads(outcome.out), dict)
