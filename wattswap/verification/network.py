"""The statistics of a live run: of their own form, no more than nodes can know, and as the manifest sums them up."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from p2p.blocks.genesis import Genesis
from wattswap.errors import Problem, VerificationFailed
from wattswap.runs.chain_reader import open_chain, settled, stamp
from wattswap.runs.layout import MANIFEST, NETWORK
from wattswap.runs.stored import CURE
from wattswap.verification.differences import difference

if TYPE_CHECKING:
    from wattswap.nodes.report import Line

WHAT: Final[Mapping[str, tuple[str, ...]]] = {
    "settled": ("height", "round"),
    "collected": ("orders", "readings", "gate_s", "work_s"),
    "lived": ("receipts", "late", "by_gossip", "proofs", "receipt_s", "result_s"),
}
"""What a line is about, and the columns that it then fills."""
LINES_MAX: Final = 64
"""Lines of an interval for each home and node of the genesis, at most: each has three, and more after a restart."""
ALWAYS: Final = ("node", "what", "at")


def check_network(folder: Path, genesis: Genesis, manifest: dict[str, Any], same_writer: bool) -> str:
    """Check the table of statistics and the manifest's totals: all that does not rest on the nodes' own clocks.

    Args:
        folder: Of a run whose chain has been verified.
        genesis: Of the run.
        manifest: Of the run.
        same_writer: Whether the same version of pyarrow wrote the table.

    Raises:
        VerificationFailed: Names every row, column or entry that does not fit.
    """
    with open_chain(folder) as store:
        heights = {args.interval_start: height for height, args in settled(store)}
    who = genesis.members + len(genesis.authorities) + len(genesis.operators)
    lines = _read(folder / NETWORK, same_writer, LINES_MAX * who * len(heights))
    facts = manifest["network"]
    problems = [
        *(Problem(str(folder / NETWORK), what, CURE) for what in _wrong_rows(lines, heights)),
        *(Problem(str(folder / MANIFEST), what, CURE) for what in _wrong_totals(lines, facts)),
        *(Problem(str(folder / MANIFEST), what, CURE) for what in _wrong_roles(lines, facts, genesis)),
    ]
    if problems:
        raise VerificationFailed(*problems)
    return f"{len(lines)} lines of statistics, of which the manifest has the totals"


def _read(path: Path, same_writer: bool, rows_max: int) -> list[Line]:
    """The lines of the table, which must be the table that these lines make.

    Args:
        rows_max: Most rows; some hundred million that are all the same fit into a small file, and into no memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from wattswap.nodes.report import lines_of, write_network

    try:
        schema = pq.read_schema(path)
        about = pq.read_metadata(path)
        rows = sum(about.row_group(i).num_rows for i in range(about.num_row_groups))
        if rows > rows_max:
            raise VerificationFailed.of(str(path), f"has {rows} rows, this run has at most {rows_max}", CURE)
        stored = pq.read_table(path)
        with tempfile.TemporaryDirectory(prefix="wattswap-verify-") as scratch:
            new = Path(scratch)
            write_network(new, [])
            if not schema.equals(pq.read_schema(new / NETWORK), check_metadata=True):
                what = f"has other columns, types or metadata: {', '.join(schema.names)}"
                raise VerificationFailed.of(str(path), what, CURE)
            lines = lines_of(stored)
            for row, line in enumerate(lines):
                missing = next((name for name in ALWAYS if name not in line), None)
                if missing is not None:
                    raise VerificationFailed.of(f"{path}, row {row}", f"has no {missing}", CURE)
            write_network(new, lines)
            different = difference(path, new / NETWORK, same_writer)
    except (OSError, ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise VerificationFailed.of(str(path), f"cannot be read: {error}", CURE) from None
    if different is not None:
        raise VerificationFailed.of(str(path), different, CURE)
    return lines


def _wrong_rows(lines: list[Line], heights: dict[int, int]) -> Iterator[str]:
    for row, line in enumerate(lines):
        start_s, what = line["interval_start"], line["what"]
        if start_s not in heights:
            yield f"row {row} is about an interval that the chain has not settled"
        elif what not in WHAT:
            yield f"row {row} is about {what!r}; it must be one of: {', '.join(WHAT)}"
        elif missing := [name for name in WHAT[what] if name not in line]:
            yield f"row {row} is about {what} and has no {missing[0]}"
        elif what == "settled" and line["height"] != heights[start_s]:
            yield (
                f"row {row}: height is {line['height']}, but {stamp(start_s)} is settled in block {heights[start_s]}"
            )


def _wrong_totals(lines: list[Line], facts: dict[str, Any]) -> Iterator[str]:
    from wattswap.nodes.report import measured

    for line in lines:
        if line["what"] not in WHAT or any(name not in line for name in WHAT[line["what"]]):
            return  # named as a row, and without totals
    for name, value in measured(lines).items():
        says, must = json.dumps(facts[name]), json.dumps(value)
        if says != must:
            yield f"says network.{name} = {says}, but the lines of {NETWORK} give {must}"


def _wrong_roles(lines: list[Line], facts: dict[str, Any], genesis: Genesis) -> Iterator[str]:
    """A node writes no line before its first interval: there can be more nodes than the table has, and not fewer."""
    from wattswap.nodes.config import Role

    roles = facts["roles"]
    musts = {"validator": len(genesis.authorities), "operator": len(genesis.operators)}
    if "household" in roles:
        musts["household"] = genesis.members
    for name, must in musts.items():
        if roles.get(name, 0) != must:
            yield f"says network.roles.{name} = {roles.get(name)}, it must be {must}"
    for name in sorted(roles.keys() - set(get_args(Role))):
        yield f"says network.roles.{name}, which is no role of a node"
    if facts["nodes"] != sum(roles.values()):
        yield f"says network.nodes = {facts['nodes']}, its roles add up to {sum(roles.values())}"
    seen = len({line["node"] for line in lines})
    if seen > facts["nodes"]:
        yield f"says network.nodes = {facts['nodes']}, {seen} have lines in {NETWORK}"
