"""Operators and validators delete the messages of intervals whose time of disputes is over; a run's folder has all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST
from tests.kits.town_kit import play_in_memory
from wattswap.nodes.config import KEPT_INTERVALS, NodeConfig
from wattswap.nodes.live import Topology, run_live
from wattswap.runs import engine
from wattswap.runs.layout import BLOBS

INTERVALS, KEPT, HOUR_S = 12, 8, 3_600
DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600


class Seen(Exception):
    """The test has seen the folders of the nodes; what they lack makes no run."""


def test_messages_are_kept_for_as_many_intervals_as_a_node_is_configured_for(
    street: Path, tmp_path: Path
) -> None:
    held: dict[str, list[int]] = {}

    def run_nodes(
        configs: Sequence[NodeConfig],
        topology: Topology,
        intervals: int,
        on_progress: engine.OnProgress | None,
    ) -> Mapping[str, int]:
        assert {config.kept_intervals for config in configs} == {KEPT_INTERVALS}
        few = [one.model_copy(update={"kept_intervals": KEPT}).in_folder(one.folder) for one in configs]
        play_in_memory(few, topology, intervals, on_progress)
        for config in few:
            if config.role in ("operator", "validator"):
                names = [path.name for path in (config.data_path / BLOBS).glob("*.blob")]
                held[config.name] = sorted(int(name.partition("-")[0]) for name in names)
        raise Seen

    with pytest.raises(Seen):
        run_live(ws.load(street), intervals=INTERVALS, start_s=DAYLIGHT_S, out=tmp_path, run_nodes=run_nodes)
    starts = [DAYLIGHT_S + HOUR_S * i for i in range(INTERVALS)]
    assert len(held) == 5
    for name, found in held.items():
        assert found in (starts[-KEPT - 1 :], starts[-KEPT - 2 :]), (
            name
        )  # the last one may not be announced yet
