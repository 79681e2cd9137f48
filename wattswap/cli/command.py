"""The registry of commands: a file in this folder that registers a command is part of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer

from market.registry import Registry


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a group of commands.

    Args:
        name: As typed.
        call: A function whose parameters typer reads, or a group of commands of its own.
        order: Place in the help; equal places are in alphabetical order.
    """

    name: str
    call: Callable[..., Any] | typer.Typer
    order: int = 1_000

    @property
    def summary(self) -> str:
        """Its purpose, in one line."""
        text = self.call.info.help if isinstance(self.call, typer.Typer) else self.call.__doc__
        return str(text or "").strip().partition("\n")[0]


COMMANDS: Registry[Command] = Registry(
    "command", folders=("wattswap.cli",), group="wattswap.commands", item=Command
)


def command_line() -> typer.Typer:
    """The command line with every registered command."""
    app = typer.Typer(
        name="wattswap",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in sorted(COMMANDS.all().values(), key=lambda one: one.order):
        if isinstance(command.call, typer.Typer):
            app.add_typer(command.call, name=command.name)
        else:
            app.command(command.name)(command.call)
    return app
