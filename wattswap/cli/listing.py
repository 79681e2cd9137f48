"""The command that lists what can be chosen by name."""

from __future__ import annotations

from typing import Annotated

import typer

from wattswap.cli.command import COMMANDS, Command
from wattswap.cli.options import JsonOption, ModuleOption, import_modules


def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="A kind: mechanisms, formats, strategies, samples, ...; default: all kinds.",
            metavar="WHAT",
        ),
    ] = "",
    module: ModuleOption = None,
    json: JsonOption = False,
) -> None:
    """List what can be chosen by name, with one line on each."""
    from wattswap.catalogue import catalogue
    from wattswap.cli.output import note, print_json
    from wattswap.cli.tables import ONE_LINE, wrapped
    from wattswap.plugins import broken_plugins

    import_modules(module)
    entries = catalogue(what)
    for broken in broken_plugins():
        note(f"warning: {broken}")
    if json:
        print_json({what: entries})
        return
    width = max((len(entry["name"]) for entry in entries), default=0)
    for entry in entries:
        print(wrapped(f"{entry['name']:<{width}}  {entry['summary']}", width + 2, ONE_LINE))
        if entry.get("parameters"):
            print(wrapped(f"{'':<{width}}    {entry['parameters']}", width + 4, ONE_LINE))
        if what == "formats" and entry.get("source"):
            print(wrapped(f"{'':<{width}}    source: {entry['source']}", width + 4, ONE_LINE))
        if entry.get("from"):
            print(wrapped(f"{'':<{width}}    from {entry['from']}", width + 4, ONE_LINE))


COMMANDS.register(Command("list", list_, 4))
