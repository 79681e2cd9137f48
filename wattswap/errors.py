"""Errors for users: what, where, what to do, and the exit code of the process."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

from market.errors import did_you_mean, one_line, printable


class ExitCode(IntEnum):
    """Exit codes of every `wattswap` command; docs/reference/exit-codes.md explains them. Stable."""

    OK = 0
    BUG = 1
    USAGE = 2
    INVALID = 3
    INFEASIBLE = 4
    VERIFY_FAILED = 5
    CHECK_FAILED = 6
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Args:
        where: The place: `street.toml:12: tariff.import_per_kwh`, a folder, a block; may be empty.
        message: What is wrong, without a full stop.
        cure: What to do; empty where the message says it.
        line: Line in the file that `where` names, from 1; None where there is none.
        key: Key path in that file; None where there is none.
    """

    where: str
    message: str
    cure: str = ""
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        cure = f"; {self.cure}" if self.cure else ""
        return f"{place}{self.message}{cure}"


class WattswapError(Exception):
    """Base of all errors with a sentence for the user; raised once with every problem found."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    def __init__(self, *problems: Problem) -> None:
        self.problems: list[Problem] = list(problems)
        super().__init__("\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[type[Self], tuple[Problem, ...], dict[str, Any]]:
        """Rebuild it from its problems in another process, with its notes."""
        return type(self), tuple(self.problems), self.__dict__

    @classmethod
    def of(cls, where: str, message: str, cure: str = "") -> Self:
        """Build the error of a single problem."""
        return cls(Problem(where, message, cure))


class UsageError(WattswapError):
    """An invalid command line, beyond what the argument parser detects."""

    exit_code = ExitCode.USAGE


class InvalidScenario(WattswapError):
    """A scenario file, case or `--set` that breaks the rules of docs/reference/scenario.md.

    Attributes:
        rest: The scenario without its faulty keys, for checks that need its data; None where there is none.
    """

    exit_code = ExitCode.INVALID
    rest: Any = None


class InvalidData(WattswapError):
    """A meter file, price series, order book or message that cannot be used."""

    exit_code = ExitCode.INVALID


class RunNotFound(WattswapError):
    """A run folder that does not exist, or a folder that is not a run."""

    exit_code = ExitCode.INVALID


class RunBusy(WattswapError):
    """A run folder that another process is working on."""

    exit_code = ExitCode.INVALID


class AlreadyExists(WattswapError):
    """A file or folder that would be overwritten; nothing is ever overwritten."""

    exit_code = ExitCode.INVALID


class Infeasible(WattswapError):
    """A problem without a solution, or a solver that is not installed."""

    exit_code = ExitCode.INFEASIBLE


class VerificationFailed(WattswapError):
    """A chain, table or replay that does not match what was committed to."""

    exit_code = ExitCode.VERIFY_FAILED


class CheckFailed(WattswapError):
    """A condition the user asked to be checked, which does not hold."""

    exit_code = ExitCode.CHECK_FAILED


class Interrupted(WattswapError):
    """SIGINT after the checkpoint was written; says which command continues."""

    exit_code = ExitCode.INTERRUPTED


_ELSEWHERE = "name another place, or fix its permissions"
_ROOM = "make room there, or name another place"
_CURES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EIO: "the disk fails: name another place",
    errno.ENOENT: "a folder or file has gone or never was there: check the path",
    errno.ENOTDIR: "a file is where a folder is wanted: name another place",
    errno.EISDIR: "it is a folder: name a file",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOTCONN: "the network drive is away: connect it again",
    errno.ESTALE: "the network drive is away: connect it again",
}
"""What to do about an error of the system that names a file."""

_UNNAMED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Of an output that has no name, as standard output that is sent into a file of a full disk."""


def words_of(error: OSError) -> tuple[str, str, str]:
    """Where an error of the system is, what it is and what to do."""
    file = error.filename2 or error.filename  # of a copy the target, where the room is lacking
    where = "the output" if file is None else str(file)
    return where, str(error.strerror), _CURES.get(error.errno or 0, _ELSEWHERE)


def of_the_system(error: BaseException) -> InvalidData | None:
    """A disk, a right or a folder that is not as it should be, as an error; None for what is a bug.

    Notes on it follow what to do.
    """
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _UNNAMED):
        where, what, cure = words_of(error)
        return InvalidData.of(where, what, "; ".join([cure, *getattr(error, "__notes__", ())]))
    return None


MAX_SUGGESTED = 40
"""Most known names that a sentence lists: a neighbourhood may have any number of homes."""


def suggest(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: "did you mean 'x'? Known: w, x, y"."""
    names = list(known)
    # A prefix before a similar name: `feed_in` is `feed_in_per_kwh` rather than `feed`.
    longer = [known_name for known_name in names if name and known_name.startswith(f"{name}_")]
    guess = " or ".join(repr(known_name) for known_name in longer)
    nearest = f"did you mean {guess}?" if guess else did_you_mean(name, names).strip().replace("Did", "did")
    if not names:
        return ""
    listed = ", ".join(names[:MAX_SUGGESTED])
    if len(names) > MAX_SUGGESTED:
        listed += f", ... ({len(names)} in all)"
    return f"{nearest} Known: {listed}" if nearest else f"known: {listed}"


_CODE_BY_HINT = {
    "usage": ExitCode.USAGE,
    "invalid": ExitCode.INVALID,
    "infeasible": ExitCode.INFEASIBLE,
    "verify": ExitCode.VERIFY_FAILED,
}
"""What the `exit_hint` of an error of another package means; an error without one, or with "bug", is a bug."""


def _expected_code(error: BaseException) -> ExitCode | None:
    if isinstance(error, WattswapError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return _CODE_BY_HINT.get(getattr(error, "exit_hint", "bug"))


def was_interrupted(error: BaseException) -> bool:
    """Whether an error is Ctrl-C, or what pydantic made of one in the middle of a value."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__cause__, KeyboardInterrupt):
        return True
    # As JSON it has no cause any more, only its text.
    return type(error).__name__ == "PydanticSerializationError" and KeyboardInterrupt.__name__ in str(error)


def is_expected(error: BaseException) -> bool:
    """Whether an error has a sentence for the user; anything else is a bug."""
    return _expected_code(error) is not None


def exit_code_of(error: BaseException) -> ExitCode:
    """Choose the exit code for an exception that reached the top."""
    code = _expected_code(error)
    return ExitCode.BUG if code is None else code


def problems_of(error: BaseException) -> list[Problem]:
    """The problems of any exception; of a foreign one, its text."""
    if isinstance(error, WattswapError):
        return error.problems
    if isinstance(error, KeyboardInterrupt):
        return [Problem("", "interrupted")]
    if is_expected(error):
        return [Problem("", str(error) or type(error).__name__)]
    return [Problem("", f"unexpected {one_line(error)}")]


def render(error: BaseException) -> str:
    """An error as text: one line per problem, preceded by their number if there are several.

    Names and texts that a problem quotes are escaped where a terminal would obey them.
    """
    return listed(problems_of(error))


def listed(problems: Sequence[Problem], where: str = "") -> str:
    """Problems as `render` shows those of an error, with the file that has them, where it is not in them."""
    lines, at = [_shown(str(problem)) for problem in problems], f"{where}: " if where else ""
    if len(lines) == 1:
        return f"Error: {at}{lines[0]}"
    return "\n".join([f"Error: {at}{len(lines)} problems", *(f"  {line}" for line in lines)])


def _shown(text: str) -> str:
    return "\n".join(printable(line, sys.maxsize) for line in text.splitlines())


def as_json(error: BaseException) -> dict[str, object]:
    """An error as the JSON object that `--json` prints."""
    problems = problems_of(error)
    return {
        "error": {
            "code": int(exit_code_of(error)),
            "type": type(error).__name__,
            "message": "; ".join(str(problem) for problem in problems[:1]) or type(error).__name__,
            "problems": [_problem_json(problem) for problem in problems],
        }
    }


def _problem_json(problem: Problem) -> dict[str, object]:
    values = {name: getattr(problem, name) for name in ("where", "message", "cure", "line", "key")}
    return {name: value for name, value in values.items() if value not in (None, "")}
