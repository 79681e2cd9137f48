"""Readings in tables of a real PostgreSQL server, which listens on a socket in a folder of its own only."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.store.errors import Mismatch
from data.store.export import LONGEST_NAME, quoted, write_postgres
from tests.kits.run_kit import call
from tests.kits.store_kit import START, series, write_plain_csv

HOMES = [series("anna", [1, 2, 3], [0, 1, 2]), series("ben", [4, 5], minutes=60, pv=[6, 7])]
HOSTILE = ['x"; DROP TABLE readings; --', "100 %s {0} $1", "a.b", "select", "Zähler ☀", "'; --"]


def program(name: str) -> str | None:
    """A program of the server, of the newest version where it is not on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: path.parts[-3])
    return shutil.which(name) or (str(found[-1]) if found else None)


def other_user() -> str | None:
    """The user who runs the server, which refuses to run as root."""
    if os.getuid():
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in known), "")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that holds nothing."""
    pytest.importorskip("psycopg")
    postgres, initdb, user = program("postgres"), program("initdb"), other_user()
    if not postgres or not initdb:
        pytest.skip("no server of PostgreSQL is installed")
    if user == "":
        pytest.skip("PostgreSQL refuses to run as root, and there is no other user")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path has at most 107 bytes
    if user:
        shutil.chown(folder, user)
    run: dict[str, Any] = (
        {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}
    )
    run |= {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = None
    try:
        made = [initdb, "-D", folder / "data", "-U", "anna", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
        made_by = subprocess.run(made, **run, check=False)
        if made_by.returncode:
            pytest.skip(f"initdb fails here: {made_by.stdout[-200:]!r}")
        options = ["-F", "-D", folder / "data", "-k", folder, "-clisten_addresses=", "-clog_min_messages=log"]
        process = subprocess.Popen([postgres, *options], **run)
        address = f"postgresql://anna@/postgres?host={folder}"
        _wait_until_ready(process)
        yield address
    finally:
        if process is not None:
            process.terminate()
            process.communicate(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Read what the server logs until it says that it is ready; the pipe holds the little that follows."""
    assert process.stdout is not None
    said = b""
    for line in process.stdout:
        said += line
        if b"ready to accept connections" in line:
            return
    raise AssertionError(f"the server has stopped: {said!r}")


def fetched(server: str, statement: str) -> list[tuple[Any, ...]]:
    import psycopg

    with psycopg.connect(server) as connection:
        return connection.execute(statement).fetchall()


def tables_of(server: str) -> set[str]:
    return {row[0] for row in fetched(server, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


@pytest.mark.parametrize("table", ["readings", *HOSTILE])
def test_a_table_has_every_reading_whatever_its_name(server: str, table: str) -> None:
    assert write_postgres(HOMES, server, table) == 5
    columns = "extract(epoch FROM time)::bigint, household, import_wh, export_wh, pv_wh, quality"
    assert fetched(server, f"SELECT {columns} FROM {quoted(table)} ORDER BY 2, 1") == [
        (START, "anna", 1, 0, None, 0),
        (START + 900, "anna", 2, 0, None, 1),
        (START + 1_800, "anna", 3, 0, None, 2),
        (START, "ben", 4, 0, 6, 0),
        (START + 3_600, "ben", 5, 0, 7, 0),
    ]
    assert {table, "readings"} <= tables_of(server)


def test_a_table_that_exists_is_refused_and_left_alone(server: str) -> None:
    write_postgres(HOMES, server, "once")
    with pytest.raises(Mismatch, match="already exists"):
        write_postgres(HOMES, server, "once")
    assert fetched(server, "SELECT count(*) FROM once") == [(5,)]


def test_nothing_of_a_table_stays_where_the_server_refuses_a_row(server: str) -> None:
    with pytest.raises(Mismatch, match="half"):
        write_postgres([*HOMES, series("nul\0", [1])], server, "half")
    assert "half" not in tables_of(server)


def test_a_name_that_would_be_cut_is_refused(server: str) -> None:
    longest = "ä" * (LONGEST_NAME // 2) + "x"
    write_postgres(HOMES, server, longest)
    assert longest in tables_of(server)
    before = tables_of(server)
    with pytest.raises(Mismatch, match="cut it to 63"):
        write_postgres(HOMES, server, longest + "y")
    with pytest.raises(Mismatch, match="cut it to 63"):
        write_postgres([series(**{"m" * 61: [1, 2, 3, 4]})], server, "columns")
    with pytest.raises(Mismatch, match="is no text"):
        write_postgres(HOMES, server, "\udcff")
    assert tables_of(server) == before


def test_an_address_that_is_wrong_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(Mismatch) as refusal:
        write_postgres(HOMES, "postgresql://anna:hunter2@[::1/energy", "t")
    assert "hunter2" not in str(refusal.value)
    assert "anna:***@" in str(refusal.value)


def test_a_store_is_written_and_again_after_a_file_was_added(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_plain_csv(tmp_path / "june.csv", {"anna": [1, 2, 3, 4]})
    second = write_plain_csv(tmp_path / "later.csv", {"anna": [4, 5, 6, 7]}, "2026-06-01T00:45:00")
    store = tmp_path / "store"
    for number, file in enumerate((first, second, second)):
        assert call(capsys, "data", "import", file, "--out", store).code == 0
        done = call(capsys, "data", "export", store, "--out", f"{server}#street {number}", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["rows"] == (4, 7, 7)[number]
    again = call(capsys, "data", "export", store, "--out", f"{server}#street 0")
    assert again.code == 3
    assert "already exists" in again.err
    energy = fetched(server, 'SELECT import_wh FROM "street 2" ORDER BY time')
    assert [wh for (wh,) in energy] == [1, 2, 3, 4, 5, 6, 7]
