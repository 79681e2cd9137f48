"""The command that continues a run."""

from __future__ import annotations

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import (
    JsonOption,
    ModuleOption,
    QuietOption,
    RunArgument,
    WideOption,
    import_modules,
)


def resume(
    run: RunArgument,
    module: ModuleOption = None,
    quiet: QuietOption = False,
    wide: WideOption = False,
    json: JsonOption = False,
) -> None:
    """Continue a run that was interrupted or killed; the hashes are those of an uninterrupted one."""
    from wattswap.cli._summary import print_result
    from wattswap.cli.output import Progress, form_of, searches_told
    from wattswap.runs import engine

    form = form_of(json, wide=wide)
    import_modules(module)
    with Progress("resumed", quiet) as progress, searches_told(progress.note, quiet=quiet):
        result = engine.resume(run, on_progress=progress)
    print_result(result, form)


COMMANDS.register(Command("resume", resume, 7))
