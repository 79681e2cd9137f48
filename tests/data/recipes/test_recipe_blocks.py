"""Titles between the rows, which say what the rows below them hold; and other ends that name a last minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import InvalidRecipe
from data.formats import FileReading
from data.recipes import text
from data.recipes.toml import recipe_from_toml
from data.recipes.write import recipe_to_toml
from tests.kits.recipe_kit import SIMPLE, UTC, codes, imported, own, try_text

BLOCKS = (
    SIMPLE.replace(
        'channel = "import"', 'by = "block"\nchannels = {{ Taken = "import", "Fed in" = "export" }}'
    ).replace("{columns}", "")
    + "\n[blocks]\nfind = '(?P<word>Taken|Fed in|Lost) time'\n"
).replace('time = "time"', 'time = "/(Taken|Fed in|Lost) time/"')
DAY = "2026-01-0{day} 00:00,{a}\n2026-01-0{day} 00:30,{b}\n"


def blocks(*parts: tuple[str, int, str, str]) -> str:
    """A file of blocks: title, day, and two readings."""
    return "\n".join(f"{word} time,energy\n" + DAY.format(day=day, a=a, b=b) for word, day, a, b in parts)


def exported(reading: FileReading) -> list[int]:
    """Energy fed in by the only home. [Wh]"""
    assert reading.data is not None
    found: list[int] = reading.data.export_wh[:, 0].tolist()
    return found


TWO_DAYS = blocks(
    ("Taken", 1, "0.1", "0.2"),
    ("Fed in", 1, "0.3", "0.4"),
    ("Taken", 2, "0.5", "0.6"),
    ("Fed in", 2, "0", "0.7"),
)


def test_each_block_is_what_its_title_says(tmp_path: Path) -> None:
    reading = try_text(tmp_path / "m.csv", TWO_DAYS, own(instead=BLOCKS), UTC)
    assert imported(reading)[:2] == [100, 200]
    assert imported(reading)[-2:] == [500, 600]
    assert exported(reading)[:2] == [300, 400]
    assert exported(reading)[-2:] == [0, 700]


@pytest.mark.parametrize("size", [1, 7, 40, 90])
def test_a_title_holds_for_rows_of_later_parts_of_the_file(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = try_text(tmp_path / "m.csv", TWO_DAYS, own(instead=BLOCKS), UTC)
    monkeypatch.setattr(text, "BLOCK_CHARS", size)
    parts = try_text(tmp_path / "m.csv", TWO_DAYS, own(instead=BLOCKS), UTC)
    assert imported(parts) == imported(whole)
    assert exported(parts) == exported(whole)


def test_cells_with_line_breaks_keep_their_title(tmp_path: Path) -> None:
    content = TWO_DAYS.replace("0.3", '"0.3"').replace("2026-01-01 00:00,0.1", '2026-01-01 00:00,"0.1\n"', 1)
    reading = try_text(tmp_path / "m.csv", content, own(instead=BLOCKS), UTC)
    assert exported(reading)[:2] == [300, 400]


def test_a_word_that_the_recipe_does_not_know_is_asked_about(tmp_path: Path) -> None:
    reading = try_text(
        tmp_path / "m.csv", blocks(("Taken", 1, "0.1", "0.2"), ("Lost", 1, "1", "1")), own(instead=BLOCKS)
    )
    assert reading.data is None
    assert [question.option for question in reading.questions] == ["--channel Lost"]


def test_a_lost_title_is_no_silent_change(tmp_path: Path) -> None:
    """Rows below it would be of the title before it: they are there twice, with other values."""
    lost = TWO_DAYS.replace("Fed in time,energy\n", "", 1)
    assert "conflict" in codes(try_text(tmp_path / "m.csv", lost, own(instead=BLOCKS), UTC))


def test_a_title_is_found_where_its_line_is(tmp_path: Path) -> None:
    wrong = TWO_DAYS.replace("0.7", "x")
    reading = try_text(tmp_path / "m.csv", wrong, own(instead=BLOCKS), UTC)
    (finding,) = [one for one in reading.findings if one.code == "not_a_number"]
    assert finding.line == wrong[: wrong.index("x\n")].count("\n") + 1


def test_blocks_are_written_as_they_are_read() -> None:
    recipe = recipe_from_toml(BLOCKS.format_map(dict.fromkeys(("top", "file", "stamp", "value"), "")))
    assert recipe_from_toml(recipe_to_toml(recipe)) == recipe


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("(?P<word>Taken|Fed in|Lost)", "(Taken|Fed in)"), r"needs a group \(\?P<word>"),
        (('by = "block"', 'by = "energy"'), "used by no column"),
        (('energy = "energy"', 'energy = "energy"\nblock = "block"'), "call yours otherwise"),
        (("[blocks]", "[stamp2]"), "stamp2"),
    ],
)
def test_what_is_wrong_with_blocks_is_said(change: tuple[str, str], says: str) -> None:
    with pytest.raises(InvalidRecipe, match=says):
        recipe_from_toml(
            BLOCKS.format_map(dict.fromkeys(("top", "file", "stamp", "value"), "")).replace(*change)
        )


@pytest.mark.parametrize(
    ("ends", "until_is"),
    [
        (("00:29", "00:59"), "last_minute"),
        (("00:29:59", "00:59:59"), "last_second"),
        (("00:30", "01:00"), "end"),
    ],
)
def test_the_other_end_may_name_a_last_minute_or_second(
    tmp_path: Path, ends: tuple[str, str], until_is: str
) -> None:
    format = own(columns='day = "day"\nend = "end"', stamp=f'until = ["day", "end"]\nuntil_is = "{until_is}"')
    rows = f"2026-01-01 00:00,2026-01-01,{ends[0]},0.1\n2026-01-01 00:30,2026-01-01,{ends[1]},0.2\n"
    content = f"time,day,end,energy\n{rows}"
    assert imported(try_text(tmp_path / "m.csv", content, format, UTC)) == [100, 200]
    longer = content.replace(ends[1], ends[1].replace("00:59", "01:59").replace("01:00", "02:00"))
    reading = try_text(tmp_path / "m.csv", longer, format, UTC)
    assert reading.data is None or imported(reading) != [100, 200]
