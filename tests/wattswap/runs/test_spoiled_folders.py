"""Edited, cut and foreign files in the folder of a run or a comparison: a result or a sentence, never a crash."""

from __future__ import annotations

import json
import random
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wattswap as ws
from tests.kits.run_kit import Outcome, call, refused, start, wait_for_file
from tests.kits.sample_kit import sampled, some
from wattswap.results import Comparison, RunResult
from wattswap.runs.manifest import file_sha256

Capture = pytest.CaptureFixture[str]
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e300,
    -0.5,
    "",
    "x",
    "NaN",
    [],
    [1],
    {},
    {"a": 1},
    "\u2028",
)
VIEWS = {
    "run": ["summary", "bills", "prices", "book", "block 1", "why home-1", "network", "shares"],
    "comparison": [
        "summary", "bills mcafee", "cells", "summary --against mcafee", "effects --against mcafee",
        "effects uniform_price --against mcafee",
    ],
}  # fmt: skip
ALLOWED = {0, 2, 3, 5}
"""A result; no such mechanism or home any more; another version or scenario; damage."""


@pytest.fixture(scope="module")
def compared(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    scenario = ws.load(street, overrides=["time.days=1"])
    out = tmp_path_factory.mktemp("compared")
    return ws.compare(scenario, ["uniform_price", "mcafee"], seeds=[7], out=out)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from places(inner, (*path, key))


def spoil_json(rng: random.Random, file: Path) -> str:
    """Delete, replace or swap one or two values of a JSON file."""
    value = json.loads(file.read_text(encoding="utf-8"))
    done = []
    for _ in range(rng.choice((1, 1, 2))):
        path = rng.choice(list(places(value)))
        if rng.random() < 0.5:  # the entries at the top, which are the most used
            path = path[:1]
        holder = value
        for key in path[:-1]:
            holder = holder[key]
        if rng.random() < 0.35:
            del holder[path[-1]]
            done.append(f"{path} deleted")
        else:
            holder[path[-1]] = rng.choice(ODD)
            done.append(f"{path} = {holder[path[-1]]!r}")
    file.write_text(json.dumps(value), encoding="utf-8")
    return "; ".join(done)


def spoil_table(rng: random.Random, file: Path) -> str:
    """Change columns, types, values or rows of a Parquet file."""
    table = pq.ParquetFile(file).read()
    names, column = table.column_names, rng.randrange(table.num_columns)
    name = names[column]
    kind = rng.choice(
        ("drop", "swap", "null", "text", "float", "empty", "twice", "huge", "negative", "shuffle")
    )
    if kind == "drop":
        table = table.drop_columns([name])
    elif kind == "swap":
        other = rng.randrange(len(names))
        names[column], names[other] = names[other], names[column]
        table = table.rename_columns(names)
    elif kind == "null":
        table = table.set_column(column, name, pa.nulls(len(table), table.schema.field(name).type))
    elif kind == "text":
        table = table.set_column(column, name, pa.array(["x"] * len(table)))
    elif kind == "float":
        table = table.set_column(column, name, pa.array([0.5] * len(table)))
    elif kind == "empty":
        table = table.slice(0, 0)
    elif kind == "twice":
        table = pa.concat_tables([table, table])
    elif kind == "shuffle":
        table = table.take(list(range(len(table) - 1, -1, -1)))
    elif pa.types.is_integer(table.schema.field(name).type):
        worst = 2**62 if kind == "huge" else -(2**62)
        values = pa.array([worst] * len(table)).cast(table.schema.field(name).type, safe=False)
        table = table.set_column(column, name, values)
    pq.write_table(table, file)
    return f"{kind} {name}"


def spoil_bytes(rng: random.Random, file: Path) -> str:
    """Cut, empty, overwrite or change a file."""
    data = file.read_bytes()
    kind = rng.choice(("cut", "empty", "latin", "text", "bytes", "gone"))
    at = rng.randrange(max(len(data), 1))
    spoiled = {
        "cut": data[:at],
        "empty": b"",
        "latin": data[:at] + b"\xff\xfe" + data[at:],
        "text": b"no such file at all\n",
        "bytes": data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :] if data else b"x",
    }
    if kind == "gone":
        file.unlink()
    else:
        file.write_bytes(spoiled[kind])
    return f"{kind} at {at}"


def spoil(rng: random.Random, file: Path) -> str:
    special: dict[str, Callable[[random.Random, Path], str]] = {".json": spoil_json, ".parquet": spoil_table}
    chosen = special.get(file.suffix, spoil_bytes) if rng.random() < 0.7 else spoil_bytes
    return f"{file.name}: {chosen(rng, file)}"


def sound(done: Outcome, what: str) -> str:
    """How a command came out, which is one of the ways that are allowed."""
    assert done.code in ALLOWED, (what, done.code, done.err)
    assert "bug of wattswap" not in done.err, (what, done.err)
    assert "Traceback" not in done.err, (what, done.err)
    if done.code in (3, 5):
        assert done.out == "", (what, done.out)
    return {0: "result", 2: "usage", 3: "invalid", 5: "damaged"}[done.code]


def try_folder(
    folder: Path, kind: str, tries: int, tmp_path: Path, capsys: Capture, after: Callable[[Path], None]
) -> Counter[str]:
    """Spoil one file of a copy at a time, and read it by a view and as a report.

    Args:
        after: Called with each spoiled file, before it is read.
    """
    seen: Counter[str] = Counter()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    for name in files:
        rng = random.Random(zlib.crc32(Path(name).name.encode()))
        for number in range(tries):
            copy = Path(shutil.copytree(folder, tmp_path / "copy"))
            what = spoil(rng, copy / name)
            if (copy / name).is_file():
                after(copy / name)
            view = rng.choice(VIEWS[kind]).split()
            form = rng.choice(([], ["--json"])) if "--csv" not in view else []
            done = call(capsys, "show", copy, *view, *form)
            if form:  # errors are an object on stdout
                done = Outcome(done.code, "" if done.code else done.out, done.err)
            seen[sound(done, f"{what}, show {view}")] += 1
            if number % 4 == 0:
                seen[sound(call(capsys, "report", copy, "--out", tmp_path / "r.html", "--force"), what)] += 1
            shutil.rmtree(copy)
    return seen


def nothing(file: Path) -> None:
    """Leave it as it is spoiled."""


@sampled
def test_a_spoiled_run_gives_a_result_or_a_sentence(
    finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    seen = try_folder(finished.path, "run", some(4, 2), tmp_path, capsys, nothing)
    assert seen["damaged"] > some(10, 5)
    assert seen["result"] > some(5, 2)


@sampled
def test_a_spoiled_comparison_gives_a_result_or_a_sentence(
    compared: Comparison, tmp_path: Path, capsys: Capture
) -> None:
    seen = try_folder(compared.path, "comparison", 1, tmp_path, capsys, nothing)
    assert seen["damaged"] > 5
    assert seen["result"] > 5
    shutil.copytree(compared.path, tmp_path / "c")
    about = tmp_path / "c" / "comparison.json"
    rng, whole = random.Random(3), about.read_bytes()
    for _ in range(some(30, 8)):
        about.write_bytes(whole)
        what = spoil_json(rng, about)
        view = rng.choice(VIEWS["comparison"]).split()
        sound(call(capsys, "show", tmp_path / "c", *view), f"{what}, show {view}")
    for _ in range(some(15, 4)):
        about.write_bytes(whole)
        what = spoil_json(rng, about)
        sound(call(capsys, "resume", tmp_path / "c"), what)


@sampled
def test_a_spoiled_manifest_gives_a_result_or_a_sentence(
    finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    copy = Path(shutil.copytree(finished.path, tmp_path / "copy"))
    manifest = copy / "manifest.json"
    rng, whole = random.Random(4), manifest.read_bytes()
    for number in range(some(40, 12)):
        manifest.write_bytes(whole)
        what = spoil_json(rng, manifest)
        view = rng.choice(VIEWS["run"]).split()
        sound(call(capsys, "show", copy, *view), f"{what}, show {view}")
        if number % 4 == 0:
            sound(call(capsys, "report", copy, "--out", tmp_path / "r.html", "--force"), what)


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("bills.parquet", "bills"),
        ("intervals.parquet", "prices"),
        ("orders.parquet", "book"),
        ("postings.parquet", "why home-1"),
        ("metrics.json", "summary"),
        ("scenario.json", "summary"),
        ("chain.db", "summary"),
        ("genesis.bin", "summary"),
    ],
)
def test_a_file_with_another_hash_is_named(
    name: str, view: str, finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    """Also one that reads well: bytes are added where no reader looks, or rows are sorted another way."""
    copy = Path(shutil.copytree(finished.path, tmp_path / "copy"))
    file = copy / name
    if file.suffix == ".parquet":
        pq.write_table(pq.read_table(file), file, compression="gzip")
    else:
        file.write_bytes(file.read_bytes() + b"\n")
    sentence = f"{file}: is damaged: its bytes are not those that the manifest names"
    refused(call(capsys, "show", copy, *view.split()), 5, sentence)
    if name not in ("orders.parquet", "postings.parquet"):  # of which a report reads one interval or nothing
        refused(call(capsys, "report", copy), 5, sentence)


@pytest.mark.parametrize(
    "name", ["postings.parquet", "bills.parquet", "scenario.json", "genesis.bin", "chain.db", "manifest.json"]
)
def test_the_chain_of_a_spoiled_run_gives_a_result_or_a_sentence(
    name: str, finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    rng = random.Random(zlib.crc32(name.encode()))
    for _ in range(4):
        copy = Path(shutil.copytree(finished.path, tmp_path / "copy"))
        what = spoil(rng, copy / name)
        for command in ("prove", "show", "verify", "state"):
            more = {"prove": ["home-1", "2026-06-02T12:00Z"], "state": ["settlement"]}.get(command, [])
            sound(call(capsys, "chain", command, copy, *more), f"{what}, chain {command}")
        shutil.rmtree(copy)


def as_of(folder: Path, file: str, **changed: object) -> Path:
    """Write a manifest or a comparison.json as another version of wattswap would have."""
    path = folder / file
    about = json.loads(path.read_text(encoding="utf-8"))
    versions = about["versions"] | {"wattswap": "0.0.9"}
    path.write_text(json.dumps(about | {"versions": versions} | changed), encoding="utf-8")
    return path


def test_what_an_older_version_wrote_says_so_first(
    finished: RunResult, compared: Comparison, tmp_path: Path, capsys: Capture
) -> None:
    """A column that this version wants is no damage there; the sentence names both versions and the cure."""
    said = "was written by wattswap 0.0.9, this is"
    cure = "run the scenario again, or read the folder with the version that wrote it"
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    bills = run / "bills.parquet"
    pq.write_table(pq.read_table(bills).drop_columns(["trade_nano"]), bills)
    files = finished.manifest["files"]
    as_of(run, "manifest.json", files=files | {"bills.parquet": file_sha256(bills)})
    for command in ("show", "report"):
        done = call(capsys, command, run)
        refused(done, 3, said, "trade_nano", cure)
        assert done.err.startswith(f"Error: {run}: {said}")
    other = Path(shutil.copytree(compared.path, tmp_path / "other"))
    about = json.loads(as_of(other, "comparison.json").read_text(encoding="utf-8"))
    del about["data"]
    (other / "comparison.json").write_text(json.dumps(about), encoding="utf-8")
    refused(call(capsys, "show", other), 3, f"comparison.json: {said}", "data is missing", cure)


def test_an_older_folder_that_reads_well_is_shown(
    finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    as_of(run, "manifest.json")
    assert call(capsys, "show", run).code == 0
    bills = run / "bills.parquet"
    bills.write_bytes(bills.read_bytes()[:-5])
    refused(call(capsys, "show", run), 5, f"{bills}: was written by wattswap 0.0.9", "it is damaged")


@sampled
def test_a_spoiled_checkpoint_gives_a_result_or_a_sentence(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    process = start("run", street, "--set", "time.intervals=48", "--out", tmp_path / "out", "-q")
    try:
        wait_for_file(process, tmp_path / "out", "checkpoint.json")
    finally:
        process.kill()
        process.communicate()
    (partial,) = (tmp_path / "out").iterdir()
    rng = random.Random(5)
    for name in ("checkpoint.json", "scenario.json", "genesis.bin", "chain.db"):
        for _ in range(some(6, 2)):
            place = tmp_path / "again"
            copy = Path(shutil.copytree(partial, place / partial.name))
            what = spoil(rng, copy / name)
            sound(call(capsys, "resume", copy, "-q"), what)
            shutil.rmtree(place)
