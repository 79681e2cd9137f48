"""Errors of `data`: one class per broken rule, the facts as attributes, a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from data.findings import Finding, by_cause
from market.errors import did_you_mean

LISTED = 20
"""Findings printed in the text of an error; all of them are in its `findings`."""


class DataError(Exception):
    """Base of everything that `data` raises on purpose."""

    exit_hint: ClassVar[str] = "invalid"


class InvalidMeterData(DataError, ValueError):
    """Arrays that break the rules of `MeterData`; `problems` lists every one found."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class InvalidBattery(DataError, ValueError):
    """A battery with a size, power or efficiency outside its range."""


class InvalidFile(DataError, ValueError):
    """A file with errors; `findings` holds every error, the text the first of them."""

    what = "file"
    lists = "wattswap data check"

    def __init__(self, path: Path, findings: Sequence[Finding]) -> None:
        self.path = path
        self.findings = tuple(findings)
        count = sum(finding.count for finding in self.findings)
        errors = f"{count} error{'s' if count != 1 else ''}"
        head = f"{path}: {errors} in this {self.what}; correct the file and load it again"
        causes = by_cause(self.findings)
        lines = [head, *(f"  {line}" for line in causes[:LISTED])]
        if len(causes) > LISTED:
            rest = f"  and {len(causes) - LISTED} more"
            lines.append(f"{rest}; `{self.lists}` lists them" if self.lists else rest)
        super().__init__("\n".join(lines))


class InvalidMeterFile(InvalidFile):
    """A meter file with errors."""

    what = "meter file"


class InvalidRecipe(DataError, ValueError):
    """A recipe with mistakes; `problems` lists every one found."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems))


class InvalidPriceFile(InvalidFile):
    """A price file with errors."""

    what = "price file"


class InvalidGridFile(InvalidFile):
    """A network file with errors."""

    what = "network file"
    lists = ""


class InvalidWeatherFile(InvalidFile):
    """A weather file with errors."""

    what = "weather file"


class UncoveredWeather(InvalidWeatherFile):
    """A sound weather file of other days than those of a run."""

    def __init__(self, path: Path, finding: Finding) -> None:
        self.path, self.findings = path, (finding,)
        DataError.__init__(self, f"{path}: {finding.message.removeprefix('it ')}")


class MissingFile(DataError, FileNotFoundError):
    """A path that does not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"no file or folder {str(path)!r}; check the path")


class SpecialFile(DataError, OSError):
    """A path that is neither a file nor a folder, such as a pipe or a device, whose end may never come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is neither a file nor a folder; save what it gives as a file")


class UnrecognisedFile(DataError, ValueError):
    """A file that no format recognises.

    Args:
        path: The file.
        known: Names of all formats.
        why: What keeps it from being read, and what to do, in a clause.
    """

    def __init__(self, path: Path, known: Iterable[str], why: str = "") -> None:
        self.path = path
        self.known = sorted(known)
        self.why = why
        super().__init__(
            f"{path} is in no format known here{': ' * bool(why)}{why};"
            " `wattswap data sniff` names what is nearest, `wattswap list formats` has all, and --format chooses one"
        )


class NoRecipe(DataError, ValueError):
    """A file for which no recipe can be drafted."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: no recipe can be drafted: {why}")


class UnrecognisedGrid(UnrecognisedFile):
    """A network file that no format recognises."""

    def __init__(self, path: Path, known: Iterable[str]) -> None:
        self.path = path
        self.known = sorted(known)
        DataError.__init__(
            self,
            f"{path} is in no format of networks known here ({', '.join(self.known)});"
            " name the format, or export it as one of them, see docs/reference/grid-files.md",
        )


class AmbiguousFile(DataError, ValueError):
    """A file that several formats recognise."""

    def __init__(self, path: Path, claims: Iterable[str]) -> None:
        self.path = path
        self.claims = sorted(claims)
        super().__init__(f"{path} could be {' or '.join(self.claims)}; name the format")


class UnknownThing(DataError, KeyError):
    """A name that is not among those that are known."""

    exit_hint = "usage"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = sorted(known)
        self.hint = did_you_mean(name, self.known)
        super().__init__(name, self.known)


class UnknownZone(UnknownThing):
    """A time zone that the zone database lacks, or one that is another one on another machine."""

    def __init__(self, name: str, known: Iterable[str], of_the_machine: bool = False) -> None:
        zones = list(known)
        super().__init__(name, zones)
        wanted = name.removeprefix("posix/").removeprefix("right/").replace(" ", "_").lower()
        same = [zone for zone in zones if zone.lower() == wanted]
        self.hint = f" Did you mean {same[0]!r}?" if same else self.hint
        self.what = f"no time zone {name!r}"
        if of_the_machine:
            self.what = f"{name!r} is a setting of a machine and no place, so its time differs among machines"

    def __str__(self) -> str:
        return f"{self.what}.{self.hint} Write one as 'Europe/Berlin'."


class UnknownHousehold(UnknownThing):
    """A home that the data lack."""

    def __str__(self) -> str:
        return f"no home {self.name!r} in these {len(self.known)} homes.{self.hint}"


class InvalidWindow(DataError, ValueError):
    """A part of the time that the data do not cover, or that cuts an interval in two."""


class InvalidResampling(DataError, ValueError):
    """A new interval length that the data cannot give without inventing energy."""


class MissingPackage(DataError, ImportError):
    """An optional package that is not installed."""


class UnknownGrid(UnknownThing):
    """A SimBench code that is not a low-voltage grid."""

    def __str__(self) -> str:
        return (
            f"no low-voltage SimBench grid {self.name!r}.{self.hint} A code looks like '1-LV-rural2--2-sw'."
        )


class InvalidGrid(DataError, ValueError):
    """A grid with an element whose meaning is not known here."""


class UnknownSample(UnknownThing):
    """A bundled neighbourhood that does not exist."""

    def __str__(self) -> str:
        return f"no sample {self.name!r}.{self.hint} Known: {', '.join(self.known)}."
