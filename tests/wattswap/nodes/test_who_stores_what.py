"""Which node stores or receives the readings of which home, as docs/explanation/privacy.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p.batches.blob import MAX_BLOB_BYTES, Blob
from p2p.wire.codec import decode
from wattswap.simulation.plan import Plan, Shape
from wattswap.simulation.run import simulated

SHAPE = Shape(gateways=2, intervals=3)
"""Some homes behind each of two gateways."""


def contents(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("shape", [SHAPE, Shape(intervals=3)], ids=["gateways", "a node a home"])
def test_a_node_of_homes_stores_signed_messages_of_its_own_homes_only(shape: Shape) -> None:
    """A signature of a reading is 64 random bytes: who has not stored it has not stored the message."""
    with simulated(Plan(seed=2, shape=shape, signatures=True)) as outcome:
        history = outcome.history
        blobs = outcome.history.truth.blobs.values()
        signed = {
            (line.participant, line.signature)
            for blob in blobs
            for line in decode(Blob, blob, max_bytes=MAX_BLOB_BYTES).lines
        }
        assert len(signed) >= 2 * 3 * 13
        roster, configs = history.setup.roster, history.base.configs
        for name, folder in history.folders.items():
            held = contents(folder)
            found = {roster[home] for home, signature in signed if signature in held}
            role = configs[name].role
            expected = set(configs[name].households) if role in ("household", "gateway") else set(roster)
            assert found == expected, name
