"""Random edits of a run's folder by seed, and what in a folder differs from what it was before."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.kits.edit_kit import CHAIN, MANIFEST, fit_hashes, manifest_of, write_manifest, write_table
from wattswap.canonical_json import canonical_json

VALUES: tuple[Any, ...] = (None, True, False, 0, 1, -1, 7.5, 2**53, "", "x", [], {}, ["x"], {"x": 1})
MUTATIONS = 20
"""How often a random edit is drawn again where it has changed nothing."""


def edit_at_random(run: Path, random: Random) -> str:
    """Make one edit that changes a byte, fit the hashes, and describe it in words."""
    before = content(run)
    for _ in range(MUTATIONS):
        name = random.choice([*KINDS])
        what = KINDS[name](run, random)
        fit_hashes(run)
        if content(run) != before:
            return f"{name}: {what}"
    raise AssertionError("no edit has changed anything")


def content(run: Path) -> dict[str, bytes]:
    """Every entry of a folder with its bytes; a link with its target."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.is_symlink():
            found[name] = b"link to " + str(path.readlink()).encode()
        else:
            found[name] = path.read_bytes() if path.is_file() else b"folder"
    return found


def _files(run: Path) -> list[Path]:
    return [path for path in sorted(run.rglob("*")) if path.is_file()]


# --- kinds of edits -------------------------------------------------------------------------------------------


def _flip(run: Path, random: Random) -> str:
    path = random.choice(_files(run))
    data = bytearray(path.read_bytes() or b"x")
    at = random.randrange(len(data))
    data[at] ^= 1 << random.randrange(8)
    path.write_bytes(data)
    return f"byte {at} of {path.name}"


def _cut_or_extend(run: Path, random: Random) -> str:
    path = random.choice(_files(run))
    data = path.read_bytes()
    at = random.randrange(len(data) + 1)
    path.write_bytes(data[:at] if random.random() < 0.5 else data + random.randbytes(9))
    return f"{path.name} cut at {at} or extended"


def _rows(run: Path, random: Random) -> str:
    path = random.choice(sorted(run.glob("*.parquet")))
    table = pq.read_table(path)
    order = [*range(table.num_rows)]
    row, other = random.randrange(len(order)), random.randrange(len(order))
    change = random.choice(["drop", "double", "swap"])
    if change == "drop":
        del order[row]
    elif change == "double":
        order.insert(other, row)
    else:
        order[row], order[other] = order[other], order[row]
    write_table(path, table.take(order))
    return f"{change} row {row} of {path.name}, {other}"


def _cell(run: Path, random: Random) -> str:
    path = random.choice(sorted(run.glob("*.parquet")))
    table = pq.read_table(path)
    place = random.randrange(table.num_columns)
    field = table.schema.field(place)
    values = table.column(place).to_pylist()
    row = random.randrange(len(values))
    values[row] = _other_value(values, row, random)
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    column = pa.array(values, kind)
    if pa.types.is_dictionary(field.type):
        column = column.dictionary_encode()
    write_table(path, table.set_column(place, field, column))
    return f"{field.name} in row {row} of {path.name}"


def _other_value(values: list[Any], row: int, random: Random) -> Any:
    value = values[row]
    if isinstance(value, bool | list) or value is None or random.random() < 0.2:
        return random.choice(values)
    if isinstance(value, int | float):
        return value + random.choice([-1, 1])
    return value[::-1] if isinstance(value, bytes) else random.choice(values)


def _columns(run: Path, random: Random) -> str:
    path = random.choice(sorted(run.glob("*.parquet")))
    table = pq.read_table(path)
    name = random.choice(table.column_names)
    change = random.choice(["drop", "double", "rename", "header"])
    if change == "drop":
        table = table.drop_columns([name])
    elif change == "double":
        table = table.append_column(f"{name}_more", table[name])
    elif change == "rename":
        table = table.rename_columns([f"{n}2" if n == name else n for n in table.column_names])
    else:
        table = table.replace_schema_metadata({"currency": "USD"})
    pq.write_table(table, path, compression="zstd")
    return f"{change} column {name} of {path.name}"


def _json(run: Path, random: Random) -> str:
    """Change, remove or add an entry on any level of a JSON file."""
    path = run / random.choice([MANIFEST, MANIFEST, MANIFEST, MANIFEST, "scenario.json", "metrics.json"])
    loaded = json.loads(path.read_text(encoding="utf-8"))
    places = [*_places(loaded)]
    inner, key = random.choice(places)
    change = random.choice(["set", "set", "set", "remove", "add", "near"])
    if change == "remove":
        del inner[key]
    elif change == "add" and isinstance(inner, dict):
        inner[f"{key}_more"] = random.choice(VALUES)
    elif change == "near" and isinstance(inner[key], str | int | float):
        inner[key] = inner[key] + ("x" if isinstance(inner[key], str) else 1)
    else:
        inner[key] = random.choice(VALUES)
    path.write_text(json.dumps(loaded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if path.name == "scenario.json" and isinstance(loaded, dict):
        _fit_scenario(run, loaded.get("resolved"))
    return f"{change} {key} in {path.name}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = [*value] if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _fit_scenario(run: Path, resolved: Any) -> None:
    manifest = manifest_of(run)
    manifest["scenario_sha256"] = hashlib.sha256(canonical_json(resolved).encode()).hexdigest()
    write_manifest(run, manifest)


def _swap(run: Path, random: Random) -> str:
    first, second = random.choice(_files(run)), random.choice(_files(run))
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    return f"{first.name} and {second.name}"


def _add(run: Path, random: Random) -> str:
    folder = random.choice(["", "blobs", "omissions", "more"])
    other = random.choice(_files(run))
    name = random.choice(
        ["omission-1780390800-0.bin", "chain.db-wal", "notes.txt", f"7{other.name}", "report.html"]
    )
    path = run / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(other.read_bytes())
    return str(path.relative_to(run))


def _remove(run: Path, random: Random) -> str:
    path = random.choice(_files(run))
    path.unlink()
    return path.name


def _link(run: Path, random: Random) -> str:
    path = random.choice(_files(run))
    elsewhere = run.parent / f"{run.name}-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return path.name


def _chain_row(run: Path, random: Random) -> str:
    """Change, remove or add a row of the chain file, or add a table to it."""
    statements = [
        "UPDATE blocks SET height = height + 1 WHERE height = (SELECT max(height) FROM blocks)",
        "DELETE FROM blocks WHERE height = ?1",
        "INSERT INTO blocks SELECT -?1, block, cert FROM blocks WHERE height = ?1",
        "UPDATE blocks SET cert = (SELECT cert FROM blocks WHERE height = 1) WHERE height = ?1",
        "INSERT OR REPLACE INTO meta VALUES ('base', x'00')",
        "INSERT OR REPLACE INTO meta VALUES ('note' || ?1, x'00')",
        "INSERT INTO checkpoints VALUES (?1, x'00', x'00')",
        "INSERT INTO changes VALUES (?1, x'00')",
        "CREATE TABLE more (height INTEGER)",
        "CREATE INDEX fast ON blocks (cert)",
        "PRAGMA user_version = 3",
    ]
    statement, height = random.choice(statements), random.randint(1, 3)
    with closing(sqlite3.connect(run / CHAIN)) as connection, connection:
        if random.random() < 0.3:
            column = random.choice(["block", "cert"])
            found = connection.execute(f"SELECT {column} FROM blocks WHERE height = ?", (height,)).fetchone()[
                0
            ]
            data = bytearray(found)
            data[random.randrange(len(data))] ^= 1
            connection.execute(f"UPDATE blocks SET {column} = ? WHERE height = ?", (bytes(data), height))
            return f"a byte of {column} {height}"
        connection.execute(statement, (height,) if "?1" in statement else ())
    return f"{statement}, {height}"


KINDS: dict[str, Callable[[Path, Random], str]] = {
    "flip": _flip,
    "cut": _cut_or_extend,
    "rows": _rows,
    "cell": _cell,
    "columns": _columns,
    "json": _json,
    "entry": _json,  # twice as often
    "swap": _swap,
    "add": _add,
    "remove": _remove,
    "link": _link,
    "chain": _chain_row,
}


# --- what differs ---------------------------------------------------------------------------------------------


def differences(before: Path, after: Path) -> list[str]:
    """What an edit has changed, as verify names what is unchecked: a file, or a file and an entry of it."""
    old, new = content(before), content(after)
    found = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            continue
        if name in (MANIFEST, "scenario.json") and name in new:
            a, b = (json.loads(one[name]) for one in (old, new))
            found += [f"{name}: {place}" for place in sorted(_changed(a, b, ""))]
        else:
            found.append(_kind_of(name, before / name, after / name))
    return found


def _changed(a: Any, b: Any, place: str) -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            if key != "files" or place:
                missing = object()
                yield from _changed(a.get(key, missing), b.get(key, missing), f"{place}.{key}".lstrip("."))
    elif a != b or type(a) is not type(b):
        yield place


def _kind_of(name: str, old: Path, new: Path) -> str:
    """A file; of a database or table in which every row is as it was, its bytes alone."""
    if name == CHAIN and _all_rows(old) != _all_rows(new):
        return f"{name}: rows"
    if name.endswith(".parquet") and old.is_file() and new.is_file():
        same = pq.read_table(old).equals(pq.read_table(new), check_metadata=True)
        return f"{name}: bytes" if same else name
    return name


def _all_rows(path: Path) -> object:
    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
