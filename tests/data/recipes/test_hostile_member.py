"""A member who wants to be billed less, or whose file names people: nothing is read wrong, or kept, without a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from data.formats.tables import format_of_file
from data.intake.raw import Hints
from data.store.imports import Options, import_files
from data.store.incoming import Unanswered

HINTS = Hints("UTC", stamp="start", kind="energy", yes=True)
HEADER = "Timestamp;Import kWh;Export kWh"


def times() -> list[str]:
    return [
        f"2026-06-{day:02} {hour:02}:{minute:02}"
        for day in (1, 2)
        for hour in range(24)
        for minute in (0, 30)
    ]


def export(folder: Path, header: str = HEADER, above: str = "", last: str = "") -> Path:
    rows = [f"{at};{(i * 37) % 23 / 100:.3f};{(i * 53) % 7 / 100:.3f}{last}" for i, at in enumerate(times())]
    path = folder / "export.csv"
    path.write_text("\n".join([*([above] if above else []), header, *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("header", "above", "last"),
    [
        (HEADER, "Multiplier: 40", ""),
        (HEADER, "Wandlerfaktor;40", ""),
        (f"{HEADER};Multiplier", "", ";40"),
        (f"{HEADER};CT ratio", "", ";40"),
    ],
)
def test_a_multiplier_is_asked_about(header: str, above: str, last: str, tmp_path: Path) -> None:
    """Found here: the readings of a meter behind a transformer were taken for a fortieth, with a note at most."""
    with pytest.raises(Unanswered, match=r"is 40, and nothing says whether the readings are multiplied"):
        import_files([export(tmp_path, header, above, last)], tmp_path / "store", Options(None, HINTS))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("above", ["Multiplier: 1", "Multiplier: 1.0", "Power factor: 0.9", ""])
def test_a_multiplier_of_one_is_none(above: str, tmp_path: Path) -> None:
    done = import_files([export(tmp_path, above=above)], tmp_path / "store", Options(None, HINTS))
    assert int(done.homes[0].series.energy["import"].sum()) == sum(i * 37 % 23 * 10 for i in range(96))


@pytest.mark.parametrize(
    "secret", ["AT0031000000000000000000012345678", "19400012345678", "Maria Musterfrau"]
)
def test_the_name_of_a_column_is_not_kept(secret: str, tmp_path: Path) -> None:
    """Found here: the notes of a file that no format knows, and so the manifest, named its columns."""
    store = tmp_path / "store"
    import_files(
        [export(tmp_path, f"Timestamp;{secret} Import kWh;{secret} Export kWh")], store, Options(None, HINTS)
    )
    kept = [path for path in store.rglob("*") if path.is_file()]
    assert len(kept) >= 2
    assert not [path.name for path in kept if secret.encode() in path.read_bytes()]


def test_a_recipe_that_changes_the_energy_says_so(tmp_path: Path) -> None:
    """Found here: a factor of 0.5 in a recipe of the user's own left no trace in the store."""
    recipe = tmp_path / "mine.toml"
    text = (
        Path(__file__)
        .parents[3]
        .joinpath("data/recipes/vendors/united_power.toml")
        .read_text(encoding="utf-8")
    )
    changed = re.sub(r"(\[\[value\]\]\n)", r"\1factor = 0.5\n", text)
    assert changed != text
    recipe.write_text(changed, encoding="utf-8")
    fixture = next((Path(__file__).parents[1] / "meters" / "united_power").glob("*.csv"))
    halved = import_files(
        [fixture], tmp_path / "store", Options(format_of_file(recipe), Hints("America/Denver"))
    )
    assert "by 0.5" in " ".join(halved.sources[0].notes)
