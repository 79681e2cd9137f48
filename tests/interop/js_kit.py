"""The peer in JavaScript: whether it can run here, and its packages."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

JS = Path(__file__).parent / "js"
NODE_MIN = 20
INSTALL_S = 120


def node_program() -> str:
    """Path of a node that is new enough; skips the test where there is none."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("no node on this machine; the tests of the peer in JavaScript need node 20 or later")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < NODE_MIN:
        pytest.skip(f"node {version} is too old; the peer in JavaScript needs node {NODE_MIN} or later")
    return path


@cache
def packages() -> None:
    """Install the libp2p packages once; skips the test where that cannot be done."""
    node_program()
    if (JS / "node_modules" / "libp2p").is_dir():
        return
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine; the peer in JavaScript needs its libp2p packages")
    try:
        done = subprocess.run(
            [npm, "install"], cwd=JS, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install the libp2p packages within {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"npm cannot install the libp2p packages here: {done.stderr.strip()[-300:]}")
