"""Commands on a network of nodes: network status."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from market.errors import counted
from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, WideOption
from wattswap.errors import ExitCode

if TYPE_CHECKING:
    from wattswap.nodes.status import Target

app = typer.Typer(help="Inspect a network of nodes.", no_args_is_help=True)
KEPT = ("ready", "height", "last block s ago", "role", "peers", "refused", "head")
"""Columns that stay on a narrow screen, the most important first."""
WITH_CHAIN = ("validator", "observer", "operator")
"""Roles that store the chain."""
CLOCK_APART_S = 1.0
"""From which offset on a clock is reported. [s]"""
_LIKE_AN_ADDRESS = re.compile(r"^/(ip4|ip6|dns)|/(tcp|udp|p2p)/|:[0-9]+$|^12D3|^[0-9.]+$")
"""What people write where they mean a node on the network and not a folder."""
NODE_DOWN = ExitCode.CHECK_FAILED
"""Exit code of `network status` if a node is unreachable."""


@app.callback()
def _family() -> None:
    """Inspect a network of nodes."""  # without a callback, typer merges a group of one command


@app.command()
def status(
    where: Annotated[
        list[str],
        typer.Argument(
            help="A folder of nodes, a node's folder, or addresses (with --genesis).",
            metavar="DIR|ADDRESS...",
        ),
    ],
    genesis: Annotated[
        Path | None, typer.Option("--genesis", help="Genesis of the chain, where addresses are given.")
    ] = None,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Show the status of every node; exit code 6 if any is unreachable."""
    from p2p.transports.libp2p import open_libp2p
    from wattswap.cli.output import print_json
    from wattswap.nodes.status import rows_of, survey

    chain_id, targets = _targets(where, genesis)
    rows = rows_of(survey(chain_id, targets, open_libp2p))
    if json:
        print_json({"chain_id": chain_id.hex(), "up": all(row["up"] for row in rows), "nodes": rows})
    else:
        print_status(chain_id, rows, wide)
    if not all(row["up"] for row in rows):
        raise typer.Exit(NODE_DOWN)


def _targets(where: list[str], genesis: Path | None) -> tuple[bytes, list[Target]]:
    from p2p.blocks.genesis import read_genesis
    from wattswap.errors import Problem, UsageError
    from wattswap.nodes.config import ADDRESS_FORM, host_of
    from wattswap.nodes.status import Target, targets_of

    folders = [place for place in where if not _may_be_address(place, genesis)]
    if folders and len(where) > 1:
        raise UsageError.of(
            "network status", "takes one folder, or addresses", "ask for one folder at a time"
        )
    if folders and genesis is not None:
        cure = "leave it out: the folder names the chain"
        raise UsageError.of("--genesis", "goes with addresses, not with a folder", cure)
    if folders:
        return targets_of(Path(folders[0]))
    wrong = [place for place in where if not host_of(place)]
    if wrong:
        what, cure = "is not an address of a node", f"write {ADDRESS_FORM}"
        raise UsageError(*(Problem(place or "''", what, cure) for place in wrong))
    if genesis is None:
        cure = "add --genesis FILE, any node's genesis.bin"
        raise UsageError.of("--genesis", "is needed with addresses, to name the chain", cure)
    return read_genesis(genesis).chain_id, [Target(address, "", address) for address in where]


def _may_be_address(place: str, genesis: Path | None) -> bool:
    """Whether a text is meant as an address: nothing is there, and it is like one, or goes with a genesis."""
    if not place:  # pathlib takes an empty text for the folder that the process is in
        return True
    return not Path(place).exists() and (genesis is not None or _LIKE_AN_ADDRESS.search(place) is not None)


def print_status(chain_id: bytes, rows: list[dict[str, Any]], wide: bool) -> None:
    """Print a row a node, the reasons of refusals, and what is wrong with those that are down."""
    import pandas as pd

    from wattswap.cli.output import note
    from wattswap.cli.tables import print_table, wrapped

    up = [row for row in rows if row["up"]]
    frame = pd.DataFrame(
        {
            "role": [row["role"] for row in rows],
            "height": ["" if row["height"] is None else str(row["height"]) for row in rows],
            "head": [(row["head"] or "")[:16] for row in rows],
            "ready": [{True: "yes", False: "no", None: "down"}[row["ready"]] for row in rows],
            "peers": [_shown(row["peers"]) for row in rows],
            "refused": [_shown(row["refused"]) for row in rows],
            "last block s ago": [_age(row) for row in rows],
        },
        index=pd.Index([row["node"] for row in rows], name="node"),
    )
    answer = "answers" if len(up) == 1 else "answer"
    title = f"Chain {chain_id.hex()[:16]}: {len(up)} of {counted(len(rows), 'node')} {answer}"
    print_table(title, frame, keep=KEPT, wide=wide)
    for row in rows:
        if row["refused"]:
            why = ", ".join(f"{code} {times}" for code, times in row["refused_by_code"].items())
            most = ", ".join(f"{code} {times} of {peer}" for peer, code, times in row["refused_most"][:3])
            whose = f"; most: {most}" if most else ""
            refused = counted(row["refused"], "message")
            print(wrapped(f"{row['node']} refused {refused} since it started: {why}{whose}", 2))
    for row in rows:
        if row["up"] and abs(row["clock_ahead_s"]) >= CLOCK_APART_S:
            where = "ahead of" if row["clock_ahead_s"] > 0 else "behind"
            apart = f"{row['node']}: its clock is {abs(row['clock_ahead_s']):.1f} s {where} that of the validators"
            note(f"{apart}; its messages come too {'early' if row['clock_ahead_s'] > 0 else 'late'}")
    for row in rows:
        if not row["up"]:
            note(f"{row['node']} is down: {row['trouble']}")


def _age(row: dict[str, Any]) -> str:
    """Seconds since the newest block; a word where there is none yet."""
    if row["last_block_age_s"] is None and row["height"] == 0 and row["role"] in WITH_CHAIN:
        return "no block yet"
    return _shown(row["last_block_age_s"])


def _shown(value: int | None) -> str:
    return "" if value is None else str(value)


COMMANDS.register(Command("network", app, 5))
