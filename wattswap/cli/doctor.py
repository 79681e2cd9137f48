"""The command that checks the installation."""

from __future__ import annotations

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption


def doctor(json: JsonOption = False) -> None:
    """Check this installation: Python, packages, solver, libp2p, shadowed packages, the bundled data."""
    from wattswap.cli.output import print_json
    from wattswap.doctor import examine
    from wattswap.errors import CheckFailed, ExitCode

    findings = examine()
    broken = [finding for finding in findings if not finding.ok]
    if json:
        print_json({"ok": not broken, "checks": [finding._asdict() for finding in findings]})
        raise typer.Exit(int(ExitCode.CHECK_FAILED if broken else ExitCode.OK))
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.what:<22} {finding.detail}")
    if broken:
        raise CheckFailed.of("doctor", f"{len(broken)} of {len(findings)} checks failed", broken[0].cure)


COMMANDS.register(Command("doctor", doctor, 5))
