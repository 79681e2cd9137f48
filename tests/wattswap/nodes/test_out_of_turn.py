"""A home that speaks to a collector whose turn it is not: the orders of all others stay in the book."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from p2p.roles.collector.intake import Collected
from p2p.roles.exchange.collectors import Collectors
from p2p.wire.messages import OrderMessage
from tests.kits.run_kit import FIRST, write_street
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import playing
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.home import Home
from wattswap.nodes.live import Topology, run_live
from wattswap.nodes.node import Node

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
GATE_S, CLEARING_S = 2.0, 0.1


class Stubborn(Collectors):
    """Keeps to one validator, whomever the results name."""

    def name(self, key: bytes, height: int, interval_start: int, current_start: int) -> None:
        pass


@pytest.mark.parametrize(("rounds", "thinking_s"), [(1, 0.0), (3, 0.0), (3, 1.5)])
def test_a_home_that_speaks_to_a_validator_alone_does_not_drop_the_orders_of_others(
    rounds: int, thinking_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector that has all orders takes longer to clear them, and in later rounds waits for a slow home."""
    usual, collect, position = Node.collectors, CollectorLoop._collect_orders, Home._position

    def stubborn(node: Node) -> Collectors:
        found = usual(node)
        if node.config.households != ("home-1",):
            return found
        everybody = (*found._authorities, *found._operators)
        return Stubborn(node.transport, found._authorities[:1], everybody, failover_s=1e6)

    async def slowly(loop: CollectorLoop, start_s: int, *, in_turn: bool) -> list[Collected[OrderMessage]]:
        orders = await collect(loop, start_s, in_turn=in_turn)
        await time_passes(CLEARING_S * in_turn)
        return orders

    async def thought(home: Home, start_s: int, number: int) -> int:
        await time_passes(thinking_s * (home.index == 1))
        return await position(home, start_s, number)

    monkeypatch.setattr(Home, "_position", thought)
    monkeypatch.setattr(Node, "collectors", stubborn)
    monkeypatch.setattr(CollectorLoop, "_collect_orders", slowly)
    changes = ("market.mechanism=continuous", "homes.strategy=zi_c", f"market.rounds={rounds}")
    result = run_live(
        ws.load(write_street(tmp_path, homes=4), overrides=changes),
        topology=Topology(gate_s=GATE_S),
        intervals=2,
        start_s=DAYLIGHT_S,
        out=tmp_path / "runs",
        run_nodes=playing(),
    )
    facts = result.manifest["network"]
    assert {entry.split()[1] for entry in facts["silent"]} == {"home-1"}
    assert set(result.table("orders")["household"]) == {"home-2", "home-3", "home-4"}
    assert ws.verify(result.path)["ok"]
