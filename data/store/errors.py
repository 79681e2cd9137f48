"""Errors of a store, each a sentence for people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data.errors import LISTED, DataError


class StoreError(DataError, ValueError):
    """Base of the errors of stores."""


class NoStore(StoreError):
    """A folder that is no store."""

    def __init__(self, path: Path, why: str = "it has no manifest.json") -> None:
        self.path = path
        super().__init__(
            f"{path} is no store of readings: {why}; `wattswap data import FILE --out STORE` makes one"
        )


class DamagedStore(StoreError):
    """A store with a file that is missing, or is not as it was written."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(f"{path}: {what}; restore the folder from a copy, or import its sources again")


class NewerStore(StoreError):
    """A store that a later version has written."""

    def __init__(self, path: Path, version: int, known: int) -> None:
        self.path, self.version = path, version
        super().__init__(
            f"{path} has store_version {version}, and this version of wattswap reads up to {known}; install a newer one"
        )


class BusyStore(StoreError):
    """A store that another process is writing into."""

    def __init__(self, path: Path, process: str) -> None:
        self.path = path
        super().__init__(f"{path}: process {process} is writing into this store; wait until it has ended")


class StoreExists(StoreError):
    """A place that is taken; nothing is ever overwritten."""

    def __init__(self, path: Path, what: str = "exists already") -> None:
        self.path = path
        super().__init__(f"{path} {what}; name another place with --out")


class Mismatch(StoreError):
    """Readings that do not fit together: homes, steps or values; `problems` holds each of them."""

    def __init__(self, problems: Sequence[str], cure: str, total: int | None = None) -> None:
        self.problems, self.cure = tuple(problems), cure
        self.total = len(self.problems) if total is None else total
        if self.total == 1:
            super().__init__(f"{self.problems[0]}; {cure}")
            return
        lines = [*self.problems[:LISTED]]
        if self.total > len(lines):
            lines.append(f"and {self.total - len(lines)} more")
        super().__init__(
            "\n".join([f"{self.total} of these do not fit; {cure}", *(f"  {line}" for line in lines)])
        )
