"""Hostile files out of right ones: one function a way, which returns other bytes and says nothing of their meaning."""

from __future__ import annotations

import io
import random
import re
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

CELLS = (
    "1e308", "-1e308", "inf", "-inf", "nan", "1e-320", "-0.0", "1e400", "9" * 400, "٣٤", "１２", "½", "0x10", "1_000",
    "1,234.5", "1.234,5", "1 234", "'5", "+5", "--5", "5-", "(5)", "5 kWh", "=1+1", "=cmd|' /C calc'!A0", "@SUM(1)",
    "NULL", "None", "true", "#REF!", "9223372036854775807", "-9223372036854775809", "1e18", "\x1b[2J\x1b]0;x\x07",
    "\u202e5", "\ufeff5", "\u200b", "5\x00", "\r", "\"", "\"\"\"", "a\"b", "'; DROP TABLE readings;--", "../../etc/x",
    "%s%n%x", "{0.__class__}", "${HOME}", "$(id)", "\ud7ff", "\U0010ffff", "home\nname", "a" * 5_000, "",
)  # fmt: skip
STAMPS = (
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "-001-01-01T00:00:00Z", "0000-00-00T00:00:00Z",
    "10000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-06-01T24:00:00Z", "2026-06-01T25:00:00Z",
    "2026-06-01T23:59:60Z", "2026-06-01T00:00:00+99:99", "2026-06-01T00:00:00+14:00", "2026-06-01T00:00:00-23:59",
    "1969-12-31T23:45:00Z", "2026-06-01T00:00:00.000000001Z", "٢٠٢٦-٠٦-٠١T٠٠:٠٠:٠٠Z", "253402300800", "-62135596801",
    "99999999999999999999", "01/02/03", "31.12.9999 23:45", "01.01.0001 00:00", "29/02/2025 00:00", "now",
)  # fmt: skip
_STAMP = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?Z?|\d\d[./]\d\d[./]\d{4}(?: \d\d:\d\d)?|\b20\d{6,12}\b"
)
_CELL = re.compile(rb"(?<=[,;\t>|])[^,;\t<>\r\n|]{1,40}(?=[,;\t<|\r\n])")
_WORD = re.compile(rb"[A-Za-z][A-Za-z_ ]{2,}")
_COUNT = re.compile(rb"\d+")
COUNTS = (b"0", b"-1", b"4294967296", b"9" * 19, b"1e9", b"9" * 5_000, "²".encode())
CODES = ("utf-16", "utf-16-be", "utf-32", "cp1252", "cp437", "utf-7", "cp037", "shift_jis", "utf-8-sig")
BOMB = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
TYPES = (
    f'[<!ENTITY l0 "ha">{BOMB}]',
    f'[<!ENTITY a "{"b" * 50_000}">]',
    '[<!ENTITY l1 SYSTEM "file:///etc/passwd">]',
    'SYSTEM "http://127.0.0.1:9/any.dtd"',
    '[<!ENTITY % l1 SYSTEM "http://127.0.0.1:9/a"> %l1;]',
)

Attack = Callable[[random.Random, bytes], bytes]


def cut_off(rng: random.Random, data: bytes) -> bytes:
    """Only the beginning."""
    return data[: rng.randrange(len(data) + 1)]


def bits(rng: random.Random, data: bytes) -> bytes:
    """Some bits flipped."""
    changed = bytearray(data)
    for _ in range(min(len(data), rng.choice((1, 3, 30)))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def lines(rng: random.Random, data: bytes) -> bytes:
    """Lines shuffled, repeated or left out."""
    rows = data.splitlines(keepends=True)
    match rng.randrange(4):
        case 0:
            rng.shuffle(rows)
        case 1:
            rows += rows[rng.randrange(len(rows) + 1) :] * rng.choice((1, 50))
        case 2:
            rows = [row for row in rows if rng.random() < 0.8]
        case _:
            rows.reverse()
    return b"".join(rows)


def encoding(rng: random.Random, data: bytes) -> bytes:
    """Another encoding, or a mark of one in the middle."""
    if rng.random() < 0.3:
        at = rng.randrange(len(data) + 1)
        return (
            data[:at]
            + rng.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00\x00", b"\xc3\x28", b"\x85"))
            + data[at:]
        )
    return data.decode("utf-8", "replace").encode(rng.choice(CODES), "replace")


def zeros(rng: random.Random, data: bytes) -> bytes:
    """NUL bytes: some, or a run of them."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + b"\0" * rng.choice((1, 2, 4_096, 1 << 20)) + data[at + rng.choice((0, 1, 64)) :]


def cell(rng: random.Random, data: bytes) -> bytes:
    """Cells that are no numbers, or no sane ones."""
    return _replaced(rng, _CELL, data, lambda: rng.choice(CELLS).encode("utf-8", "surrogatepass"))


def stamp(rng: random.Random, data: bytes) -> bytes:
    """Times that do not exist, or are far away."""
    return _replaced(rng, _STAMP, data, lambda: rng.choice(STAMPS).encode())


def word(rng: random.Random, data: bytes) -> bytes:
    """Names of columns, elements, keys and homes."""
    return _replaced(rng, _WORD, data, lambda: rng.choice(CELLS).encode("utf-8", "surrogatepass"))


def count(rng: random.Random, data: bytes) -> bytes:
    """Counts, lengths and positions that are huge or below zero."""
    return _replaced(rng, _COUNT, data, lambda: rng.choice(COUNTS))


def large(rng: random.Random, data: bytes) -> bytes:
    """A cell or a line of some megabytes."""
    found = list(_CELL.finditer(data))
    at = rng.choice(found).start() if found else len(data) // 2
    return (
        data[:at]
        + rng.choice((b"a", b"9", b",", b'"', b" ", b"\n", b"<a>", b"[", b"{")) * 3_000_000
        + data[at:]
    )


def huge(rng: random.Random, data: bytes) -> bytes:
    """A cell of 100 MB."""
    found = list(_CELL.finditer(data))
    at = rng.choice(found).start() if found else len(data) // 2
    return data[:at] + rng.choice((b"a", b"9", b'"')) * 100_000_000 + data[at:]


def spliced(rng: random.Random, data: bytes) -> bytes:
    """The file twice, the second one from somewhere on."""
    return data[: rng.randrange(len(data) + 1)] + data[rng.randrange(len(data) + 1) :]


def nested(rng: random.Random, data: bytes) -> bytes:
    """Brackets or elements nested deeply."""
    opened, closed = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"), (b"(", b")")))
    depth = rng.choice((100, 5_000, 200_000))
    at = rng.choice((0, len(data) // 2, len(data)))
    return data[:at] + opened * depth + closed * rng.choice((0, depth)) + data[at:]


def document_type(rng: random.Random, data: bytes) -> bytes:
    """A document type with entities, and uses of them."""
    root = re.search(rb"<[A-Za-z]", data)
    at = root.start() if root else 0
    data = re.sub(rb"(?<=>)[^<>]+(?=</)", b"&l9;&l1;&a;" * 50, data, count=rng.choice((1, 100)))
    return data[:at] + f"<!DOCTYPE any {rng.choice(TYPES)}>".encode() + data[at:]


def archive(rng: random.Random, data: bytes) -> bytes:
    """A packed workbook with other members: bombs, paths out of it, entities, formulas, declared sizes."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return bits(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as given:
        members = {name: given.read(name) for name in given.namelist()}
    sheet = next((name for name in members if "sheet1" in name or name == "content.xml"), next(iter(members)))
    way = rng.randrange(8)
    if way == 0:
        members[rng.choice(("xl/media/a.bin", sheet))] = b"\0" * (300 << 20)
    elif way == 1:
        members |= dict.fromkeys(
            ("../../escaped.txt", "/tmp/escaped.txt", "xl\\..\\..\\x", "C:/x"), b"escaped"
        )
    elif way == 2:
        del members[rng.choice(list(members))]
    elif way == 3:
        members[sheet] = document_type(rng, members[sheet])
    elif way == 4:
        members[sheet] = re.sub(
            rb'r="[A-Z]+\d+"', b'r="XFD1048576"', members[sheet], count=rng.choice((1, 500))
        )
    elif way == 5:
        members[sheet] = members[sheet].replace(b"<v>", b'<f>WEBSERVICE("http://127.0.0.1:9")</f><v>')
    elif way == 6:
        repeats = (
            b'<table:table-cell table:number-columns-repeated="1048576" table:number-rows-repeated="1048576" '
        )
        members[sheet] = members[sheet].replace(b"<table:table-cell ", repeats, rng.choice((1, 1_000)))
        members[sheet] = members[sheet].replace(
            b"<sheetData>", b'<dimension ref="A1:XFD1048576"/><sheetData>'
        )
    else:
        name = rng.choice(list(members))
        members[name] = rng.choice((bits, cut_off, cell, count, stamp))(rng, members[name])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return packed.getvalue()


SCRIPTS = (
    "ALTER TABLE statistics RENAME TO kept; CREATE VIEW statistics AS SELECT * FROM kept",
    "DROP TABLE statistics; CREATE VIEW statistics AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    " SELECT x AS id, 1 AS metadata_id, x AS sum, x * 3600.0 AS start_ts FROM c",
    "ALTER TABLE statistics_meta RENAME TO kept; CREATE VIEW statistics_meta AS SELECT * FROM kept",
    "CREATE TRIGGER t BEFORE INSERT ON statistics BEGIN DELETE FROM statistics; END",
    "UPDATE statistics SET start_ts = 9e999", "UPDATE statistics SET start_ts = 'x' WHERE id = 3",
    "UPDATE statistics SET start_ts = 1e300 WHERE id = 3", "UPDATE statistics SET start_ts = -1e12 WHERE id = 3",
    "UPDATE statistics SET start_ts = 9223372036854775807 WHERE id = 3",
    "UPDATE statistics SET sum = 9e999 WHERE id = 3",
    "UPDATE statistics SET sum = zeroblob(1000)", "UPDATE statistics SET sum = -1e300 WHERE id = 4",
    "UPDATE statistics SET start_ts = NULL, start = '0001-01-01 00:00:00' WHERE id = 2",
    "UPDATE statistics SET start_ts = NULL, start = '9999-12-31 23:59:59+23:59' WHERE id = 2",
    "UPDATE statistics SET start_ts = NULL, start = '0001-01-01 00:00:00+23:59' WHERE id = 2",
    "UPDATE statistics_meta SET statistic_id = 'a''; DROP TABLE statistics;--'",
    "UPDATE statistics_meta SET statistic_id = zeroblob(9999)", "UPDATE statistics_meta SET unit_of_measurement = NULL",
    "UPDATE statistics_meta SET unit_of_measurement = 'm³'", "UPDATE statistics_meta SET id = 'x'",
    "UPDATE statistics_meta SET has_sum = 'yes', id = 99999", "ALTER TABLE statistics DROP COLUMN sum",
    "UPDATE statistics_meta SET statistic_id = CAST(x'ff00fe' AS TEXT)",
    "PRAGMA encoding = 'UTF-16'; VACUUM", "DROP TABLE statistics_meta; CREATE TABLE statistics_meta (id)",
    "DROP TABLE statistics_meta; CREATE TABLE statistics_meta (id, statistic_id, unit_of_measurement, has_sum);"
    " INSERT INTO statistics_meta VALUES (NULL, NULL, NULL, 1)",
    "DROP TABLE statistics_meta; CREATE TABLE statistics_meta (id, statistic_id, unit_of_measurement, has_sum);"
    " INSERT INTO statistics_meta VALUES (1e300, 'x', 'kWh', 1)",
)  # fmt: skip


def database(rng: random.Random, data: bytes) -> bytes:
    """A database with views, triggers, odd values or broken pages."""
    if not data.startswith(b"SQLite format 3") or rng.random() < 0.2:
        return bits(rng, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "any.db"
        path.write_bytes(data)
        with closing(sqlite3.connect(path)) as opened, suppress(sqlite3.Error):
            opened.executescript(rng.choice(SCRIPTS))
            opened.commit()
        return path.read_bytes()


def parquet(rng: random.Random, data: bytes) -> bytes:
    """A Parquet file with columns of other types."""
    if not data.startswith(b"PAR1") or rng.random() < 0.2:
        return bits(rng, data)
    import pyarrow as pa
    from pyarrow import parquet as pq

    table = pq.read_table(pa.BufferReader(data))
    count = len(table)
    far = [-(2**63) + 1, 2**63 - 1]
    columns = [
        pa.array([[1.0]] * count),
        pa.array([{"a": 1}] * count),
        pa.array([b"\xff"] * count),
        pa.array([None] * count),
        pa.array([True] * count),
        pa.array([float("inf")] * count),
        pa.array([1e308] * count),
        pa.array(["x"] * count),
        pa.array([1e15] * count),
        pa.array((far * count)[:count], pa.timestamp("s", "UTC")),
        pa.array((far * count)[:count], pa.timestamp("us")),
        pa.array([0] * count, pa.duration("s")),
        pa.array([0] * count, pa.date32()),
        pa.array(["\x1b[2J"] * count).dictionary_encode(),
    ]
    for _ in range(rng.choice((1, 2))):
        at = rng.randrange(table.num_columns)
        name = rng.choice((*table.column_names, "import_kwh", "timestamp"))
        table = table.set_column(at, name, rng.choice(columns))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


TEXT = (cut_off, bits, lines, encoding, zeros, cell, stamp, word, count, spliced, nested)
BINARY = (cut_off, bits, zeros, spliced)


def attacked(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """The name of a way, or of two, and the bytes."""
    ways: list[Attack] = []
    if data.startswith(b"SQLite format 3"):
        ways = [database] * 10
    elif data.startswith(b"PAR1"):
        ways = [parquet] * 10
    elif data.startswith(b"PK"):
        ways = [archive] * 10
    elif b"<" in data[:200] and data.lstrip(b"\xef\xbb\xbf \r\n").startswith(b"<"):
        ways = [document_type] * 2
    every = [*ways, *(BINARY if len(ways) == 10 else TEXT)]
    chosen = [rng.choice(every) for _ in range(rng.choice((1, 1, 2)))]
    if rng.random() < 0.004:
        chosen = [large]
    elif rng.random() < 0.0008:
        chosen = [huge]
    for attack in chosen:
        with suppress(
            zipfile.BadZipFile, zlib.error, OSError, ValueError, KeyError
        ):  # damaged by the way before
            data = attack(rng, data)
    return "+".join(attack.__name__ for attack in chosen), data


def _replaced(
    rng: random.Random, pattern: re.Pattern[bytes], data: bytes, value: Callable[[], bytes]
) -> bytes:
    """The bytes with one, some or all matches of a pattern replaced, each by another value."""
    found = list(pattern.finditer(data))
    if not found:
        return data
    share = rng.choice((0.0, 0.1, 1.0))
    one = rng.randrange(len(found))
    parts, at = [], 0
    for place, match in enumerate(found):
        if place == one or rng.random() < share:
            parts += [data[at : match.start()], value()]
            at = match.end()
        if len(parts) > 4_000:
            break
    return b"".join((*parts, data[at:]))
