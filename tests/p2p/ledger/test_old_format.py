"""Runs of wattswap 0.1 whose chains have format 2 to 6: refused with a sentence that says what reads them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import wattswap as ws
from p2p.blocks.genesis import VERSION, read_genesis
from p2p.errors import OtherFormat
from p2p.ledger.store import ChainStore
from tests.kits.run_kit import call, files_below, refused
from wattswap.errors import ExitCode, exit_code_of
from wattswap.runs.chain_reader import chain_facts, verified_chain
from wattswap.runs.folder import RunFolder, read_table
from wattswap.verification.run import verify_run

STORED = Path(__file__).parent / "stored"
STREET = Path(__file__).parents[2] / "golden" / "two_neighbours"
FORMATS = pytest.mark.parametrize("number", [2, 3, 4, 5, 6])


def sentence(number: int) -> str:
    return (
        f"a chain of format {number}; this program reads format {VERSION}. To verify it, run"
        " `wattswap verify RUN_FOLDER`"
    )


@FORMATS
def test_an_old_genesis_and_an_old_chain_are_refused_and_say_what_reads_them(number: int) -> None:
    old = STORED / f"v{number}"
    with pytest.raises(OtherFormat, match=re.escape(sentence(number))) as caught:
        read_genesis(old / "genesis.bin")
    assert caught.value.version == number
    assert exit_code_of(caught.value) == ExitCode.INVALID
    with pytest.raises(OtherFormat, match=re.escape(sentence(number))):
        ChainStore.open(old / "chain.db", read_only=True)


@FORMATS
@pytest.mark.parametrize("command", [verify_run, verified_chain, chain_facts])
def test_every_command_on_an_old_chain_says_so_and_changes_nothing(
    command: object, number: int, tmp_path: Path
) -> None:
    old = STORED / f"v{number}"
    run = Path(shutil.copytree(old, tmp_path / "run"))
    with pytest.raises(OtherFormat, match=re.escape(sentence(number))):
        command(run)  # type: ignore[operator]
    assert {path.name: path.read_bytes() for path in run.iterdir()} == {
        path.name: path.read_bytes() for path in old.iterdir()
    }


@FORMATS
def test_the_tables_and_figures_of_an_old_run_are_opened(number: int) -> None:
    folder = RunFolder(STORED / f"v{number}")
    assert folder.manifest["intervals"] == 3
    assert folder.metrics["traded_kwh"] == pytest.approx(1.0)
    for name in ("orders", "readings", "postings", "intervals", "bills"):
        assert len(read_table(folder.path, name)) > 0


@FORMATS
def test_an_unfinished_old_run_is_not_continued_but_says_what_does(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = Path(shutil.copytree(STORED / f"v{number}", tmp_path / "run.partial"))
    (partial / "manifest.json").unlink()
    stored = partial / "scenario.json"
    stored.write_text(
        stored.read_text(encoding="utf-8").replace("/srv/street", str(STREET)), encoding="utf-8"
    )
    before = files_below(partial)
    why = "was interrupted by another version of wattswap; start a new run, or resume it by that version"
    refused(call(capsys, "resume", partial), 3, why)
    assert [name for name in files_below(partial) if name != "lock"] == before


@pytest.mark.parametrize(
    ("command", "number", "phrase"),
    [
        ("verify", 2, sentence(2)),
        ("verify", 3, sentence(3)),
        ("verify", 4, sentence(4)),
        ("verify", 5, sentence(5)),
        ("verify", 6, sentence(6)),
        ("report", 2, "report with the wattswap whose version and commit"),
    ],
)
def test_the_command_line_refuses_an_old_run_with_the_command_that_reads_it(
    command: str, number: int, phrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = STORED / f"v{number}"
    run = Path(shutil.copytree(old, tmp_path / "run"))
    refused(call(capsys, command, run), 3, phrase)
    assert files_below(run) == files_below(old)


def test_the_same_scenario_can_be_run_again(tmp_path: Path) -> None:
    """The old market is the middle price and one limit, under the names that they have now."""
    old_market = ["market.imbalance=middle", "homes.strategy=truthful"]
    again = ws.run(ws.load(STREET / "scenario.toml", overrides=old_market), out=tmp_path)
    renamed = {f"retail_{way}_kwh": f"settled_with_retailer_{way}_kwh" for way in ("import", "export")}
    old = {renamed.get(name, name): value for name, value in RunFolder(STORED / "v2").metrics.items()}
    assert old.items() <= RunFolder(again.path).metrics.items()


@pytest.mark.parametrize("number", [3, 4, 5, 6])
def test_an_old_run_has_the_tables_of_the_same_run_today(number: int, tmp_path: Path) -> None:
    stored = STORED / f"v{number}"
    again = ws.run(ws.load(STREET / "scenario.toml"), out=tmp_path)
    for name in ("orders", "readings", "postings", "bills"):
        assert read_table(again.path, name).equals(read_table(stored, name))
    roots = ["book_root", "clearing_root", "postings_root"]
    new, old = (read_table(path, "intervals").select(roots) for path in (again.path, stored))
    assert new.equals(old), "a market of one round has the roots that it had"
