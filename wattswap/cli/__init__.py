"""The command line: one file a command; heavy packages are imported inside the command that needs them.

Data goes to stdout, everything else to stderr. Exit codes are those of docs/reference/exit-codes.md.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

import typer

from market.errors import one_line
from wattswap.cli.command import command_line
from wattswap.errors import (
    ExitCode,
    as_json,
    exit_code_of,
    is_expected,
    of_the_system,
    render,
    was_interrupted,
)
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
    try:
        result = command()(args=argv, prog_name="wattswap", standalone_mode=False)
        sys.stdout.flush()
        if result == int(ExitCode.INTERRUPTED):  # typer turns Ctrl-C into this
            raise KeyboardInterrupt
        return int(result) if isinstance(result, int) else 0
    except typer.Exit as done:
        return done.exit_code
    except UsageMistake as error:
        error.message = error.message.replace("Value error, ", "")  # what pydantic puts before a reason
        if as_json_object:
            _print_json({"error": {"code": int(ExitCode.USAGE), "message": error.format_message()}})
        else:
            _show(error)
        return int(ExitCode.USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted(as_json_object)
    except (BrokenPipeError, SystemExit) as error:
        from wattswap.plugins import at_fault

        fault = at_fault(error) if isinstance(error, SystemExit) else None
        if fault is not None:  # a plug-in must not end a command as if it had succeeded
            return _report(fault, debug, as_json_object)
        # The reader of a pipe (head, less) has closed it, which is no error; click then exits by itself.
        _discard_output()
        return 0
    except Exception as error:
        if was_interrupted(error):
            return _interrupted(as_json_object)
        return _report(error, debug, as_json_object)


def _show(mistake: Any) -> None:
    """Print a mistake of usage as click words it, in lines that fit."""
    from wattswap.cli.output import note

    words = io.StringIO()
    mistake.show(file=words)
    note(words.getvalue().rstrip("\n"))


def _interrupted(as_json_object: bool) -> int:
    if as_json_object:
        _print_json(as_json(KeyboardInterrupt()))
    else:
        print("Interrupted.", file=sys.stderr)
    return int(ExitCode.INTERRUPTED)


def _discard_output() -> None:
    """Let what is left of standard output go nowhere: the interpreter would complain of it as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: Exception, debug: bool, as_json_object: bool) -> int:
    from wattswap.cli.output import note

    if debug:
        traceback.print_exc()
    if isinstance(error, OSError) and error.filename is None and not is_expected(error):  # of standard output
        as_json_object = False
        with suppress(OSError):
            _discard_output()
    error = of_the_system(error) or error
    if not is_expected(error):
        from wattswap.plugins import at_fault

        error = at_fault(error) or error
    if is_expected(error):
        if as_json_object:
            _print_json(as_json(error))
        else:
            note(render(error))
        return int(exit_code_of(error))
    notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    message = f"unexpected {one_line(error)}{notes}. This is a bug of wattswap; {_kept_details()}"
    if as_json_object:
        _print_json({"error": {"code": int(ExitCode.BUG), "message": message}})
    else:
        note(f"Error: {message}")
    return int(ExitCode.BUG)


def _kept_details() -> str:
    """Write the traceback of the error in hand into a file, and say where."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="wattswap-crash-", suffix=".txt", delete=False) as file:
            traceback.print_exc(file=file)
    except OSError:  # no folder for temporary files, or a full one
        return "the option --debug shows the details"
    return f"the details are in {file.name}"


def _print_json(value: object) -> None:
    """Print the object of an error; its exit code counts, also where nobody reads the object."""
    try:
        print(json.dumps(value, ensure_ascii=False), flush=True)
    except BrokenPipeError:
        _discard_output()
