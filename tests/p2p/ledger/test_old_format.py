"""A run of wattswap 0.1, whose chain has format 2: refused with one sentence that names the command that reads it."""

from __future__ import annotations

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
from wattswap.verification import verify_run

OLD = Path(__file__).parent / "stored" / "v2"
STREET = Path(__file__).parents[2] / "golden" / "two_neighbours"
SENTENCE = rf"a chain of format 2; this program reads format {VERSION}\. To verify it, run `wattswap verify RUN_FOLDER`"


def test_an_old_genesis_and_an_old_chain_are_refused_and_say_what_reads_them() -> None:
    with pytest.raises(OtherFormat, match=SENTENCE) as caught:
        read_genesis(OLD / "genesis.bin")
    assert caught.value.version == 2
    assert exit_code_of(caught.value) == ExitCode.INVALID
    with pytest.raises(OtherFormat, match=SENTENCE):
        ChainStore.open(OLD / "chain.db", read_only=True)


@pytest.mark.parametrize("command", [verify_run, verified_chain, chain_facts])
def test_every_command_on_an_old_chain_says_so_and_changes_nothing(command: object, tmp_path: Path) -> None:
    run = Path(shutil.copytree(OLD, tmp_path / "run"))
    with pytest.raises(OtherFormat, match=SENTENCE):
        command(run)  # type: ignore[operator]
    assert {path.name: path.read_bytes() for path in run.iterdir()} == {
        path.name: path.read_bytes() for path in OLD.iterdir()
    }


def test_the_tables_and_figures_of_an_old_run_are_opened() -> None:
    folder = RunFolder(OLD)
    assert folder.manifest["intervals"] == 3
    assert folder.metrics["traded_kwh"] == pytest.approx(1.0)
    for name in ("orders", "readings", "postings", "intervals", "bills"):
        assert len(read_table(OLD, name)) > 0


def test_an_unfinished_old_run_is_not_continued_but_says_what_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    partial = Path(shutil.copytree(OLD, tmp_path / "run.partial"))
    (partial / "manifest.json").unlink()
    stored = partial / "scenario.json"
    stored.write_text(
        stored.read_text(encoding="utf-8").replace("/srv/street", str(STREET)), encoding="utf-8"
    )
    before = files_below(partial)
    sentence = "was interrupted by another version of wattswap; start a new run, or resume it by that version"
    refused(call(capsys, "resume", partial), 3, sentence)
    assert [name for name in files_below(partial) if name != "lock"] == before


@pytest.mark.parametrize(
    ("command", "phrase"),
    [
        (
            "verify",
            "a chain of format 2; this program reads format 3. To verify it, run `wattswap verify RUN_FOLDER`",
        ),
        ("report", "report with the wattswap whose version and commit"),
    ],
)
def test_the_command_line_refuses_an_old_run_with_the_command_that_reads_it(
    command: str, phrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(OLD, tmp_path / "run"))
    refused(call(capsys, command, run), 3, phrase)
    assert files_below(run) == files_below(OLD)


def test_the_same_scenario_can_be_run_again(tmp_path: Path) -> None:
    """The old market is the middle price and one limit, under the names that they have now."""
    old_market = ["market.imbalance=middle", "homes.strategy=truthful"]
    again = ws.run(ws.load(STREET / "scenario.toml", overrides=old_market), out=tmp_path)
    renamed = {f"retail_{way}_kwh": f"settled_with_retailer_{way}_kwh" for way in ("import", "export")}
    old = {renamed.get(name, name): value for name, value in RunFolder(OLD).metrics.items()}
    assert old.items() <= RunFolder(again.path).metrics.items()
