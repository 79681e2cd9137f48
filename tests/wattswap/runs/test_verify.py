"""Whatever is changed in a stored run is found and named, also when the manifest is changed to match."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wattswap as ws
from p2p.errors import OtherFormat
from p2p.ledger.checkpoint import checkpoint_bytes, load_tip
from p2p.ledger.execution import genesis_tip
from p2p.ledger.store import ChainStore
from p2p.wire.codec import encode
from tests.kits.run_kit import call, files_below, write_street
from tests.kits.sample_kit import sample_of
from wattswap.errors import InvalidScenario, VerificationFailed
from wattswap.results import RunResult
from wattswap.runs.chain_reader import genesis_of, verified_chain
from wattswap.runs.layout import HASHED_FILES, TABLE_FILES


@pytest.fixture
def copy(finished: RunResult, tmp_path: Path) -> Path:
    """A copy of the finished run, to be spoilt."""
    return shutil.copytree(finished.path, tmp_path / finished.path.name)


def flip(path: Path, at: float) -> None:
    """Change one bit of the byte at this share of a file."""
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.write_bytes(data)


def match_manifest(run: Path, name: str) -> None:
    """Write the file's hash as it is now into the manifest."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256((run / name).read_bytes()).hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))


def found_wrong(run: Path) -> str:
    """The sentence with which verify refuses a run; one changed bit can make the format one that is older."""
    with pytest.raises((VerificationFailed, InvalidScenario, OtherFormat)) as caught:
        ws.verify(run)
    return str(caught.value)


def rewrite(run: Path, name: str, change: Callable[[pd.DataFrame], pd.DataFrame | None]) -> None:
    """Change rows of a stored table in place, keep its types, and let the manifest match."""
    path = run / f"{name}.parquet"
    table = pq.read_table(path)
    frame = table.to_pandas()
    changed = change(frame)
    frame = frame if changed is None else changed
    new = pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False)
    pq.write_table(new.replace_schema_metadata(table.schema.metadata), path)
    match_manifest(run, path.name)


def cell(column: str, row: int, value: int = 1) -> Callable[[pd.DataFrame], None]:
    """Add a value to one cell."""

    def change(frame: pd.DataFrame) -> None:
        frame.loc[row, column] += value

    return change


def test_a_finished_run_verifies_and_is_not_changed_by_it(finished: RunResult) -> None:
    before = {name: (finished.path / name).read_bytes() for name in files_below(finished.path)}
    report = ws.verify(finished.path)
    assert report["ok"]
    assert list(report["checks"]) == ["files", "chain", "tables", "again"]
    assert "48 blocks" in report["checks"]["chain"]
    assert {name: (finished.path / name).read_bytes() for name in files_below(finished.path)} == before


@pytest.mark.parametrize("at", sample_of([0.0, 0.37, 1.0], [0.37]))
@pytest.mark.parametrize("name", HASHED_FILES)
def test_one_changed_bit_of_any_file_is_found_and_the_file_named(
    name: str, at: float, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(copy / name, at)
    outcome = call(capsys, "verify", copy, "-q")
    assert (outcome.code, outcome.out) == (5, "")
    assert f"{copy / name}: " in outcome.err
    assert sum(f"/{other}: " in outcome.err for other in HASHED_FILES) == 1


@pytest.mark.parametrize("name", HASHED_FILES)
def test_a_missing_file_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert f"{copy / name}: is missing" in found_wrong(copy)


# The middle is in `make test`, all seven places in `make slow`.
@pytest.mark.parametrize("at", sample_of([step / 6 for step in range(7)], [0.5]))
@pytest.mark.parametrize("name", HASHED_FILES)
def test_a_changed_bit_is_also_found_when_the_manifest_is_changed_to_match(
    name: str, at: float, copy: Path, finished: RunResult
) -> None:
    flip(copy / name, at)
    match_manifest(copy, name)
    if name == "chain.db" and chain_rows(copy) == chain_rows(finished.path):
        assert ws.verify(copy)["ok"]  # a byte that SQLite does not use: every row is still there, bit by bit
    else:
        assert str(copy) in found_wrong(copy)


def chain_rows(run: Path) -> object:
    """Every row of a chain file; None when SQLite cannot read them."""
    connection = sqlite3.connect(run / "chain.db")
    try:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("meta", "blocks")]
    except sqlite3.DatabaseError:
        return None
    finally:
        connection.close()


def test_a_scenario_that_the_manifest_does_not_name_is_not_run(copy: Path) -> None:
    path = copy / "scenario.json"
    path.write_text(path.read_text().replace('"0.32"', '"0.33"'))
    match_manifest(copy, path.name)
    assert "scenario.json: is not the scenario that the manifest names" in found_wrong(copy)


EXCHANGED = {"home-1": "home-2", "home-2": "home-1"}
SECOND_HOUR = "2026-06-02T01:00Z"
TAMPERED: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame | None], str]] = {
    "an order's energy": ("orders", cell("energy_wh", 10), r"orders\.parquet: 2026-06-02T\d\d:00Z home-\d: energy_wh"),
    "an order's limit": ("orders", cell("limit_micro_per_kwh", 10), "limit_micro_per_kwh is"),
    "what was accepted": ("orders", cell("accepted_wh", 10), "accepted_wh is"),
    "a register": ("readings", cell("import_wh", 4), rf"readings\.parquet: {SECOND_HOUR} home-2: import_wh"),
    "a battery": ("readings", cell("stored_wh", 3), rf"readings\.parquet: {SECOND_HOUR} home-1: stored_wh"),
    "a posting": ("postings", cell("retail_nano", 7), rf"the postings of {SECOND_HOUR} are not those of block 2"),
    "a balanced posting": (
        "postings",
        lambda frame: frame.assign(trade_nano=frame["trade_nano"] + 5 * (frame.index == 6) - 5 * (frame.index == 7)),
        rf"the postings of {SECOND_HOUR} are not those of block 2",
    ),
    "a price": ("intervals", cell("import_micro_per_kwh", 1), rf"{SECOND_HOUR}: import_micro_per_kwh is 320001"),
    "the welfare": ("intervals", cell("welfare_nano", 1), rf"{SECOND_HOUR}: welfare_nano"),
    "a bill": ("bills", cell("retail_nano", 2), r"bills\.parquet: home-3: retail_nano"),
    "an energy sum": ("bills", cell("import_wh", 0), "home-1: import_wh"),
    "a row left out": ("readings", lambda frame: frame.drop(index=5), r"readings\.parquet: has 143 rows"),
    "an interval left out": ("postings", lambda frame: frame.iloc[6:], "2026-06-02T00:00Z are not those of block 1"),
    "the last interval left out": ("postings", lambda frame: frame.iloc[:-6], "ends after 47 of 48 intervals"),
    "a posting left out": ("postings", lambda frame: frame.iloc[:-1], "5 rows follow the last whole interval"),
    "an interval too many": (
        "postings",
        lambda frame: pd.concat([frame, frame.iloc[-6:]]),
        "has intervals after the 48",
    ),
    "two homes exchanged": (
        "postings",
        lambda frame: frame.assign(account=frame["account"].cat.rename_categories(EXCHANGED)),
        r"postings\.parquet: 2026-06-02T00:00Z home-1: account is home-2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_a_changed_table_is_found_and_the_place_named_though_the_manifest_matches(
    what: str, copy: Path
) -> None:
    name, change, sentence = TAMPERED[what]
    rewrite(copy, name, change)
    assert re.search(sentence, found_wrong(copy))


def test_an_unchanged_table_that_another_program_wrote_is_told_apart(copy: Path) -> None:
    rewrite(copy, "orders", lambda frame: None)
    assert "orders.parquet: holds the rows that running it again gives in other bytes" in found_wrong(copy)


def test_another_currency_in_the_metadata_is_found(copy: Path) -> None:
    path = copy / "bills.parquet"
    table = pq.read_table(path).replace_schema_metadata({"currency": "USD"})
    pq.write_table(table, path, compression="zstd")
    match_manifest(copy, path.name)
    assert "bills.parquet: has other columns, types or metadata" in found_wrong(copy)


@pytest.mark.parametrize("column", ["block", "cert"])
@pytest.mark.parametrize("at", sample_of([0.0, 0.5, 1.0], [0.5]))
def test_a_changed_byte_of_a_block_is_named_by_its_height(column: str, at: float, copy: Path) -> None:
    connection = sqlite3.connect(copy / "chain.db")
    with connection:
        data = bytearray(connection.execute(f"SELECT {column} FROM blocks WHERE height = 17").fetchone()[0])
        data[int(at * (len(data) - 1))] ^= 1
        connection.execute(f"UPDATE blocks SET {column} = ? WHERE height = 17", (bytes(data),))
    connection.close()
    match_manifest(copy, "chain.db")
    assert "block 17" in found_wrong(copy)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DELETE FROM blocks WHERE height = 17", "a block between heights 1 and 48 is missing"),
        ("DELETE FROM blocks WHERE height = 48", "its head is not the one of the manifest"),
        (
            "UPDATE blocks SET cert = (SELECT cert FROM blocks WHERE height = 16) WHERE height = 17",
            "block 17",
        ),
        ("UPDATE meta SET value = x'7a' WHERE key = 'schema'", "chain.db has schema"),
        ("UPDATE meta SET value = x'38' WHERE key = 'schema'", "chain.db: a chain of format 8"),
        ("DROP TABLE blocks", "no such table"),
    ],
)
def test_a_changed_chain_file_is_found(statement: str, sentence: str, copy: Path) -> None:
    connection = sqlite3.connect(copy / "chain.db")
    with connection:
        connection.execute(statement)
    connection.close()
    match_manifest(copy, "chain.db")
    assert sentence in found_wrong(copy)


@pytest.mark.parametrize(
    ("forged", "sentence"),
    [
        ("state", "holds a checkpoint that is not the state after its blocks"),
        ("height", "it cannot be executed again from height 47"),
        ("block_hash", "its checkpoint is not of its newest block"),
    ],
)
def test_a_checkpoint_that_is_not_the_state_after_the_blocks_is_found(
    copy: Path, forged: str, sentence: str
) -> None:
    """`chain state` begins at it, and no block shows a checkpoint of the newest one."""
    genesis = genesis_of(copy)
    with ChainStore.open(copy / "chain.db") as store:
        newest = load_tip(store, genesis)
    wrong = {"state": genesis_tip(genesis).state, "height": 47, "block_hash": bytes(32)}
    data = checkpoint_bytes(replace(newest, **{forged: wrong[forged]}))
    connection = sqlite3.connect(copy / "chain.db")
    with connection:
        row = (newest.height, data, hashlib.sha256(data).digest())
        connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", row)
    connection.close()
    match_manifest(copy, "chain.db")
    assert sentence in found_wrong(copy)


def test_a_chain_that_begins_at_a_checkpoint_shows_nothing(copy: Path) -> None:
    connection = sqlite3.connect(copy / "chain.db")
    with connection:
        connection.execute("DELETE FROM blocks")
        connection.execute("INSERT INTO meta VALUES ('base', ?)", (encode((48, bytes(32))),))
    connection.close()
    match_manifest(copy, "chain.db")
    assert "block 48, base: the store begins at a checkpoint" in found_wrong(copy)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mechanism", "retailer_only"),
        ("currency", "USD"),
        ("homes", 4),
        ("start", "2026-06-03T00:00Z"),
        ("seed", 8),
        ("replay_sha256", "0" * 64),
        ("data", {"format": "plain"}),
    ],
)
def test_a_changed_fact_in_the_manifest_is_named(key: str, value: object, copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest[key] = value
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert f"manifest.json: says {key}" in found_wrong(copy)


@pytest.mark.parametrize(
    ("key", "value"), [("signed", True), ("driver", "live"), ("schema", 2), ("network", {"nodes": 4})]
)
def test_a_manifest_that_claims_what_was_not_so_is_refused(key: str, value: object, copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest[key] = value
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert f"{copy / 'manifest.json'}: " in found_wrong(copy)


MEASURED = {"source", "versions", "platform", "started", "wall_s", "clear_ms"}
"""What the manifest says of the machine and the program, which nobody can repeat."""


@pytest.fixture
def quick(finished: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify with the second run and the chain's check made once: what they find is tested elsewhere."""
    facts = verified_chain(finished.path)
    monkeypatch.setattr("wattswap.verification.again.engine.run", lambda *_args, **_options: finished)
    monkeypatch.setattr("wattswap.verification.run.verified_chain", lambda *_: facts)


@pytest.mark.parametrize("value", [None, 0, True, "x", [], {"x": []}, "left out"])
@pytest.mark.usefixtures("quick")
def test_no_value_of_any_key_of_the_manifest_switches_a_check_off_or_ends_verify(
    value: object, copy: Path
) -> None:
    path = copy / "manifest.json"
    right = json.loads(path.read_text())
    for key in (*right, "network", "modules"):
        wrong = {name: entry for name, entry in right.items() if name != key}
        if value != "left out":
            wrong[key] = value
        if wrong.get(key) == right.get(key) and wrong.get(key) is right.get(key):
            continue
        path.write_text(json.dumps(wrong))
        if key in MEASURED:
            with suppress(VerificationFailed):  # as a sentence, and nothing else
                assert ws.verify(copy)["ok"]
        else:
            assert str(copy) in found_wrong(copy), key


@pytest.mark.parametrize("key", ["files", "chain", "data"])
@pytest.mark.parametrize("value", [None, 0, {}])
@pytest.mark.usefixtures("quick")
def test_nor_does_a_value_within_an_entry(key: str, value: object, copy: Path) -> None:
    path = copy / "manifest.json"
    right = json.loads(path.read_text())
    for name in (*right[key], "more"):
        if right[key].get(name, "none") == value:
            continue
        path.write_text(json.dumps(right | {key: right[key] | {name: value}}))
        assert str(copy) in found_wrong(copy)


def test_a_file_that_is_not_of_the_run_is_named(copy: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    assert "notes.txt: is not part of this run" in found_wrong(copy)


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_a_manifest_that_is_no_json_is_named(
    cut: int, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "manifest.json"
    path.write_bytes(path.read_bytes()[:cut])
    outcome = call(capsys, "verify", copy)
    assert outcome.code == 5
    assert "manifest.json: is damaged" in outcome.err


def test_changed_meter_data_are_named_as_data(tmp_path: Path) -> None:
    street = write_street(tmp_path / "street")
    run = ws.run(street, out=tmp_path / "runs")
    file = street / "meter.csv"
    text = file.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("2026-06-03T03:00:00Z,home-3"))
    file.write_text(text.replace(line, "2026-06-03T03:00:00Z,home-3,0.001,0.000"), encoding="utf-8")
    sentence = found_wrong(run.path)
    assert "says data.sha256" in sentence
    assert "readings.parquet: 2026-06-03T03:00Z home-3: import_wh" in sentence


def test_the_report_of_verify_is_one_object(finished: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(capsys, "verify", finished.path, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["ok"] is True
    assert all(name in finished.manifest["files"] for name in TABLE_FILES)
