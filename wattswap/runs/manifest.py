"""The manifest of a run: scenario, data, versions, and the hashes of the results."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from p2p.disk import DISK
from wattswap.runs.layout import LOG

SCHEMA = 1
VERSIONED = (
    "wattswap",
    "numpy",
    "pandas",
    "pyarrow",
    "highspy",
    "pyomo",
    "PyNaCl",
    "msgspec",
    "libp2p",
)
EXTRAS = ("lightgbm", "pvlib")
"""Optional packages that can change a result; named where they are installed."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str | None]:
    """Installed versions of what can change a result."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in (*VERSIONED, *EXTRAS):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            if name in VERSIONED:
                found[name] = None
    return found


def source_commit() -> dict[str, Any] | None:
    """Commit and dirty flag of the source tree that runs, or None where it is not a git checkout."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(top), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def code_sha256() -> str:
    """SHA-256 over every source file that can change the result of a simulation."""
    top, digest = Path(__file__).resolve().parents[2], hashlib.sha256()
    for package in ("market", "optimizer", "data", "agents", "wattswap"):
        for path in sorted((top / package).rglob("*.py")):
            digest.update(f"{path.relative_to(top).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is whole or absent."""
    DISK.write_whole(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def file_hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each named file of a folder."""
    return {name: file_sha256(folder / name) for name in names}


def log_event(folder: Path, event: str, **facts: Any) -> None:
    """Append one line to the run's log.jsonl, with the time of day; the log is not part of the hashes."""
    line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts}
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
