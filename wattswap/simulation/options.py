"""What the command line of the simulation asks for: its options, checked before anything is run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from wattswap.errors import UsageError, suggest
from wattswap.simulation.plan import SEEDS_MAX, Lie, Shape, check_shape, digits
from wattswap.simulation.sweep import Draw

PROGRAM: Final = "python -m wattswap.simulation"
SEEDS_OF_A_CALL_MAX: Final = 1_000_000
"""Most seeds of one call; a night does some ten thousand."""
WORKERS_MAX: Final = 256
_HELP: Final = f"`{PROGRAM} -h` shows the options"
_USUAL: Final = {
    "seeds": "0..20",
    "validators": 4,
    "gateways": 0,
    "intervals": 8,
    "pace_seconds": 10.0,
    "sealed": False,
    "meter_keys": 0,
    "lie": [],
    "quiet_network": False,
    "byzantine": False,
    "workers": 2,
    "again": False,
}
"""Options that belong to seeds, with what they are where they are not given; a plan has its own."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be run.

    Args:
        plan: File of a plan that is run instead of seeds, which then count for nothing, nor does what is beside them.
        seeds: Seeds of the plans that are drawn.
        draw: What else they are drawn from.
        workers: Number of processes.
        again: Run also those seeds that the same code has passed.
        shrink: Make the first failing plan small.
        save: File for that plan.
        trace: File for a line of each message of `plan`.
    """

    plan: Path | None
    seeds: range
    draw: Draw
    workers: int
    again: bool
    shrink: bool
    save: Path | None
    trace: Path | None


def read_options(arguments: Sequence[str] | None = None) -> Options | None:
    """Read the words of a command line; None where only the help was asked for, which is printed.

    Args:
        arguments: The words; by default those of this process.

    Raises:
        UsageError: Names the option, and what it takes.
    """
    parser = _parser()
    try:
        found, rest = parser.parse_known_args(arguments)
    except SystemExit:  # of the help: an error raises
        return None
    if rest:
        raise _unknown(rest[0].partition("=")[0], [_option(name) for name in vars(found)])
    given = [name for name in _USUAL if getattr(found, name) is not None]
    if found.plan is not None and given:
        where = ", ".join(map(_option, given))
        cure = "leave out what belongs to seeds, or change the plan in its file"
        raise UsageError.of(where, "cannot be used with --plan", cure)
    for name, usual in _USUAL.items():
        if name not in given:
            setattr(found, name, usual)
    if not 1 <= found.workers <= WORKERS_MAX:
        raise UsageError.of("--workers", f"{found.workers} is out of range", f"use 1 to {WORKERS_MAX}")
    _check_files(found)
    shape = Shape(
        found.validators,
        found.gateways,
        found.intervals,
        found.pace_seconds,
        bool(found.sealed),
        found.meter_keys,
    )
    check_shape(shape)
    draw = Draw(shape, tuple(map(_lie, found.lie)), found.quiet_network, found.byzantine)
    return Options(
        plan=found.plan,
        seeds=_seeds(found.seeds),
        draw=draw,
        workers=found.workers,
        again=found.again,
        shrink=found.shrink,
        save=found.save,
        trace=found.trace,
    )


def words_of(draw: Draw) -> str:
    """The options that repeat a draw, each after a blank."""
    shape = draw.shape
    values = {
        "validators": shape.validators,
        "gateways": shape.gateways,
        "intervals": shape.intervals,
        "pace_seconds": shape.pace_s,
        "meter_keys": shape.meter_keys,
    }
    found = "".join(
        f" {_option(name)} {digits(value)}" for name, value in values.items() if value != _USUAL[name]
    )
    found += "".join(f" --lie {':'.join(filter(None, (lie.name, lie.who, lie.victim)))}" for lie in draw.lies)
    return (
        found + " --sealed" * shape.sealed + " --quiet-network" * draw.quiet + " --byzantine" * draw.byzantine
    )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _unknown(word: str, known: Sequence[str]) -> UsageError:
    longer = [name for name in known if word.startswith("--") and name.startswith(word) and word != "--"]
    cure = f"did you mean {' or '.join(longer)}?" if longer else suggest(word, known)
    return UsageError.of(word, "is no option", cure if word.startswith("-") else _HELP)


class _Parser(argparse.ArgumentParser):
    """Raises one sentence where argparse prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        """Refuse the words."""
        where, colon, what = message.removeprefix("argument ").partition(": ")
        raise UsageError.of(where, what, _HELP) if colon else UsageError.of("", message, _HELP)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(PROGRAM, description="Simulate neighbourhoods with faults and lies.", allow_abbrev=False)
    add = parser.add_argument
    add("--seeds", metavar="A..B", help="seeds from A to B - 1, or one (0..20)")
    add("--plan", type=Path, metavar="FILE", help="run this plan instead of seeds")
    add("--validators", type=_whole, metavar="N", help="at least 4; of 7, two may fail (4)")
    add("--gateways", type=_whole, metavar="N", help="gateways for the homes (0: a node a home)")
    add("--intervals", type=_whole, metavar="N", help="intervals of a run (8)")
    add("--pace-seconds", type=_number, metavar="S", help="length of an interval (10)")
    flag = {"action": "store_true", "default": None}
    add("--sealed", **flag, help="homes seal their orders")  # type: ignore[arg-type]
    add("--meter-keys", type=_whole, metavar="N", help="homes whose meters sign (0: drawn by the seed)")
    lie = "a node that lies, as late:operator-0:home-01; may be given several times"
    add("--lie", action="append", metavar="NAME:WHO[:VICTIM]", help=lie)
    add("--quiet-network", **flag, help="no faults besides the lies")  # type: ignore[arg-type]
    drawn = "drawn lies of the operator, of validators, homes and a stranger"
    add("--byzantine", **flag, help=drawn)  # type: ignore[arg-type]
    add("--workers", type=_whole, metavar="N", help="processes (2)")
    add("--again", **flag, help="run seeds again that this code has passed")  # type: ignore[arg-type]
    add("--shrink", action="store_true", help="make the first failing plan small")
    saved = "write the plan of the first failing seed; with --plan: the one that --shrink made small"
    add("--save", type=Path, metavar="FILE", help=saved)
    add("--trace", type=Path, metavar="FILE", help="with --plan: write a line of each message")
    return parser


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


def _check_files(found: argparse.Namespace) -> None:
    """Refuse, before anything is run, files that cannot be written after it, or would replace what was given."""
    if found.trace is not None and found.plan is None:
        cure = "write the plan of a seed with --save, and name it with --plan"
        raise UsageError.of("--trace", "needs a plan", cure)
    if found.save is not None and found.plan is not None and not found.shrink:
        raise UsageError.of("--save", "with --plan needs --shrink", "add it: the plan is in its file already")
    for name in ("save", "trace"):
        path = getattr(found, name)
        if path is None:
            continue
        if not path.absolute().parent.is_dir():
            raise UsageError.of(f"--{name}", f"there is no folder {path.parent}", "make it, or name another")
        if path.is_dir():
            raise UsageError.of(f"--{name}", f"{path} is a folder", "name a file")
        for other in ("plan", "save"):
            if name != other and _are_same(path, getattr(found, other)):
                raise UsageError.of(f"--{name}", f"{path} is the file of --{other}", "name another file")


def _are_same(path: Path, other: Path | None) -> bool:
    """Whether two paths lead to one file, by whatever names."""
    if other is None:
        return False
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()


def _seeds(text: str) -> range:
    first, dots, last = text.partition("..")
    if not _is_seed(first) or (dots and not _is_seed(last)):
        raise UsageError.of("--seeds", f"{text!r} is no range", "write 0..200 for 0 to 199, or one number")
    begin = int(first)
    found = range(begin, int(last) if dots else begin + 1)
    if not found or found[-1] >= SEEDS_MAX:
        raise UsageError.of("--seeds", f"{text!r} has no seed", f"write A..B with A < B, up to {SEEDS_MAX}")
    if len(found) > SEEDS_OF_A_CALL_MAX:
        cure = f"run at most {SEEDS_OF_A_CALL_MAX} in a call"
        raise UsageError.of("--seeds", f"{text!r} has {len(found)} seeds", cure)
    return found


def _is_seed(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) <= 12


def _lie(text: str) -> Lie:
    name, _, rest = text.partition(":")
    who, _, victim = rest.partition(":")
    if not (name and who):
        missing = "node" if name else "lie"
        cure = "write NAME:WHO, as late:operator-0:home-01"
        raise UsageError.of("--lie", f"{text!r} names no {missing}", cure)
    return Lie(name, who, victim)
