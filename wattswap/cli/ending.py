"""How a command ends: with an exit code, and a sentence where it fails, is interrupted or nobody reads it."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, suppress
from typing import Any, TextIO, cast

from market.errors import one_line
from wattswap.errors import (
    ExitCode,
    as_json,
    exit_code_of,
    is_expected,
    of_the_system,
    render,
    was_interrupted,
)


class _Notes:
    """Standard error, which nobody needs to read: what it does not take changes neither the work nor the exit code.

    A verification whose progress nobody reads must still find what it finds.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError:
            _discard(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            _discard(self._stream)


def ended(command: Callable[[], int], *, debug: bool = False, as_json_object: bool = False) -> int:
    """Call a command and return its exit code; whatever it raises is reported, and has one of the table.

    Args:
        debug: Print a traceback with an error.
        as_json_object: Print an error as one JSON object on standard output.
    """
    _open_closed()
    with redirect_stderr(cast("TextIO", _Notes(sys.stderr))):
        return _ended(command, debug, as_json_object)


def _ended(command: Callable[[], int], debug: bool, as_json_object: bool) -> int:
    try:
        code = command()
        try:
            sys.stdout.flush()
        except BrokenPipeError:  # nobody reads the rest, but the code counts
            _discard(sys.stdout)
        return code
    except KeyboardInterrupt:
        return _interrupted(as_json_object)
    except (BrokenPipeError, SystemExit) as error:
        from wattswap.plugins import at_fault

        fault = at_fault(error) if isinstance(error, SystemExit) else None
        if fault is not None:  # a plug-in must not end a command as if it had succeeded
            return _report(fault, debug, as_json_object)
        # The reader of a pipe (head, less) has closed it, which is no error; click then exits by itself.
        _discard(sys.stdout)
        return 0
    except Exception as error:
        if was_interrupted(error):
            return _interrupted(as_json_object)
        return _report(error, debug, as_json_object)


def _open_closed() -> None:
    """Let what is printed go nowhere where the caller has closed an output, as `>&-` does in a shell."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _interrupted(as_json_object: bool) -> int:
    if as_json_object:
        print_error(as_json(KeyboardInterrupt()))
    else:
        print("Interrupted.", file=sys.stderr)
    return int(ExitCode.INTERRUPTED)


def _discard(stream: TextIO) -> None:
    """Let what is left of an output go nowhere: the interpreter would complain of it as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _report(error: Exception, debug: bool, as_json_object: bool) -> int:
    from wattswap.cli.output import note

    if debug:
        traceback.print_exc()
    if isinstance(error, OSError) and error.filename is None and not is_expected(error):  # of standard output
        as_json_object = False
        with suppress(OSError):
            _discard(sys.stdout)
    error = of_the_system(error) or error
    if not is_expected(error):
        from wattswap.plugins import at_fault

        error = at_fault(error) or error
    if is_expected(error):
        if as_json_object:
            print_error(as_json(error))
        else:
            note(render(error))
        return int(exit_code_of(error))
    notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
    message = f"unexpected {one_line(error)}{notes}. This is a bug of wattswap; {_kept_details()}"
    if as_json_object:
        print_error({"error": {"code": int(ExitCode.BUG), "message": message}})
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


def print_error(value: object) -> None:
    """Print the object of an error; its exit code counts, also where nobody reads the object, or a disk is full."""
    try:
        print(json.dumps(value, ensure_ascii=False), flush=True)
    except OSError:
        _discard(sys.stdout)
