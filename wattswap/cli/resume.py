"""The command that continues a run."""

from __future__ import annotations

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, QuietOption, RunArgument, import_modules


def resume(
    run: RunArgument, module: ModuleOption = None, quiet: QuietOption = False, json: JsonOption = False
) -> None:
    """Continue a run that was interrupted or killed; the hashes are those of an uninterrupted one."""
    from wattswap.cli.output import Progress, print_result
    from wattswap.runs import engine

    import_modules(module)
    print_result(engine.resume(run, on_progress=Progress("resumed", quiet)), json)


COMMANDS.register(Command("resume", resume, 7))
