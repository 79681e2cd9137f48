"""The virtual environment of a peer: made once for each list of requirements, in the folder for temporary files."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"


class NotInstalled(Exception):
    """The peer cannot be had on this machine."""


def python_of_peer() -> Path:
    """The interpreter of the environment, which is made and filled where it is not there yet.

    Raises:
        NotInstalled: No environment can be made, or a package cannot be installed.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"wattswap-peers-{digest}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)],
        ):
            try:
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=900)
            except subprocess.CalledProcessError as failed:
                last = (failed.stderr.strip() or failed.stdout.strip() or "no message").splitlines()[-1]
                raise NotInstalled(last) from None
            except (OSError, subprocess.TimeoutExpired) as failed:
                raise NotInstalled(str(failed)) from None
        done.touch()
    return python


def run_peer(
    python: Path, mechanism: str, books: list[list[dict[str, Any]]], repeats: int, cap_s: float
) -> list[dict[str, Any]] | None:
    """What pymarket makes of these books; None where that takes longer than the cap. [s]"""
    try:
        done = subprocess.run(
            [str(python), str(HERE / "run_pymarket.py"), mechanism, str(repeats)],
            input=json.dumps(books),
            check=True,
            capture_output=True,
            text=True,
            timeout=cap_s,
        )
    except subprocess.TimeoutExpired:
        return None
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
