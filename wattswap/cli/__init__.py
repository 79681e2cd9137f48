"""The command line: one file a command; heavy packages are imported inside the command that needs them.

Data goes to stdout, everything else to stderr. Exit codes are those of docs/reference/exit-codes.md.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

from wattswap.cli.command import command_line
from wattswap.cli.ending import ended, print_error
from wattswap.errors import ExitCode
from wattswap.installation import VERSION

UsageMistake: Any = typer.BadParameter.__mro__[1]
"""Click's UsageError; newer versions of typer vendor click, so it cannot be imported by name."""

app = command_line()


def _print_version(asked: bool) -> None:
    if asked:
        print(VERSION)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print a traceback with an error.")] = False,
) -> None:
    """Peer-to-peer energy trading: simulate a neighbourhood, clear its market, settle it, prove it."""


@cache
def command() -> Any:
    """The commands with their parameters read, once for all calls of a process."""
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a code of the table."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in argv
    argv = [a for a in argv if a != "--debug"]
    sys.exit(_run(argv, debug, "--json" in argv))


def _run(argv: list[str], debug: bool, as_json_object: bool) -> int:
    return ended(lambda: _called(argv, as_json_object), debug=debug, as_json_object=as_json_object)


def _called(argv: list[str], as_json_object: bool) -> int:
    """Call the command that the words name, and return its exit code."""
    try:
        result = command()(args=argv, prog_name="wattswap", standalone_mode=False)
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        raise KeyboardInterrupt from None
    except UsageMistake as error:
        error.message = error.message.replace("Value error, ", "")  # what pydantic puts before a reason
        if as_json_object:
            print_error({"error": {"code": int(ExitCode.USAGE), "message": error.format_message()}})
        else:
            _show(error)
        return int(ExitCode.USAGE)
    if result == int(ExitCode.INTERRUPTED):  # typer turns Ctrl-C into this
        raise KeyboardInterrupt
    return int(result) if isinstance(result, int) else 0


def _show(mistake: Any) -> None:
    """Print a mistake of usage as click words it, in lines that fit."""
    from wattswap.cli.output import note

    words = io.StringIO()
    mistake.show(file=words)
    note(words.getvalue().rstrip("\n"))
