"""Findings of a check: one `Finding` per fact, with its line, and a log of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from market.units import IntArray

Severity = Literal["error", "warning"]

ROWS_PER_CODE = 200
"""Findings kept of one code; the rest are counted in one more, so a bad file cannot fill memory."""


LISTED_BY_CAUSE = 3
"""Findings of one kind that are printed one by one; more of them have one cause, and one line."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a file.

    Args:
        severity: An error keeps the file from loading; a warning is loaded and flagged.
        code: Short name of the broken rule, as listed in docs/reference/meter-files.md.
        line: Line of the file, the header being line 1; for Parquet the row, the first being 1; None for the
            file.
        household: The home concerned, if any.
        message: One sentence: what is wrong and what to do.
        count: How many facts it covers.
    """

    severity: Severity
    code: str
    line: int | None
    household: str | None
    message: str
    count: int = 1

    def __str__(self) -> str:
        where = [f"line {self.line}"] if self.line is not None else []
        where += [f"home {self.household}"] if self.household is not None else []
        place = f" {', '.join(where)}:" if where else ""
        return f"{self.severity}{place} {self.message} [{self.code}]"


class FindingLog:
    """Collects findings; of each code the first `ROWS_PER_CODE` are kept, the others counted."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self._seen: dict[tuple[Severity, str], int] = {}

    def add(
        self,
        severity: Severity,
        code: str,
        message: str,
        *,
        line: int | None = None,
        household: str | None = None,
        count: int = 1,
    ) -> None:
        """Add one finding, of several facts where there is a count."""
        seen = self._seen[severity, code] = self._seen.get((severity, code), 0) + 1
        if seen <= ROWS_PER_CODE:
            self._kept.append(Finding(severity, code, line, household, message, count))

    def add_rows(
        self,
        severity: Severity,
        code: str,
        rows: IntArray,
        describe: Callable[[int], tuple[int, str | None, str]],
    ) -> None:
        """Add one finding per row; `describe(row)` gives line, home and message of those kept."""
        key = (severity, code)
        room = max(0, ROWS_PER_CODE - self._seen.get(key, 0))
        for row in rows[:room].tolist():
            line, household, message = describe(row)
            self._kept.append(Finding(severity, code, line, household, message))
        if len(rows):
            self._seen[key] = self._seen.get(key, 0) + len(rows)

    @property
    def has_errors(self) -> bool:
        """Whether any error was added."""
        return any(severity == "error" for severity, _ in self._seen)

    def findings(self) -> tuple[Finding, ...]:
        """All findings, errors first, by line."""
        found = list(self._kept)
        for (severity, code), count in self._seen.items():
            if count > ROWS_PER_CODE:
                more = count - ROWS_PER_CODE
                found.append(
                    Finding(severity, code, None, None, f"and {more} more findings of this kind", more)
                )
        return tuple(sorted(found, key=_reading_order))


def _reading_order(finding: Finding) -> tuple[bool, bool, int, str]:
    summary = finding.line is None
    return (finding.severity == "warning", summary, finding.line or 0, finding.code)


def by_cause(findings: Iterable[Finding]) -> list[str]:
    """Findings as lines for people: those of one kind that are many have one line, with the first place and a count."""
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.code), []).append(finding)
    lines = []
    for kind in kinds.values():
        if len(kind) <= LISTED_BY_CAUSE:
            lines += [str(finding) for finding in kind]
        else:
            lines.append(f"{kind[0]} (the first of {sum(finding.count for finding in kind)} of this kind)")
    return lines


def errors_of(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings that keep a file from loading."""
    return tuple(finding for finding in findings if finding.severity == "error")


def runs(flag: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[IntArray, IntArray]:
    """Return start and end (exclusive) of each run of True in a 1-D array."""
    if not flag.any():
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    padded = np.zeros(len(flag) + 2, dtype=np.bool_)
    padded[1:-1] = flag
    turn = np.flatnonzero(padded[1:] != padded[:-1])
    return turn[::2], turn[1::2]
