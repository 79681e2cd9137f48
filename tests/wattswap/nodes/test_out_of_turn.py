"""A home that asks a collector whose turn it is not: its orders and those of all others are in the book."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from p2p.batches.closings import Closing
from p2p.roles.collector.intake import Collected
from p2p.roles.household.collectors import Collectors
from p2p.wire.messages import OrderMessage
from tests.kits.run_kit import FIRST, write_street
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import playing
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.home import Home, Standing
from wattswap.nodes.live import Topology, run_live
from wattswap.nodes.node import Node

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
GATE_S, CLEARING_S = 2.0, 0.1


class Stubborn(Collectors):
    """Keeps to one validator, whomever the results name."""

    def keep_to(self, key: bytes) -> Stubborn:
        """Ask only this one."""
        self._current = key
        return self

    def name(self, key: bytes, height: int, number: int) -> None:
        pass

    def _move_on(self) -> None:
        pass


@pytest.mark.parametrize(("rounds", "thinking_s"), [(1, 0.0), (3, 0.0), (3, 1.5)])
def test_a_home_that_asks_a_validator_alone_drops_no_orders_its_own_or_others(
    rounds: int, thinking_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector that has all orders takes longer to clear them, and in later rounds waits for a slow home.

    The home gives its messages to f + 1 validators as all do, and their closings bring them to who settles.
    """
    usual, collect, position = Node.collectors, CollectorLoop._collect_orders, Home._position

    def stubborn(node: Node) -> Collectors:
        if node.config.households != ("home-1",):
            return usual(node)
        addresses, sets = node.addresses_of("operator", "validator"), node.known.sets
        asks = Stubborn(node.transport, addresses, sets, failover_s=1e6)
        return asks.keep_to(node.setup.genesis.authorities[0])

    async def slowly(
        loop: CollectorLoop, start_s: int, closings: dict[int, tuple[Closing, ...]]
    ) -> list[Collected[OrderMessage]]:
        orders = await collect(loop, start_s, closings)
        await time_passes(CLEARING_S * (loop._identity.public_key in loop._ledger.tip.state.operators))
        return orders

    async def thought(home: Home, start_s: int, number: int, market: Standing | None = None) -> int:
        await time_passes(thinking_s * (home.index == 1))
        return await position(home, start_s, number, market)

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
    assert facts["silent"] == []
    assert facts["broken_promises"] == 0
    assert set(result.table("orders")["household"]) == {"home-1", "home-2", "home-3", "home-4"}
    assert set(result.table("orders")["sequence"] // 2**32) == set(range(rounds))
    assert ws.verify(result.path)["ok"]
