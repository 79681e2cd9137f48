"""Readings in tables of databases: DuckDB as it is, PostgreSQL with a connection that stands in for a server."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest

from data.errors import MissingFile, MissingPackage
from data.store.errors import Mismatch, StoreExists
from data.store.export import quoted, write_duckdb, write_plain, write_postgres
from tests.kits.store_kit import START, series

HOMES = [series("anna", [1, 2, 3], [0, 1, 2]), series("ben", [4, 5], minutes=60, pv=[6, 7])]
NASTY = 'x"; DROP TABLE readings; --'


@pytest.mark.parametrize("table", ["readings", NASTY])
def test_a_table_of_duckdb_has_every_reading(table: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    assert write_duckdb(HOMES, tmp_path / "a.db", table) == 5
    with duckdb.connect(str(tmp_path / "a.db")) as connection:
        rows = connection.execute(
            f"SELECT epoch(time)::BIGINT, household, import_wh, export_wh, pv_wh, quality FROM {quoted(table)}"
            " ORDER BY 2, 1"
        ).fetchall()
    assert rows == [
        (START, "anna", 1, 0, None, 0),
        (START + 900, "anna", 2, 0, None, 1),
        (START + 1_800, "anna", 3, 0, None, 2),
        (START, "ben", 4, 0, 6, 0),
        (START + 3_600, "ben", 5, 0, 7, 0),
    ]
    with pytest.raises(StoreExists, match="has a table"):
        write_duckdb(HOMES, tmp_path / "a.db", table)
    write_duckdb(HOMES, tmp_path / "a.db", "another")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    file = tmp_path / "letter.txt"
    file.write_text("dear" * 5_000)
    with pytest.raises(Mismatch, match="letter"):
        write_duckdb(HOMES, file, "t")
    assert file.read_text() == "dear" * 5_000
    with pytest.raises(MissingFile):
        write_duckdb(HOMES, tmp_path / "none" / "a.db", "t")


class FakeServer:
    """Takes the statements and rows of one connection; commits where it is left without an error."""

    def __init__(self, refusal: str = "") -> None:
        self.statements: list[str] = []
        self.rows: list[tuple[Any, ...]] = []
        self.committed = False
        self.refusal = refusal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.committed = kind is None

    def cursor(self) -> Self:
        return self

    def execute(self, statement: str) -> None:
        if self.refusal:
            raise sys.modules["psycopg"].Error(self.refusal)
        self.statements.append(statement)

    def copy(self, statement: str) -> Self:
        self.statements.append(statement)
        return self

    def write_row(self, row: tuple[Any, ...]) -> None:
        self.rows.append(row)


def given(monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> list[str]:
    module = ModuleType("psycopg")
    asked: list[str] = []

    def connect(url: str) -> FakeServer:
        asked.append(url)
        return server

    module.__dict__.update(connect=connect, Error=type("Error", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "psycopg", module)
    return asked


def test_a_table_of_postgresql_is_made_and_filled_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer()
    asked = given(monkeypatch, server)
    assert write_postgres(HOMES, "postgresql://host/energy", NASTY) == 5
    assert asked == ["postgresql://host/energy"]
    create, copy = server.statements
    assert create == (
        'CREATE TABLE "x""; DROP TABLE readings; --" ("time" timestamptz NOT NULL, "household" text NOT NULL,'
        ' "import_wh" bigint, "export_wh" bigint, "pv_wh" bigint, "quality" smallint NOT NULL)'
    )
    assert copy == 'COPY "x""; DROP TABLE readings; --" FROM STDIN'
    assert [row[1:] for row in server.rows] == [
        ("anna", 1, 0, None, 0),
        ("anna", 2, 0, None, 1),
        ("anna", 3, 0, None, 2),
        ("ben", 4, 0, 6, 0),
        ("ben", 5, 0, 7, 0),
    ]
    assert int(server.rows[0][0].timestamp()) == START
    assert server.committed


def test_a_server_that_refuses_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer("relation already exists")
    given(monkeypatch, server)
    with pytest.raises(Mismatch, match="relation already exists"):
        write_postgres(HOMES, "postgresql://host/energy", "t")
    assert not server.committed


@pytest.mark.parametrize(
    ("package", "write"),
    [
        ("duckdb", lambda: write_duckdb(HOMES, Path("a.db"), "t")),
        ("psycopg", lambda: write_postgres(HOMES, "postgresql://host/energy", "t")),
    ],
)
def test_a_package_that_is_not_there_is_named(
    package: str, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingPackage, match=f"needs the optional package {package}; install it: pip install"
    ):
        write()


def test_a_plain_file_is_new_and_of_a_known_kind(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(StoreExists):
        write_plain(HOMES, tmp_path / "there.csv")
    assert (tmp_path / "there.csv").read_text() == "mine"
    with pytest.raises(Mismatch, match=r"neither in \.csv nor in \.parquet"):
        write_plain(HOMES, tmp_path / "out.xlsx")
    with pytest.raises(MissingFile):
        write_plain(HOMES, tmp_path / "none" / "out.csv")
    write_plain(HOMES, tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "timestamp,household,import_kwh,export_kwh,pv_kwh,quality"
    assert lines[1:3] == [
        '"2026-06-01T00:00:00Z","anna",0.001,0,,"measured"',
        '"2026-06-01T00:15:00Z","anna",0.002,0,,"estimated"',
    ]
    assert lines[-1] == '"2026-06-01T01:00:00Z","ben",0.005,0,0.007,"measured"'
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []
