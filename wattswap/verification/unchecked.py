"""What verify cannot check, and says so: facts of the machine and its clocks, and what no hash on the chain covers."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from wattswap.runs.layout import CHAIN, LOG, MANIFEST, NETWORK, OMISSIONS, REPORT, SCENARIO, TABLE_FILES


class Unchecked(TypedDict):
    """Parts of a run folder that are free.

    Args:
        name: One word for them.
        what: Each as FILE, or as "FILE: ENTRY".
        reason: Why they cannot be checked.
    """

    name: str
    what: list[str]
    reason: str


def unchecked(folder: Path, *, live: bool, same_writer: bool) -> list[Unchecked]:
    """List what was not checked in a folder that has been verified.

    Args:
        live: Whether it is of a live run.
        same_writer: Whether the same version of pyarrow wrote its tables.
    """
    found = [
        _free(
            "times",
            [f"{MANIFEST}: {name}" for name in ("started", "wall_s", "clear_ms")],
            "measured when it ran; no clock shows it again",
        ),
        _free(
            "machine",
            [f"{MANIFEST}: {name}" for name in ("platform", "versions", "source")],
            "what the machine noted of itself; other versions lead to the same results or are refused",
        ),
        _free("base", [f"{SCENARIO}: base"], "where the data were found; their hashes were checked"),
        _free("unused", [CHAIN], "bytes of the database that belong to no row; every row was checked"),
        _free("log", [LOG], "notes of the program, which nothing is computed from"),
    ]
    if (folder / REPORT).exists():
        cure = "`wattswap report RUN --force` writes it again"
        found.append(_free("report", [REPORT], f"made after the run, and no part of it; {cure}"))
    if live:
        found += _of_a_network()
    if not same_writer:
        tables = [*TABLE_FILES, *([NETWORK] if live else [])]
        what = "bytes that belong to no row or column: another pyarrow wrote them, by the manifest"
        found.append(_free("encoding", tables, what))
    return found


def _of_a_network() -> list[Unchecked]:
    """What a live run knows only from its nodes."""
    entries = ("refused", "missed", "broken_promises", "restarts", "nodes", "roles")
    return [
        _free(
            "statistics",
            [NETWORK, *(f"{MANIFEST}: network.{name}" for name in entries)],
            "what nodes counted and measured themselves, without a signature; form, heights and totals were checked",
        ),
        _free(
            "votes",
            [f"{CHAIN}: time, round and votes of blocks"],
            "the network's own: a quorum of valid signatures was checked, and there can have been more",
        ),
        _free(
            "end",
            [
                f"{CHAIN}: blocks above the last interval's",
                f"{MANIFEST}: chain.blocks",
                f"{MANIFEST}: chain.head",
            ],
            "cut off, they leave no trace, and a conviction may be among them; those that are there were checked",
        ),
        _free(
            "omissions",
            [OMISSIONS],
            "a proof that was removed leaves no trace; those that are there were checked",
        ),
    ]


def _free(name: str, what: list[str], reason: str) -> Unchecked:
    return {"name": name, "what": what, "reason": reason}
