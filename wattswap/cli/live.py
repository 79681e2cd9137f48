"""The command that runs a scenario with real nodes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    CaseOption,
    JsonOption,
    MechanismOption,
    ModuleOption,
    OutOption,
    QuietOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    WideOption,
    load_scenario,
)
from wattswap.runs.layout import RUNS

if TYPE_CHECKING:
    from wattswap.cli.output import Form


def live(
    scenario: ScenarioArgument,
    intervals: Annotated[
        int | None, typer.Option("--intervals", "-n", min=1, help="Number of intervals to run.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", help="First interval, as in 2016-09-19T04:15Z; default: the scenario's."),
    ] = None,
    pace_s: Annotated[
        float,
        typer.Option("--pace-seconds", min=0, help="Minimum interval duration (0 = as fast as possible)."),
    ] = 0.0,
    validators: Annotated[
        int, typer.Option("--validators", help="Validators, a process each: 4 to 25, or 1 for tests.")
    ] = 4,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Processes that share the homes' nodes.")
    ] = 2,
    gateways: Annotated[
        int, typer.Option("--gateways", min=0, help="Nodes that act for all homes (0 = one node per home).")
    ] = 0,
    mechanism: MechanismOption = None,
    case: CaseOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    module: ModuleOption = None,
    out: OutOption = Path(RUNS),
    compare: Annotated[bool, typer.Option(help="Also run in process, and compare the hashes.")] = True,
    quiet: QuietOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Run a scenario with real nodes on loopback: homes or gateways, an operator, validators that vote."""
    from dataclasses import replace

    from wattswap.cli._summary import basis_lines, print_lines
    from wattswap.cli.output import Progress, form_of, note, print_json
    from wattswap.errors import InvalidScenario, UsageError
    from wattswap.nodes.live import Topology, compare_runs, run_live, run_processes
    from wattswap.runs import engine
    from wattswap.runs.chain_reader import parse_interval
    from wattswap.runs.folder import stored_scenario

    form = form_of(json, wide=wide)
    loaded = load_scenario(scenario, case, settings, seed, mechanism, module)
    start_s = None if at is None else parse_interval(at)

    def started(*nodes: Any) -> Mapping[str, int]:
        if not quiet:  # not before the scenario is known to run
            note("Starting homes, operator and validators as libp2p processes on loopback ...")
        return run_processes(*nodes)

    try:
        topology = Topology(validators, processes, gateways, pace_s, modules=tuple(module or ()))
        with Progress("live", quiet) as progress:
            result = run_live(
                loaded,
                topology=topology,
                intervals=intervals,
                start_s=start_s,
                out=out,
                on_progress=progress,
                run_nodes=started,
            )
    except InvalidScenario as error:
        if at is None:
            raise
        # The scenario was valid as written: the requested time does not fit.
        raise UsageError(*(replace(problem, where="--at", line=None) for problem in error.problems)) from None
    rows = []
    if compare:
        with tempfile.TemporaryDirectory(prefix="wattswap-compare-") as scratch:
            rows = compare_runs(result, engine.run(stored_scenario(result.path), out=scratch))
    network = result.manifest["network"]
    if json:
        facts = {"run": str(result.path), **result.metrics, "network": network, "equal": rows}
        print_json(facts | {"rests_on": result.rests_on})
        return
    _print_network(result.manifest["name"], len(result.table("intervals")), network)
    if compare:
        _print_equal(rows, form)
    print_lines(basis_lines(result.rests_on))
    print(f"  Folder {result.path}")


def _print_network(name: str, intervals: int, network: dict[str, Any]) -> None:
    from wattswap.cli.tables import wrapped

    roles = ", ".join(f"{count} {role}" for role, count in network["roles"].items())
    seconds, finality = network["interval_s"], network["finality_s"]
    print(wrapped(f"{name}: {network['nodes']} libp2p nodes ({roles}), {intervals} intervals", 2))
    times = []
    if seconds["p50"] is not None:
        times.append(f"  {seconds['p50']:.2f} s an interval (95 %: {seconds['p95']:.2f} s)")
    if finality["p50"] is not None:
        times.append(f"  final {finality['p50']:.2f} s after the batch (95 %: {finality['p95']:.2f} s)")
    if times:
        print(wrapped("".join(times), 4))
    print(
        wrapped(
            f"  {network['signed_receipts']} signed receipts, {network['results_by_gossip']} results received by"
            f" gossip, {network['results_by_request']} by request, {network['proofs_checked']} proofs checked by"
            " the homes",
            4,
        )
    )


def _print_equal(rows: list[dict[str, Any]], form: Form) -> None:
    """Print the hashes that are equal, interval by interval; the last ones are left out where they do not fit."""
    from wattswap.cli.tables import Column, fixed, print_columns, wrapped

    columns = [
        Column("orders", [str(row["orders"]) for row in rows]),
        Column("kWh", [fixed(row["traded_kwh"], 3) for row in rows]),
    ]
    for head in ("order book", "clearing", "postings"):
        root = f"{head.removeprefix('order ')}_root"
        columns.append(Column(head, [f"{row[root][:8]} =" for row in rows], right=False))
    key = Column("interval", [row["interval"] for row in rows], right=False)
    print()
    keep = [column.head for column in columns]
    print_columns("Live and in process, hash by hash:", key, columns, keep=keep, wide=form == "wide")
    print(wrapped(f"Equal in all {len(rows)} intervals: order-book roots, clearings and postings.", 2))


COMMANDS.register(Command("live", live, 14))
