"""A comparison of wattswap 0.1: shown and reported as it is, verified by the program that wrote it, never extended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.kits.run_kit import call, files_below, one_object, refused
from wattswap.comparison.result import ComparisonFolder
from wattswap.runs.manifest import code_sha256

OLD = Path(__file__).parent / "stored" / "v0_1"
STREET = Path(__file__).parents[2] / "golden" / "two_neighbours"
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy whose scenario finds its data."""
    folder = Path(shutil.copytree(OLD, tmp_path / "old"))
    about = folder / "comparison.json"
    about.write_text(about.read_text(encoding="utf-8").replace("/srv/street", str(STREET)), encoding="utf-8")
    return folder


def test_an_old_comparison_is_shown_with_its_figures(old: Path, capsys: Capture) -> None:
    shown = one_object(call(capsys, "show", old, "--json"))["points"]["base"]
    assert shown["pay_as_bid"]["saving"] == pytest.approx(0.24)
    assert shown["pay_as_bid"]["traded_kwh"] == pytest.approx(1.0)
    text = call(capsys, "show", old)
    assert (text.code, text.err) == (0, "")
    for line in ("two-neighbours: 2 homes, 3 intervals", "pay_as_bid"):
        assert line in text.out
    for view in (["bills", "pay_as_bid"], ["cells"]):
        assert call(capsys, "show", old, *view).code == 0


def test_an_old_comparison_is_reported(old: Path, capsys: Capture) -> None:
    page = old.parent / "page.html"
    done = call(capsys, "report", old, "--out", page, "--assert", "saving > 0.2")
    assert (done.code, done.err) == (0, "")
    assert "pay_as_bid" in page.read_text(encoding="utf-8")


def test_an_old_comparison_is_not_verified_but_says_what_verifies_it(old: Path, capsys: Capture) -> None:
    before = files_below(old)
    command = f"run `wattswap verify {old}` with the program that wrote it"
    refused(
        call(capsys, "verify", old), 3, "was made by another version of wattswap", command, "comparison.json"
    )
    assert files_below(old) == before


def test_a_changed_column_of_this_version_is_no_old_comparison(old: Path, capsys: Capture) -> None:
    about = json.loads((old / "comparison.json").read_text(encoding="utf-8"))
    (old / "comparison.json").write_text(json.dumps(about | {"code_sha256": code_sha256()}), encoding="utf-8")
    refused(
        call(capsys, "verify", old), 5, "intervals has other columns", "restore the folder, or compare again"
    )


def test_the_same_command_begins_a_comparison_of_its_own_with_the_same_figures(
    old: Path, capsys: Capture
) -> None:
    folder = old.rename(old.with_name("two-neighbours_94c1468f1c"))
    before = contents(folder)
    done = call(capsys, "compare", STREET, "-m", "pay_as_bid", "--out", folder.parent, "--json", "-q")
    new = Path(one_object(done)["comparison"])
    assert new != folder
    assert contents(folder) == before
    first, second = (ComparisonFolder(path).figures()["pay_as_bid"] for path in (folder, new))
    for metric in ("saving", "traded_kwh", "price_per_kwh"):
        assert first[metric] == second[metric]


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resume_names_the_command_that_continues_a_comparison(old: Path, capsys: Capture) -> None:
    refused(
        call(capsys, "resume", old), 3, "a comparison is here, and no run",
        "continue it with: wattswap compare street/scenario.toml -m pay_as_bid",
    )  # fmt: skip
