"""The registry of formats: recognition is exact, plugins load by name, errors name the nearest."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from data import formats, samples
from data.errors import AmbiguousFile, DuplicateFormat, MissingFile, UnknownFormat, UnrecognisedFile
from data.formats import FileReading, Format, ReadOptions, registry

PLAIN = "timestamp,household,import_kwh,export_kwh\n2024-06-01T00:00Z,a,0.1,0\n2024-06-01T00:15Z,a,0.1,0\n"


def read_nothing(_path: Path, _options: ReadOptions) -> FileReading:
    return FileReading(None, (), 0, "UTC")


EVERYTHING = Format("everything", "claims any file", "kWh", lambda path: True, read_nothing)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))


def test_each_file_is_claimed_by_one_format(tmp_path: Path) -> None:
    plain = tmp_path / "meter.csv"
    plain.write_text(PLAIN)
    (tmp_path / "schema.json").write_text('{"buildings": {"Building_1": {}}}')
    for path, name in [
        (plain, "plain"),
        (tmp_path, "citylearn"),
        (samples.path_of("street"), "simbench_extract"),
    ]:
        assert [format.name for format in formats.registered().values() if format.sniff(path)] == [name]


def test_every_format_says_what_it_is() -> None:
    assert {"plain", "citylearn", "simbench_extract"} <= formats.registered().keys()
    assert all(format.describe and format.unit for format in formats.registered().values())


def test_a_name_is_given_once(own_registry: None) -> None:
    formats.register(EVERYTHING)
    with pytest.raises(DuplicateFormat, match="everything"):
        formats.register(EVERYTHING)


def test_two_claims_on_one_file_are_an_error(own_registry: None, tmp_path: Path) -> None:
    formats.register(EVERYTHING)
    (tmp_path / "meter.csv").write_text(PLAIN)
    with pytest.raises(AmbiguousFile, match="everything or plain"):
        formats.load(tmp_path / "meter.csv")


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_text(PLAIN)
    with pytest.raises(UnknownFormat, match="Did you mean 'citylearn'"):
        formats.load(tmp_path / "meter.csv", format="city_learn")


def test_a_file_of_no_known_kind_lists_the_formats(tmp_path: Path) -> None:
    (tmp_path / "meter.xlsx").write_bytes(b"PK")
    with pytest.raises(UnrecognisedFile, match="citylearn, plain"):
        formats.load(tmp_path / "meter.xlsx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for format in (None, "plain"):
        with pytest.raises(MissingFile, match="none"):
            formats.load(tmp_path / "none", format=format)


def test_a_plugin_is_loaded_by_its_name(own_registry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("everything", f"{__name__}:EVERYTHING", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([entry]))
    assert formats.get("everything").describe == EVERYTHING.describe
    assert "everything" in formats.registered()
