"""The registry of commands: a file in this folder that registers a command is part of the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

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


class _PlainFlags:
    """Shows a flag in the help without a type, which typer would print as `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters of the command, its own help option among them."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_bool_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class _OneCommand(_PlainFlags, TyperCommand):
    """A command."""


class _Group(_PlainFlags, TyperGroup):
    """A group of commands."""


COMMANDS: Registry[Command] = Registry(
    "command", folders=("wattswap.cli",), group="wattswap.commands", item=Command
)


def command_line() -> typer.Typer:
    """The command line with every registered command."""
    app = typer.Typer(
        name="wattswap",
        cls=_Group,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in sorted(COMMANDS.all().values(), key=lambda one: one.order):
        if isinstance(command.call, typer.Typer):
            for inner in command.call.registered_commands:
                inner.cls = _OneCommand
            app.add_typer(command.call, name=command.name, cls=_Group)
        else:
            app.command(command.name, cls=_OneCommand)(command.call)
    return app
