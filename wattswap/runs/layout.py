"""The layout of a run folder: all file names, which the folders of nodes share.

runs/DATE_NAME_DIGEST/           (.partial behind the name until the run is finished)
    manifest.json  scenario.json  genesis.bin  chain.db  metrics.json  log.jsonl
    orders.parquet  readings.parquet  postings.parquet  intervals.parquet  bills.parquet
    parts/  checkpoint.json      while it runs
    network.parquet  members.bin  blobs/  omissions/    of a live run
    report.html                  when asked for
"""

from __future__ import annotations

RUNS, COMPARISONS = "runs", "comparisons"
"""Where the folders of runs and comparisons are made unless another place is named."""

MANIFEST = "manifest.json"
SCENARIO = "scenario.json"
GENESIS = "genesis.bin"
MEMBERS = "members.bin"
"""List of the homes with their keys, beside the genesis of a live run and of each node; never of a run in process."""
CHAIN = "chain.db"
NODE_DATA = "data"
"""Folder of a node with its chain."""
NODE_CONFIG = "config.toml"
"""File that marks the folder of a node."""
METRICS = "metrics.json"
LOG = "log.jsonl"
CHECKPOINT = "checkpoint.json"
LOCK = "lock"
PARTS = "parts"
PARTIAL = ".partial"
"""Behind the name of a folder whose run is not finished."""
REPORT = "report.html"

TABLES = ("orders", "readings", "postings", "intervals")
"""Tables with rows for each interval, written in parts."""
TABLE_NAMES = (*TABLES, "bills")

NETWORK = "network.parquet"
"""Table of a live run: statistics by node and interval."""
BLOBS = "blobs"
"""Folder with the signed messages of each interval, of a live run and of a node that keeps them."""
OMISSIONS = "omissions"
"""Folder of a live run with the proofs of broken promises, where there are any."""
LIVE_MARK = "live"
"""File that marks an unfinished live run, whose homes' state is not in the folder."""

COMPARISON = "comparison.json"
"""File that marks the folder of a comparison."""

IN_PROCESS, LIVE = "in process", "live"
"""The drivers of a run, as the manifest names them."""


def table_file(name: str) -> str:
    """File of a table."""
    return f"{name}.parquet"


TABLE_FILES = tuple(table_file(name) for name in TABLE_NAMES)
HASHED_FILES = (*TABLE_FILES, METRICS, SCENARIO, GENESIS, CHAIN)
"""Files of every run whose hashes are in the manifest."""


def hashed_files(driver: str) -> tuple[str, ...]:
    """Names of the files whose hashes are in the manifest of a run."""
    return (*HASHED_FILES, NETWORK, MEMBERS) if driver == LIVE else HASHED_FILES
