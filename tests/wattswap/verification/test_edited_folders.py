"""Thirty edits of an audit that computed every hash again: each is refused by name, or what it changed is listed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import wattswap as ws
from p2p.errors import P2PError
from p2p.ledger.checkpoint import checkpoint_bytes
from p2p.ledger.execution import genesis_tip
from tests.kits.edit_fuzz_kit import content
from tests.kits.edit_kit import (
    Edit,
    both,
    cell,
    column,
    entry,
    fit_hashes,
    forged_checkpoint,
    linked,
    manifest_of,
    put,
    rows,
    sql,
    trim_certificates,
    write_manifest,
)
from tests.kits.run_kit import call
from wattswap.errors import WattswapError
from wattswap.runs.chain_reader import genesis_of

SILENT = entry("network", "silent", value=["1780390800 home-1", "1780390800 home-2"])
"""Says that two homes were absent from the first interval."""


@dataclass(frozen=True)
class Case:
    """An edit and what verify makes of it.

    Args:
        run: Which run is edited.
        edit: The edit.
        refused: Pieces of the sentences that refuse it; none where it is free.
        free: The name under which verify lists what was changed, where that cannot be checked.
    """

    run: str
    edit: Edit
    refused: tuple[str, ...] = ()
    free: str = ""


def without(run: Path, *place: str) -> None:
    """Remove an entry of the manifest."""
    manifest = manifest_of(run)
    inner = manifest
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    write_manifest(run, manifest)


def more_metrics(run: Path) -> None:
    path = run / "metrics.json"
    path.write_text(path.read_text().replace('"homes": 3', '"homes": 4'))


def young_checkpoint(run: Path) -> None:
    """The state before all blocks, as one that is older than the newest."""
    forged_checkpoint(1, checkpoint_bytes(genesis_tip(genesis_of(run))))(run)


def write_ahead(run: Path) -> None:
    """Let SQLite look for a write-ahead log, which makes files in the folder."""
    data = bytearray((run / "chain.db").read_bytes())
    data[18:20] = b"\x02\x02"
    (run / "chain.db").write_bytes(data)


def other_writer(run: Path) -> None:
    """A table in other bytes, which another version of pyarrow is said to have written."""
    pq.write_table(pq.read_table(run / "bills.parquet"), run / "bills.parquet", compression="none")
    entry("versions", "pyarrow", value="1.0.0")(run)


def seed_twice(run: Path) -> None:
    """A key that is there twice: readers differ in which they take."""
    fit_hashes(run)
    path = run / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 7', '"seed": 8, "seed": 7'))


def moved_data(run: Path) -> None:
    """The same data in another folder."""
    path = run / "scenario.json"
    scenario = json.loads(path.read_text())
    shutil.copytree(scenario["base"], run.parent / "elsewhere")
    scenario["base"] = str(run.parent / "elsewhere")
    path.write_text(json.dumps(scenario, indent=1, ensure_ascii=False) + "\n")


def more_in_scenario(run: Path) -> None:
    """An entry beside the scenario and its folder."""
    path = run / "scenario.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"audited": True}, indent=1) + "\n")


def in_scenario(text: str) -> Edit:
    """An entry of the scenario that is written in another way than a run does."""

    def edit(run: Path) -> None:
        path = run / "scenario.json"
        path.write_text(path.read_text().replace('"resolved": {', f'"resolved": {{ "more": {text},', 1))

    return edit


def huge_blob(run: Path) -> None:
    """A blob with so many bytes that none are left for who reads them all."""
    blob = min((run / "blobs").iterdir())
    with blob.open("r+b") as file:
        file.truncate(1 << 37)


def endless_chain(run: Path) -> None:
    """A view without an end in the place of a table."""
    sql("ALTER TABLE meta RENAME TO other")(run)
    endless = "WITH RECURSIVE t(key) AS (SELECT 1 UNION ALL SELECT 1 FROM t) SELECT key, key AS value FROM t"
    sql(f"CREATE VIEW meta AS {endless}")(run)


def emptied(run: Path) -> None:
    """A folder for proofs without one."""
    (run / "omissions").mkdir()


def folder_for(name: str) -> Edit:
    """A folder in the place of a file."""

    def edit(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    return edit


def extra_column(table: object) -> object:
    return table.append_column("note", [["x"] * table.num_rows])  # type: ignore[attr-defined]


TABLES: dict[str, tuple[Edit, str]] = {
    "a bill's money": (cell("bills", "retail_nano", 0), "bills.parquet: home-1: retail_nano"),
    "a bill's energy": (cell("bills", "import_wh", 2), "bills.parquet: home-3: import_wh"),
    "a bill left out": (rows("bills", lambda table: table.slice(1)), "bills.parquet: has 2 rows"),
    "a register": (cell("readings", "import_wh", 4), "readings.parquet: 2026-06-02T10:00Z home-2: import_wh"),
    "a battery": (cell("readings", "stored_wh", 0), "readings.parquet: 2026-06-02T09:00Z home-1: stored_wh"),
    "a reading left out": (rows("readings", lambda table: table.slice(1)), "readings.parquet: has 8 rows"),
    "an order's energy": (cell("orders", "energy_wh", 0), "orders.parquet: 2026-06-02T09:00Z home"),
    "an order's limit": (cell("orders", "limit_micro_per_kwh", 1), "limit_micro_per_kwh is"),
    "what was accepted": (cell("orders", "accepted_wh", 1), "accepted_wh is"),
    "a price": (cell("intervals", "price_micro_per_kwh", 1), "2026-06-02T10:00Z: price_micro_per_kwh is"),
    "a retail price": (cell("intervals", "import_micro_per_kwh", 0), "import_micro_per_kwh is 320001"),
    "a price's bound": (cell("intervals", "lo_micro_per_kwh", 2), "2026-06-02T11:00Z: lo_micro_per_kwh is"),
    "the metrics": (more_metrics, "metrics.json: is not what running it again gives"),
    "the mechanism": (entry("mechanism", value="other"), "manifest.json: says mechanism"),
    "the seed": (entry("seed", value=99), "manifest.json: says seed"),
}
"""Edits that went unnoticed where the manifest named absent homes."""

OTHERS: dict[str, Case] = {
    "a statistic's height": Case("live", cell("network", "height", 0), ("network.parquet", "height is 2")),
    "a statistic left out": Case(
        "live",
        rows("network", lambda table: table.slice(0, table.num_rows - 1)),
        ("manifest.json: says network.",),
    ),
    "a measured time": Case("live", cell("network", "at", 0, 0.001), free="network.parquet"),
    "a planted omission": Case(
        "live",
        put("omissions/omission-1780390800-0.bin", b"nothing"),
        ("omission-1780390800-0.bin: is not a proof",),
    ),
    "a blob of no batch": Case(
        "live", put(f"blobs/1780390800-{'ab' * 32}.blob", b"x"), (".blob: belongs to no batch",)
    ),
    "a huge blob": Case("live", huge_blob, (".blob: is missing or damaged",)),
    "half a character": Case(
        "process", in_scenario('"\\ud800"'), ("scenario.json: is damaged", "surrogates")
    ),
    "a deep scenario": Case(
        "process", in_scenario("[" * 900 + "]" * 900), ("scenario.json: is damaged: it is nested",)
    ),
    "an endless chain": Case("live", endless_chain, ("meta in it is no table",)),
    "a forged report": Case("live", put("report.html", "<h1>All is well</h1>"), free="report.html"),
    "an empty log": Case("live", put("log.jsonl", ""), free="log.jsonl"),
    "when it began": Case(
        "live", entry("started", value="2020-01-01T00:00:00+00:00"), free="manifest.json: started"
    ),
    "the platform": Case("live", entry("platform", value="Plan 9"), free="manifest.json: platform"),
    "a version": Case("live", entry("versions", "numpy", value="0.0.1"), free="manifest.json: versions"),
    "the commit": Case(
        "live", entry("source", value={"commit": "0" * 40, "dirty": False}), free="manifest.json: source"
    ),
    "an extra key": Case("live", entry("audited", value="by an expert"), ("manifest.json", "audited")),
    "an extra key within": Case(
        "live", entry("network", "audited", value=True), ("manifest.json", "network.audited")
    ),
    "a foreign table": Case(
        "live", sql("CREATE TABLE notes (text TEXT)"), ("chain.db: holds a table notes",)
    ),
    "a foreign index": Case(
        "live", sql("CREATE INDEX fast ON blocks (cert)"), ("chain.db: holds an index fast",)
    ),
    "a row of meta": Case(
        "live", sql("INSERT INTO meta VALUES ('note', x'01')"), ("chain.db: meta holds a row note",)
    ),
    "a forged checkpoint": Case("live", young_checkpoint, ("chain.db", "checkpoint of height 1")),
    "a linked table": Case("live", linked("bills.parquet"), ("bills.parquet: is a link",)),
    "linked blobs": Case("live", linked("blobs"), ("blobs: is a link",)),
    "bare quorums": Case("process", trim_certificates, ("chain.db: the certificate of block 1",)),
    "an extra column": Case("process", rows("bills", extra_column), ("bills.parquet: has other columns",)),
    "another header": Case(
        "process",
        rows("bills", lambda table: table.replace_schema_metadata({"currency": "USD"})),
        ("bills.parquet: has other columns",),
    ),
}


MORE: dict[str, Case] = {
    "a base": Case("live", sql("INSERT INTO meta VALUES ('base', x'00')"), ("chain.db",)),
    "another genesis in meta": Case(
        "live", sql("UPDATE meta SET value = value || x'00' WHERE key = 'genesis'"), ("chain.db",)
    ),
    "a block below the first": Case(
        "live",
        sql("INSERT INTO blocks SELECT -1, block, cert FROM blocks WHERE height = 1"),
        ("chain.db: holds a block below the first one",),
    ),
    "a checkpoint of no block": Case(
        "live",
        forged_checkpoint(9, b"x"),
        ("chain.db: holds a checkpoint of height 9, of which it has no block",),
    ),
    "a change of validators": Case(
        "live",
        sql("INSERT INTO changes VALUES (2, x'01')"),
        ("chain.db: holds a change of validators of height 2, which no block announces",),
    ),
    "a number in the header": Case(
        "live", sql("PRAGMA user_version = 3"), ("chain.db: names a user_version",)
    ),
    "bytes behind the pages": Case(
        "live",
        lambda run: (run / "chain.db").write_bytes((run / "chain.db").read_bytes() + bytes(100)),
        ("chain.db: has ", "its 5 pages"),
    ),
    "a write-ahead log": Case("live", write_ahead, ("chain.db: has format versions 0202",)),
    "a missing log": Case("process", lambda run: (run / "log.jsonl").unlink(), ("log.jsonl: is missing",)),
    "a folder for a log": Case("process", folder_for("log.jsonl"), ("log.jsonl: is not a file",)),
    "a linked manifest": Case("process", linked("manifest.json"), ("manifest.json: is a link",)),
    "a folder of omissions": Case("live", emptied, ("omissions: is empty",)),
    "omissions in process": Case("process", emptied, ("omissions: is not part of this run",)),
    "a key twice": Case("process", seed_twice, ("manifest.json: is damaged: it names 'seed' twice",)),
    "no modules": Case("process", entry("modules", value={}), ("manifest.json: says modules = {}",)),
    "a chain's null": Case(
        "live", entry("chain", "more", value=None), ("says chain.more = null, it must be left out",)
    ),
    "a missing time": Case(
        "live", lambda run: without(run, "started"), ("manifest.json: is damaged: started is missing",)
    ),
    "a time of no clock": Case(
        "live", entry("started", value="yesterday"), ("manifest.json: is damaged: started",)
    ),
    "a missing version": Case(
        "live", lambda run: without(run, "versions", "numpy"), ("versions.numpy is missing",)
    ),
    "a version of something": Case(
        "live", entry("versions", "audit", value="1"), ("versions.audit is no program of which a run notes",)
    ),
    "a commit that is none": Case(
        "live",
        entry("source", value={"commit": "audited", "dirty": False}),
        ("manifest.json: was written by", "source.commit"),
    ),
    "a percentile": Case(
        "live", entry("network", "gate_s", "max", value=9.0), ("manifest.json: says network.gate_s",)
    ),
    "validators": Case(
        "live",
        entry("network", "roles", "validator", value=3),
        ("says network.roles.validator = 3, it must be 4",),
    ),
    "homes": Case(
        "live",
        entry("network", "roles", "household", value=9),
        ("says network.roles.household = 9, it must be 3",),
    ),
    "a role": Case(
        "live", entry("network", "roles", "auditor", value=1), ("network.roles.auditor, which is no role",)
    ),
    "nodes": Case("live", entry("network", "nodes", value=9), ("network.nodes = 9, its roles add up to 8",)),
    "more nodes than there are": Case(
        "live",
        column("network", "node", lambda found: [f"n{i}" for i in range(len(found))]),
        ("have lines in network",),
    ),
    "a statistic of no interval": Case(
        "live",
        column("network", "interval_start", lambda found: [one.replace(year=2020) for one in found]),
        ("network.parquet: row 0 is about an interval that the chain has not settled",),
    ),
    "a statistic of nothing": Case(
        "live",
        column("network", "what", lambda found: ["audited", *found[1:]]),
        ("row 0 is about 'audited'",),
    ),
    "a statistic without a height": Case(
        "live",
        column("network", "height", lambda found: [None, *found[1:]]),
        ("row 0 is about settled and has no height",),
    ),
    "a statistic of nobody": Case(
        "live",
        column("network", "node", lambda found: [None, *found[1:]]),
        ("network.parquet, row 0: has no node",),
    ),
    "a column of statistics": Case(
        "live", rows("network", extra_column), ("network.parquet: has other columns",)
    ),
    "statistics of no time": Case(
        "live",
        rows("network", lambda table: table.drop_columns(["interval_start"])),
        ("network.parquet: has other columns",),
    ),
    "endless statistics": Case(
        "live",
        rows("network", lambda table: table.take([0] * 2_000)),
        ("network.parquet: has 2000 rows, this run has at most 1536",),
    ),
    "no statistics": Case("live", put("network.parquet", b"x"), ("network.parquet: cannot be read",)),
    "statistics by another": Case(
        "live",
        lambda run: pq.write_table(pq.read_table(run / "network.parquet"), run / "network.parquet"),
        ("network.parquet: holds the rows",),
    ),
    "more beside a scenario": Case(
        "absent", more_in_scenario, ("scenario.json: is not what running it again gives",)
    ),
    "the same data elsewhere": Case("live", moved_data, free="scenario.json: base"),
    "the same data elsewhere, a home absent": Case("absent", moved_data, free="scenario.json: base"),
    "other bytes by another pyarrow": Case("process", other_writer, free="bills.parquet"),
    "counts of nodes": Case(
        "live", entry("network", "refused", value={"late": 3}), free="manifest.json: network.refused"
    ),
}
"""What such an editor could try next: each check has one that it alone refuses."""

CASES = {
    **{
        f"{name}, homes said to be absent": Case("live", both(edit, SILENT), (what,))
        for name, (edit, what) in TABLES.items()
    },
    **{f"{name}, a home absent": Case("absent", edit, (what,)) for name, (edit, what) in TABLES.items()},
    **{f"{name}, in process": Case("process", edit, (what,)) for name, (edit, what) in TABLES.items()},
    **OTHERS,
    **MORE,
}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_is_refused_or_listed_as_unchecked(name: str, copied: Callable[[str], Path]) -> None:
    case = CASES[name]
    run = copied(case.run)
    assert ws.verify(run)["ok"]
    case.edit(run)
    if name != "a key twice":  # which would be one again
        fit_hashes(run)
    if case.free:
        listed = [what for one in ws.verify(run)["unchecked"] for what in one["what"]]
        assert case.free in listed
        return
    with pytest.raises((WattswapError, P2PError)) as caught:
        ws.verify(run)
    for piece in case.refused:
        assert piece in str(caught.value)


def test_homes_that_were_absent_are_those_of_the_blobs(copied: Callable[[str], Path]) -> None:
    run = copied("absent")
    manifest = manifest_of(run)
    true = manifest["network"]["silent"]
    assert true == ["1780390800 home-2", "1780394400 home-2"]
    for wrong in ([], true[:1], [*true, "1780398000 home-2"], true[::-1]):
        write_manifest(run, manifest | {"network": manifest["network"] | {"silent": wrong}})
        with pytest.raises(WattswapError, match=r"manifest\.json: says network\.silent = "):
            ws.verify(run)


@pytest.mark.parametrize("name", ["live", "process"])
def test_the_command_prints_what_is_unchecked(
    name: str, copied: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(name)
    (run / "report.html").write_text("<h1>All is well</h1>")
    printed = call(capsys, "verify", run, "-q").out
    listed = json.loads(call(capsys, "verify", run, "--json").out)["unchecked"]
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("--  ")] == [
        one["name"] for one in listed
    ]
    assert "--  report     unchecked: report.html: made after the run" in printed
    assert "manifest.json (started, wall_s, clear_ms)" in printed
    assert ("--  statistics" in printed) == ("--  votes" in printed) == (name == "live")


def test_verify_changes_nothing_in_the_folder_of_a_live_run(copied: Callable[[str], Path]) -> None:
    run = copied("live")
    (run / "blobs/half.partial").write_bytes(b"x")
    before = content(run)
    with pytest.raises(WattswapError, match=r"half\.partial: belongs to no batch"):
        ws.verify(run)
    assert content(run) == before
    (run / "blobs/half.partial").unlink()
    assert ws.verify(run)["ok"]
    assert content(run) == {name: data for name, data in before.items() if name != "blobs/half.partial"}
