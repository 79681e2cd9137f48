"""What a home's strategy has learned, in a file of its node's folder: a restarted home bids as if it had run on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from p2p.disk import DISK, Disk
from wattswap.canonical_json import canonical_json
from wattswap.errors import InvalidData

LEARNED: Final = "learned-"
"""Prefix of the files, one per home."""
KEPT: Final = 16
"""Intervals of which snapshots are kept: the homes of a gateway continue at the last that all of them finished."""

Snapshot = dict[str, Any]
"""Of `Community.snapshot`."""


@dataclass(slots=True)
class Learned:
    """Snapshots of one home, each taken before the interval of its key; the file is read once in a process.

    Args:
        path: The file.
        chain_id: Hex digits of the chain in which the home learned.
        household: Its id.
        disk: Where it is written.
    """

    path: Path
    chain_id: str
    household: str
    disk: Disk = DISK
    _kept: dict[str, Snapshot] | None = field(default=None, init=False)

    def before(self, interval_start: int) -> Snapshot:
        """The home as it was before an interval.

        Raises:
            InvalidData: The file is missing, damaged, of another home or chain, or has no such interval.
        """
        try:
            self._kept = self._kept or self._read()
            return self._kept[str(interval_start)]
        except FileNotFoundError:
            raise self.refused("is missing") from None
        except KeyError:
            raise self.refused(f"has nothing from before interval {interval_start}") from None

    def keep(self, interval_start: int, snapshot: Snapshot) -> None:
        """Write a snapshot beside those of the intervals before it, durably: it waits for the disk.

        Raises:
            InvalidData: The file is damaged or cannot be written.
        """
        try:
            kept = (self._kept or self._read()) | {str(interval_start): snapshot}
        except FileNotFoundError:
            kept = {str(interval_start): snapshot}
        newest = sorted(kept, key=int)[-KEPT:]
        kept = {start: kept[start] for start in newest}
        content = {"sha256": self._digest(kept), "snapshots": kept}
        try:
            self.disk.write_whole(self.path, json.dumps(content).encode())
        except OSError as error:
            cure = "free disk space or give write access, and start again"
            raise InvalidData.of(str(self.path), f"cannot be written: {error.strerror}", cure) from None
        self._kept = kept

    def _read(self) -> dict[str, Snapshot]:
        try:
            content: Any = json.loads(self.path.read_bytes())
            kept: dict[str, Snapshot] = content["snapshots"]
            if content["sha256"] == self._digest(kept):
                return kept
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self.refused(f"cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError):
            pass
        raise self.refused("is damaged, or of another home or chain")

    def _digest(self, kept: dict[str, Snapshot]) -> str:
        return sha256(canonical_json([self.chain_id, self.household, kept]).encode()).hexdigest()

    def refused(self, what: str) -> InvalidData:
        """What is wrong with the file, and what to do."""
        cure = (
            f"start the node with an empty folder {self.path.parent.name}: {self.household} learns again from the"
            " settlement lines that a collector still has"
        )
        return InvalidData.of(str(self.path), what, cure)
