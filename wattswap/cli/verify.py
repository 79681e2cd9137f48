"""The command that verifies a run or a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, QuietOption, RunArgument, import_modules


def verify(
    run: RunArgument, module: ModuleOption = None, quiet: QuietOption = False, json: JsonOption = False
) -> None:
    """Verify a run or a comparison: check the stored files, then recompute all of it from the scenario."""
    from wattswap.cli.output import Progress, note, print_json, searches_told
    from wattswap.cli.tables import wrapped
    from wattswap.runs.layout import COMPARISON
    from wattswap.verification.run import verify_run

    import_modules(module)
    if (run / COMPARISON).is_file():
        _verify_comparison(run, json)
        return

    with Progress("recompute", quiet) as progress, searches_told(progress.note, quiet=quiet):
        report = verify_run(run, on_progress=progress)
    if json:
        print_json(report)
        return
    for check, detail in report["checks"].items():
        print(wrapped(f"{'--' if detail.startswith('left out') else 'ok'}  {check:<10} {detail}", 15))
    for one in report["unchecked"]:
        print(wrapped(f"--  {one['name']:<10} unchecked: {_places(one['what'])}: {one['reason']}", 15))
    note("Verified: everything marked ok was recomputed from the files and holds; nothing marked -- was.")


def _places(what: Sequence[str]) -> str:
    """Files, each with its entries, as `manifest.json (started, wall_s)`."""
    entries: dict[str, list[str]] = {}
    for file, _, entry in (one.partition(": ") for one in what):
        entries.setdefault(file, []).extend([entry] if entry else [])
    return ", ".join(f"{file} ({', '.join(found)})" if found else file for file, found in entries.items())


def _verify_comparison(folder: Path, json: bool) -> None:
    from wattswap.cli.output import note, print_json
    from wattswap.comparison.runner import verify as verify_comparison

    report = verify_comparison(folder)
    if json:
        print_json(report)
        return
    print(f"ok  cells      {report['cells']} recomputed from the scenario, every bill and interval equal")
    note("Verified: everything but the times was recomputed and holds.")


COMMANDS.register(Command("verify", verify, 9))
