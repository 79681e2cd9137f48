"""The live run: the same scenario with real nodes on loopback, one libp2p host per home and one for the operator.

Each home holds its own readings, forecasts and bids by itself, signs its order, gets a receipt, reports its meter,
hears the result by gossip and checks the proof of its own line. The operator closes the gate, clears, settles and
writes the chain through the same functions as the in-process run, so both give the same hashes.
"""

from __future__ import annotations

import logging
import math
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.bidding import Bids
from market.units import IntArray
from p2p import messages
from p2p.chain.light import check_proof
from p2p.identity import Identity
from p2p.messages import NothingMessage, OrderMessage, ReadingMessage, ReceiptCode, ResultMessage
from wattswap import engine
from wattswap.errors import ExitCode, VerificationFailed, WattswapError
from wattswap.pipeline import Cleared, build_book, clear_interval
from wattswap.setup import cut_to, prepare

if TYPE_CHECKING:
    from p2p.roles.household import Household
    from p2p.roles.operator import Collected, Operator
    from p2p.transport import Transport
    from wattswap.results import RunResult
    from wattswap.scenario import Scenario

OpenTransport = Callable[[Identity], AbstractAsyncContextManager["Transport"]]
PHASE_DEADLINE_S = 20.0
"""How long the gate, and then the meter reading, may stay open; both close when everybody has spoken. [s]"""
GOSSIP_PATIENCE_S = 5.0
"""How long a home waits for a result by gossip before it asks the operator. [s]"""


class LiveFailed(WattswapError):
    """A live run that could not go on."""

    exit_code = ExitCode.CHECK_FAILED


@dataclass(slots=True)
class Network:
    """What the nodes of a live run did, summed over all of them."""

    nodes: int = 0
    intervals_s: list[float] = field(default_factory=list)
    receipts: int = 0
    by_gossip: int = 0
    by_request: int = 0
    proofs_checked: int = 0
    silent: list[str] = field(default_factory=list)
    transports: list[Transport] = field(default_factory=list)

    def facts(self, cpu_s: float) -> dict[str, Any]:
        """Figures for the manifest and for `wattswap show RUN network`."""
        stats = [transport.stats for transport in self.transports]
        counted = [f.name for f in fields(stats[0]) if f.name != "refused"] if stats else []
        ordered = sorted(self.intervals_s)
        return {
            "nodes": self.nodes,
            "interval_s_median": round(statistics.median(ordered), 4),
            "interval_s_p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 4),
            "cpu_s_per_interval": round(cpu_s / len(ordered), 4),
            "signed_receipts": self.receipts,
            "results_by_gossip": self.by_gossip,
            "results_by_request": self.by_request,
            "proofs_checked": self.proofs_checked,
            "silent": self.silent,
            **{name: sum(getattr(s, name) for s in stats) for name in counted},
            "refused": {
                f"{peer}: {code}": n for s in stats for (peer, code), n in sorted(s.refused.counts.items())
            },
        }


def run_live(
    scenario: Scenario,
    *,
    intervals: int | None = None,
    start_s: int | None = None,
    out: Path | str = "runs",
    on_progress: engine.OnProgress | None = None,
    open_transport: OpenTransport | None = None,
    pace_s: float = 0.0,
) -> RunResult:
    """Run a scenario with real nodes.

    Args:
        scenario: What to run.
        intervals: Only so many intervals; all when left out.
        start_s: First interval; the scenario's own when left out. [s]
        out: Folder under which the run's own folder is made.
        on_progress: See `engine.OnProgress`.
        open_transport: How a node opens its endpoint; libp2p on loopback when left out.
        pace_s: Least time an interval takes; 0 goes on as soon as everybody has spoken. [s]

    Raises:
        LiveFailed: A home could not join, or a home's check failed; nothing is left on disk.
    """
    import trio

    from p2p.libp2p_transport import open_libp2p

    # libp2p logs an error for every peer that goes away or is not up yet; what matters here raises or is counted.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    setup = prepare(cut_to(scenario, intervals, start_s))
    partial = engine.begin(setup, Path(out), driver=engine.LIVE)
    begun, cpu = time.time(), time.process_time()
    current: engine.Run | None = None
    try:
        current = engine.Run(setup, partial, engine.own_chain(setup, partial))
        session = _Session(current, open_transport or open_libp2p, on_progress, pace_s)
        trio.run(session.main)
        facts = session.network.facts(time.process_time() - cpu)
        return engine.finish(current, begun, signed=True, driver=engine.LIVE, extra={"network": facts})
    except BaseException as error:
        if current is not None:
            current.close()
        shutil.rmtree(partial, ignore_errors=True)
        raise _first_cause(error) from None


def _first_cause(error: BaseException) -> BaseException:
    """Unwrap the groups that nurseries make, down to the first error that says what happened."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class _Session:
    """One live run: the operator's loop and one task per home, in one trio loop."""

    def __init__(
        self,
        run: engine.Run,
        open_transport: OpenTransport,
        on_progress: engine.OnProgress | None,
        pace_s: float,
    ) -> None:
        self.setup, self.run = run.setup, run
        setup = run.setup
        self.network = Network(nodes=len(setup.roster) + 1)
        self._open, self._on_progress, self._pace_s = open_transport, on_progress, pace_s
        self._stored_wh = np.zeros(len(setup.roster), dtype=np.int64)

    async def main(self) -> None:
        """Open the operator, then the homes; end when the last interval is settled and checked."""
        import trio

        from p2p.roles.operator import Operator

        setup = self.setup
        keys = dict(zip(setup.roster, setup.genesis.household_keys, strict=True))
        identity = setup.keys.identity("operator")
        async with self._node(identity) as transport:
            operator = Operator(
                transport, identity, setup.genesis.chain_id, setup.roster, keys, setup.minutes
            )
            async with trio.open_nursery() as nursery:
                for home in range(len(setup.roster)):
                    await nursery.start(self._home, home, transport.address)
                with trio.move_on_after(PHASE_DEADLINE_S):  # a home that does not listen stops nobody
                    await operator.wait_for_audience(len(setup.roster))
                await self._operate(operator)

    @asynccontextmanager
    async def _node(self, identity: Identity) -> AsyncIterator[Transport]:
        async with self._open(identity) as transport:
            self.network.transports.append(transport)
            yield transport

    async def _operate(self, operator: Operator) -> None:
        import trio

        setup = self.setup
        for i in range(setup.intervals):
            begun = trio.current_time()
            start_s = setup.start_of(i)
            orders = await operator.collect(start_s, PHASE_DEADLINE_S)
            cleared = self._clear(i, orders)
            readings = await operator.collect_readings(start_s, PHASE_DEADLINE_S)
            imported, exported = self._registers(cleared, readings)
            self.network.silent += [
                f"{setup.interval(i)} {home}" for home in (*orders.silent, *readings.silent)
            ]
            block = self.run.commit(cleared, imported, exported, self._stored_wh.copy())
            operator.provide_lines(
                start_s, {name: self.chain.proof(block, home) for home, name in enumerate(setup.roster)}
            )
            result = self._result(start_s, cleared, block)
            await operator.announce(result)
            self._end_of_interval(i, cleared.price_per_kwh)
            self.network.intervals_s.append(trio.current_time() - begun)
            await trio.sleep(max(0.0, self._pace_s - (trio.current_time() - begun)))

    def _end_of_interval(self, i: int, price_per_kwh: float | None) -> None:
        setup = self.setup
        if self.run.done % setup.steps_per_day == 0 or self.run.done == setup.intervals:
            self.run.flush()  # and no checkpoint: the homes' state is theirs, so a live run cannot be continued
        if self._on_progress is not None:
            self._on_progress(i + 1, setup.intervals, price_per_kwh)

    def _clear(self, i: int, collected: Collected[OrderMessage]) -> Cleared:
        """Close the gate: the book of the signed orders, canonical whatever their order of arrival."""
        setup, orders = self.setup, collected.messages
        index = {name: home for home, name in enumerate(setup.roster)}
        columns = [
            np.array(values, dtype=np.int64)
            for values in (
                [index[o.household] for o in orders],
                [o.side for o in orders],
                [o.energy_wh for o in orders],
                [o.limit_micro_per_kwh for o in orders],
            )
        ]
        who, side, energy, limit = columns
        book = build_book(setup.seed, setup.start_of(i), who, side.astype(np.int8), energy, limit)
        return clear_interval(setup.mechanism, setup.rules_at(i), setup.roster, setup.start_of(i), book)

    def _registers(self, cleared: Cleared, collected: Collected[ReadingMessage]) -> tuple[IntArray, IntArray]:
        """Registers by home; a home that did not report is taken to have used exactly what it traded."""
        book, accepted = cleared.book, cleared.clearing.accepted_wh
        imported, exported = np.zeros((2, len(self.setup.roster)), dtype=np.int64)
        np.add.at(imported, book.participant[book.side > 0], accepted[book.side > 0])
        np.add.at(exported, book.participant[book.side < 0], accepted[book.side < 0])
        index = {name: home for home, name in enumerate(self.setup.roster)}
        for reading in collected.messages:
            home = index[reading.household]
            imported[home], exported[home] = reading.import_wh, reading.export_wh
        return imported, exported

    def _result(self, start_s: int, cleared: Cleared, block: Any) -> ResultMessage:
        return ResultMessage(
            messages.VERSION,
            self.setup.genesis.chain_id,
            start_s,
            self.setup.minutes,
            block.height,
            cleared.book_root,
            cleared.clearing_root,
            block.postings_root,
            block.block_hash,
            cleared.price,
            cleared.traded_wh,
        )

    async def _home(self, home: int, operator_address: str, task_status: Any) -> None:
        """One household: bid, read, listen, check; nothing but its own columns of the data."""
        import trio

        from p2p.roles.household import Household

        setup = self.setup
        name, genesis = setup.roster[home], setup.genesis
        identity = setup.keys.identity("household", name)
        community = setup.community(home)
        async with self._node(identity) as transport:
            house = Household(
                transport, identity, genesis.chain_id, name, operator_address, genesis.operator, setup.minutes
            )
            await house.join()
            ear = _Ear()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ear.listen, house, setup.start_s)
                task_status.started()
                for i in range(setup.intervals):
                    bids = community.bids(setup.prices.at(i))
                    await self._submit(house, home, i, bids)
                    imported, exported = community.live()
                    self._stored_wh[home] = community.stored_wh[0]
                    await self._report(house, i, int(imported[0]), int(exported[0]))
                    await self._check(house, ear, home, i, int(imported[0]), int(exported[0]))
                nursery.cancel_scope.cancel()

    async def _submit(self, house: Household, home: int, i: int, bids: Bids) -> None:
        setup, start_s = self.setup, self.setup.start_of(i)
        side, energy_wh, limit = (
            int(column[0]) for column in (bids.side, bids.energy_wh, bids.limit_micro_per_kwh)
        )
        message: OrderMessage | NothingMessage
        if energy_wh:
            message = setup.order_message(home, start_s, side, energy_wh, limit)
        else:
            message = NothingMessage(
                messages.VERSION,
                setup.genesis.chain_id,
                start_s,
                setup.minutes,
                house.id,
                setup.nonce(start_s),
            )
        self._accept(await house.submit(message), house.id, "order")

    async def _report(self, house: Household, i: int, import_wh: int, export_wh: int) -> None:
        setup, start_s = self.setup, self.setup.start_of(i)
        reading = ReadingMessage(
            messages.VERSION,
            setup.genesis.chain_id,
            start_s,
            setup.minutes,
            house.id,
            setup.nonce(start_s),
            import_wh,
            export_wh,
            int(setup.meter.quality[setup.first_row + i, setup.roster.index(house.id)]),
        )
        self._accept(await house.send_reading(reading), house.id, "reading")

    def _accept(self, receipt: Any, home: str, what: str) -> None:
        if receipt.code != ReceiptCode.ACCEPTED:
            raise LiveFailed.of(
                home, f"the operator answered its {what} with {ReceiptCode(receipt.code).name}"
            )
        self.network.receipts += 1

    async def _check(
        self, house: Household, ear: _Ear, home: int, i: int, import_wh: int, export_wh: int
    ) -> None:
        """Hear the result, fetch the proof of the home's own line, and check it as if nobody were trusted."""
        start_s = self.setup.start_of(i)
        result = await ear.hear(start_s)
        if result is None:
            result = await house.result(start_s)
            self.network.by_request += 1
        else:
            self.network.by_gossip += 1
        line = check_proof(await house.line(start_s), self.setup.genesis)
        proven = (line.account, line.interval_start, line.values["import_wh"], line.values["export_wh"])
        if proven != (home, start_s, import_wh, export_wh) or line.block_hash != result.block_hash:
            raise VerificationFailed.of(
                f"{house.id}, {self.setup.interval(i)}",
                "the proof is not of this home's meter and the announced block",
            )
        self.network.proofs_checked += 1


class _Ear:
    """Keeps what a home heard by gossip, by interval."""

    def __init__(self) -> None:
        import trio

        self._heard: dict[int, ResultMessage] = {}
        self._news = trio.Condition()

    async def listen(self, house: Household, first_s: int) -> None:
        """Listen for as long as the home lives."""
        async for result in house.results(first_s):
            async with self._news:
                self._heard[result.interval_start] = result
                self._news.notify_all()

    async def hear(self, start_s: int) -> ResultMessage | None:
        """The result of an interval, or None when gossip has not brought it in time."""
        import trio

        with trio.move_on_after(GOSSIP_PATIENCE_S):
            async with self._news:
                while start_s not in self._heard:
                    await self._news.wait()
        return self._heard.pop(start_s, None)
