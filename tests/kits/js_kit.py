"""Node and the packages of the foreign peer, or the reason why they are not here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

JS = Path(__file__).resolve().parents[1] / "interop" / "js"
NODE_MIN = 20
INSTALL_TIMEOUT_S = 120
_STAMP = JS / "node_modules" / ".wattswap-installed"


@cache
def missing() -> str:
    """Say why the foreign peer cannot run here, or ""; installs its packages where they are not yet."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "node and npm are not installed"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    major = re.match(r"v(\d+)\.", version)
    if major is None or int(major[1]) < NODE_MIN:
        return f"node {version} is too old; the peer wants {NODE_MIN} or later"
    wanted = (JS / "package-lock.json").read_text(encoding="utf-8")
    if _STAMP.is_file() and _STAMP.read_text(encoding="utf-8") == wanted:
        return ""
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=0"]
    try:
        done = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"npm ci did not end within {INSTALL_TIMEOUT_S} s"
    if done.returncode:
        return f"npm ci failed: {done.stderr.strip()[-200:]}"
    _STAMP.write_text(wanted, encoding="utf-8")
    return ""


@pytest.fixture(scope="session")
def node() -> list[str]:
    """The command that runs a script of the foreign peer."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    return ["node", "--import", (JS / "polyfill.mjs").as_uri()]


def pinned() -> dict[str, str]:
    """Versions that package.json names."""
    content = json.loads((JS / "package.json").read_text(encoding="utf-8"))
    versions: dict[str, str] = content["dependencies"]
    return versions
