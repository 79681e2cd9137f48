"""What people read fits the screen: no number is cut, what is left out is named, and `--wide` has all of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import wattswap as ws
from tests.kits.run_kit import call, checked_once, markets_checked, remember, write_street
from tests.kits.sample_kit import sample_of
from wattswap.cli._summary import print_bills
from wattswap.cli.live import _print_equal, _print_network
from wattswap.cli.output import Form
from wattswap.cli.tables import Column, fitting, fixed, print_table, wrapped
from wattswap.results import Comparison, RunResult

__all__ = ["checked_once", "markets_checked"]
Capture = pytest.CaptureFixture[str]
WIDTHS = [60, 80, 100, 140]
every_width = pytest.mark.parametrize("width", sample_of(WIDTHS, (60, 100)))
NUMBER = re.compile(r"-?\d+\.\d+")
RUN_VIEWS = ("summary", "bills", "prices", "book", "why", "shares")


@pytest.fixture(scope="module")
def compared(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("compared")
    return ws.compare(street, ["uniform_price", "mcafee"], seeds=[1, 2], out=out)


@pytest.fixture
def screen(width: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(width))
    return width


def tables_of(text: str) -> list[str]:
    """Lines that a table may have: not those that name a folder, which nothing can make shorter."""
    return [line for line in text.splitlines() if "/" not in line or "EUR/kWh" in line]


def fits(text: str, width: int) -> None:
    assert "…" not in text
    assert "..." not in text
    assert max(map(len, tables_of(text))) <= width


@every_width
@pytest.mark.parametrize("what", RUN_VIEWS)
def test_views_of_a_run_fit(what: str, screen: int, finished: RunResult, capsys: Capture) -> None:
    which = [finished.bills().index[0]] if what == "why" else []
    text = call(capsys, "show", finished.path, what, *which).out
    fits(text, screen)
    wide = call(capsys, "show", finished.path, what, *which, "--wide").out
    assert "Left out at this width" not in wide
    assert set(NUMBER.findall(text)) <= set(NUMBER.findall(wide))


@every_width
@pytest.mark.parametrize("what", ["summary", "bills", "cells", "effects"])
def test_views_of_a_comparison_fit(what: str, screen: int, compared: Comparison, capsys: Capture) -> None:
    which = {"bills": ["mcafee"], "effects": ["--against", "uniform_price"]}.get(what, [])
    text = call(capsys, "show", compared.path, what, *which).out
    fits(text, screen)
    wide = call(capsys, "show", compared.path, what, *which, "--wide").out
    assert set(NUMBER.findall(text)) <= set(NUMBER.findall(wide))


@pytest.fixture(scope="module")
def known() -> dict[Any, Any]:
    """What another process found, which is started for the first width alone."""
    return {}


@every_width
def test_lists_and_checks_of_mechanisms_fit(
    screen: int, capsys: Capture, known: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(monkeypatch, "wattswap.check.other_process.same_elsewhere", known, lambda choice, *asked: asked)
    fits(call(capsys, "list", "mechanisms").out, screen)
    text = call(capsys, "check", "mechanism", "uniform_price", "--books", "3").out
    fits(text, screen)
    # What a property says starts at the left of its own line, and is not torn off the end of the row before it.
    found = [line for line in text.splitlines() if "bought = sold" in line]
    assert len(found) == 1
    assert found[0].endswith("accepted between 0 and the order, bought = sold")


@every_width
def test_what_was_verified_fits(screen: int, finished: RunResult, capsys: Capture) -> None:
    text = call(capsys, "verify", finished.path, "--quiet").out
    fits(text, screen)
    assert [line.split()[1] for line in text.splitlines() if line.startswith("ok")] == [
        *("files", "chain", "tables", "again"),
    ]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the sweep of the first width leaves its cells for the others."""
    return tmp_path_factory.mktemp("sweeps")


@every_width
@pytest.mark.parametrize("quantities", ["ordered", "metered"])
@pytest.mark.usefixtures("checked_once")
def test_a_check_of_a_market_fits(quantities: str, screen: int, street: Path, capsys: Capture) -> None:
    words = ["--set", f"market.quantities={quantities}", "--set", "time.days=1", "--rounds", "1", "-q"]
    text = call(capsys, "check", "market", street, *words).out
    fits(text, screen)
    wide = call(capsys, "check", "market", street, *words, "--wide").out
    assert set(NUMBER.findall(text)) <= set(NUMBER.findall(wide))


@every_width
def test_the_summary_of_a_live_run_fits(screen: int, capsys: Capture) -> None:
    times = {"p50": 12.34, "p95": 123.45}
    network = {
        "nodes": 118, "roles": {"household": 113, "operator": 1, "validator": 4}, "interval_s": times,
        "finality_s": times, "signed_receipts": 31200, "results_by_gossip": 15600, "results_by_request": 1560,
        "proofs_checked": 15600,
    }  # fmt: skip
    root = "0123456789abcdef" * 4
    names = ("book_root", "clearing_root", "postings_root")
    row = {
        "interval": "2016-09-19T04:15Z",
        "orders": 1047,
        "traded_kwh": 1234.567,
        **dict.fromkeys(names, root),
    }
    forms: tuple[Form, Form] = ("text", "wide")
    for form in forms:
        _print_network("street", 1, network)
        _print_equal([row], form)
        text = capsys.readouterr().out
        assert "1234.567" in text
        assert (text.count("01234567 =") == 3) is (form == "wide" or screen >= 80)
        if form == "text":
            fits(text, screen)


@every_width
def test_checks_of_scenarios_and_data_fit(screen: int, street: Path, capsys: Capture) -> None:
    fits(call(capsys, "validate", street).out, screen)
    fits(call(capsys, "data", "check", street / "meter.csv").out, screen)
    fits(call(capsys, "data", "sniff", street / "meter.csv").out, screen)


@every_width
def test_a_sweep_fits(screen: int, street: Path, sweeps: Path, capsys: Capture) -> None:
    words = ["--vary", "market.k=0,1", "-m", "uniform_price", "--out", sweeps, "-q"]
    fits(call(capsys, "sweep", street, *words).out, screen)


def large_bills() -> pd.DataFrame:
    """Bills of a month in a currency of large amounts."""
    money = {
        name: [-1234567.89, 98765432.1] for name in ("cost_without_market", "cost_with_market", "saving")
    }
    energy = {name: [12345.678, 2.0] for name in ("import_kwh", "export_kwh", "bought_kwh", "sold_kwh")}
    frame = pd.DataFrame(energy | money, index=["home-1", "home-2"])
    return frame.assign(saving_percent=[12.3, 4.5], imbalance_cost=[-7654321.0, 1.0])


@every_width
def test_large_amounts_are_whole_and_what_is_left_out_is_named(screen: int, capsys: Capture) -> None:
    print_bills(large_bills(), "VND", "text")
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= screen
    assert "98765432.10" in text
    heads = re.sub(r"\s+", " ", text)
    assert ("Left out at this width: " in heads) is (screen < 140)
    if screen == 60:
        assert "given kWh, agreed to buy kWh, agreed to sell kWh, imbalance cost (--wide shows all)." in heads


def test_wide_is_as_wide_as_it_must(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    form: Form = "wide"
    print_bills(large_bills(), "VND", form)
    text = capsys.readouterr().out
    assert "Left out" not in text
    assert "-7654321.00" in text


def test_columns_go_in_the_stated_order(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Column("home", ["a"], right=False)
    columns = [Column(head, ["1234.56"]) for head in ("first", "second", "third", "fourth")]
    left = []
    for width in (60, 35, 28, 18, 5):
        monkeypatch.setenv("COLUMNS", str(width))
        left.append([column.head for column in fitting(key, columns, ("third", "first"))])
    assert left == [
        ["first", "second", "third", "fourth"],
        ["first", "second", "third"],
        ["first", "third"],
        ["third"],
        ["third"],
    ]


def test_a_table_of_one_wide_column_is_not_cut(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    print_table("Long", pd.DataFrame({"price": [123456789012345.5]}, index=pd.Index(["home"])), 6)
    assert fixed(123456789012345.5, 6) in capsys.readouterr().out


def test_wide_and_json_exclude_each_other(finished: RunResult, capsys: Capture, tmp_path: Path) -> None:
    for words in (["show", finished.path], ["run", write_street(tmp_path / "s"), "--out", tmp_path / "r"]):
        done = call(capsys, *words, "--wide", "--json")
        assert done.code == 2
        assert "excludes --json" in done.out + done.err
    assert not (tmp_path / "r").exists()


@every_width
@pytest.mark.parametrize(
    "command", ["chain show {run}", "chain show {run} 1", "show {run} block 1", "chain describe guarantees"]
)
def test_facts_of_a_chain_fit(command: str, screen: int, finished: RunResult, capsys: Capture) -> None:
    """A hash has 64 digits, which no screen makes shorter: it then is on a line of its own."""
    done = call(capsys, *(part.format(run=finished.path) for part in command.split()))
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= max(screen, 68)


@every_width
@pytest.mark.parametrize(
    "module", ["accounts", "evidence", "governance", "settlement", "meters", "guarantees"]
)
def test_the_state_of_a_chain_fits(module: str, screen: int, finished: RunResult, capsys: Capture) -> None:
    done = call(capsys, "chain", "state", finished.path, module)
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.out.splitlines())) <= max(screen, 80)
    assert "{" not in done.out


@every_width
def test_lists_and_help_fit(screen: int, capsys: Capture) -> None:
    for arguments in (["list", "mechanisms"], ["list", "metrics"], ["list", "strategies"], ["show", "-h"]):
        assert max(map(len, call(capsys, *arguments).out.splitlines())) <= screen


def test_a_flag_has_no_type_in_the_help(capsys: Capture) -> None:
    for arguments in (["-h"], ["show", "-h"], ["chain", "-h"], ["chain", "state", "-h"], ["live", "-h"]):
        assert "bool" not in call(capsys, *arguments).out


def test_errors_and_notes_are_wrapped_on_a_terminal_and_one_line_elsewhere(
    finished: RunResult, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["run", "demo", "-m", "nope", "--set", "market.q=1"]
    plain = call(capsys, *arguments).err
    assert len(plain.splitlines()) == 3
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    on_screen = call(capsys, *arguments).err
    assert max(map(len, on_screen.splitlines())) <= 80
    assert on_screen.split() == plain.split()


IN_A_TERMINAL = """
import fcntl, os, pty, struct, subprocess, sys, termios
ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
command = [sys.executable, "-m", "wattswap", *sys.argv[1:]]
done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, stdin=subprocess.DEVNULL)
os.write(1, os.read(ours, 100_000))
"""
"""A command whose standard error is a terminal of 60 columns, and whose standard output is not."""


@pytest.mark.parametrize(
    "words",
    [["chain", "show", "nowhere"], ["chain", "accuse", "proof", "--key", "k", "--out", "o", "--nonce", "x"]],
)
def test_errors_fit_the_terminal_that_shows_them(words: list[str], tmp_path: Path) -> None:
    """Of the command and of the parser; the output may go into a file or a pipe meanwhile."""
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_TERMINAL, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("Error: ") for line in lines), done
    assert max(map(len, lines)) <= 60
    assert max(map(len, lines)) > 40


@pytest.mark.parametrize("width", range(40, 60))
def test_a_number_stays_beside_its_percent_sign(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    text = "All bills together  -1.39 EUR instead of 8.93: 10.32 EUR less (115.6 %) in all"
    lines = wrapped(text).splitlines()
    assert " ".join(lines) == text
    assert max(map(len, lines)) <= width
    assert not any(line.lstrip().startswith("%") for line in lines)
