"""Faults in the node programs that simulated runs must find: each with the oracle that finds it, and seeds that do.

A mutant changes what honest nodes do, as a mistake in the program would. Nobody lies in its runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import msgspec
import pytest
import trio

from market.clearing import Clearing
from p2p.batches.batch import batches
from p2p.consensus.core import Core
from p2p.consensus.sign_state import ConsensusStore
from p2p.consensus.types import Start
from p2p.errors import OutOfRange
from p2p.ledger.modules import settlement
from p2p.roles.collector import answers, operator
from p2p.roles.collector.closer import Closer
from p2p.roles.collector.intake import Pending
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.journal import Journal
from p2p.roles.household.collectors import Collectors
from p2p.roles.household.witnesses import Witnesses
from p2p.roles.replica.observer import Observer
from p2p.roles.replica.schedule import Schedule
from p2p.roles.validator.catch_up import CatchUp
from p2p.roles.validator.config import ValidatorConfig
from p2p.wire.messages import HandedIn, OrderMessage, ReadingMessage
from tests.wattswap.simulation.mutant_plans import (
    crashes_while_voting,
    late_home,
    late_operator,
    operator_gone,
    quiet,
    restarts,
    slow_and_lossy,
    validators_crash,
)
from wattswap.nodes import interval, roles
from wattswap.nodes.announcer import Announcer
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.home import Home
from wattswap.nodes.pace import Pace
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Plan
from wattswap.simulation.run import simulated

Patch = pytest.MonkeyPatch


class Mutant(NamedTuple):
    """A fault in a node program.

    Args:
        name: What is wrong, as `operator_forgets_an_order`.
        change: Makes the change.
        plan: Of a seed.
        oracle: One that finds it.
        found: In how many of the seeds 0 to 19 it is found by that oracle.
        seeds: The first of these, at most six.
    """

    name: str
    change: Callable[[Patch], None]
    plan: Callable[[int], Plan]
    oracle: str
    found: int
    seeds: tuple[int, ...]


def violated(plan: Plan) -> set[str]:
    """Oracles that a run violates."""
    with simulated(plan) as outcome:
        return {one.oracle for one in judge(outcome.history)}


# --- the operator and its books -------------------------------------------------------------------


def operator_forgets(kind: type[HandedIn]) -> Callable[[Patch], None]:
    """Leaves out the last message of a closed gate; validators do not ask for closings."""

    def change(patch: Patch) -> None:
        right = Operator._collect

        async def collect(self: Operator, wanted: Any, *rest: Any, **named: Any) -> Any:
            found = await right(self, wanted, *rest, **named)
            is_it = (wanted is ReadingMessage) == (kind is ReadingMessage)
            return replace(found, signed=found.signed[:-1]) if is_it else found

        patch.setattr(Operator, "_collect", collect)
        patch.setattr(Schedule, "check_lacking", lambda *_: None)

    return change


def gate_takes_late_messages(patch: Patch) -> None:
    """A closed gate still promises."""
    right = Pending.classify

    def classify(self: Pending, message: HandedIn) -> Any:
        closed, self.closed = self.closed, False
        try:
            return right(self, message)
        finally:
            self.closed = closed

    patch.setattr(Pending, "classify", classify)


def journal_forgets_at_restart(patch: Patch) -> None:
    """The promises of an earlier life do not count."""
    patch.setattr(Journal, "promises", lambda *_: [])
    patch.setattr(Journal, "is_closed", lambda *_: False)


def journal_never_forgets(patch: Patch) -> None:
    """The journal grows with every interval."""
    patch.setattr(Journal, "forget_before", lambda *_: None)


def collector_opens_early(patch: Patch) -> None:
    """Collectors do not wait for the opening, and validators do not look at it."""
    patch.setattr(Pace, "opens_ms", lambda *_: 0)


def witnesses_are_not_asked(patch: Patch) -> None:
    """Homes give their messages to the collector alone."""
    patch.setattr(Witnesses, "show", lambda *_: None)


def closings_are_not_asked(patch: Patch) -> None:
    """A collector closes nothing, and validators vote without closings."""

    async def close(*_: object) -> tuple[()]:
        return ()

    patch.setattr(Closer, "close", close)
    patch.setattr("p2p.roles.replica.schedule.check_closers", lambda *_: None)


def closings_lack_a_promise(patch: Patch) -> None:
    """Validators leave a promise to the second home out of their closings."""
    right = operator.make_closing

    def close(identity: Any, chain_id: bytes, start_s: int, slot: int, promised: Any) -> Any:
        return right(identity, chain_id, start_s, slot, [one for one in promised if one.participant != 1])

    patch.setattr(operator, "make_closing", close)


def validator_promises_after_its_closing(patch: Patch) -> None:
    """A slot that a validator has closed still takes messages."""
    right = Operator.close

    def close(self: Operator, start_s: int, slot: int) -> Any:
        found = right(self, start_s, slot)
        self._gate((start_s, slot)).closed = False
        return found

    patch.setattr(Operator, "close", close)
    patch.setattr(Schedule, "refusal", lambda *_: None)


def later_collectors_wait_for_ever(patch: Patch) -> None:
    """Nobody stands in for an operator that is gone."""
    right = Schedule.line

    def line(self: Schedule) -> tuple[bytes, ...]:
        found = right(self)
        return tuple(key for key in found if key in self.ledger.genesis.operators)

    patch.setattr(Schedule, "line", line)


def validator_repeats_itself(patch: Patch) -> None:
    """A validator sends its status 50 times a second."""
    patch.setattr(roles, "ValidatorConfig", partial(ValidatorConfig, resend_ms=4))


def operator_gives_no_lines(patch: Patch) -> None:
    """Whoever asks for the proof of a line is refused, as if it were long forgotten."""

    def own(*_: object) -> bytes:
        raise OutOfRange("no line")

    patch.setattr(answers, "own", own)


def operator_ends(patch: Patch) -> None:
    """The operator's loop ends with the second interval, and its program with it."""

    async def together(*tasks: Callable[[], Any]) -> None:
        with trio.move_on_after(15.0):
            async with trio.open_nursery() as nursery:
                for task in tasks:
                    nursery.start_soon(task)

    right = roles._together

    async def of_role(*tasks: Callable[[], Any]) -> None:
        is_operator = any(isinstance(getattr(task, "__self__", None), Observer) for task in tasks)
        await (together if is_operator else right)(*tasks)

    patch.setattr(roles, "_together", of_role)


# --- batches and validators -----------------------------------------------------------------------


def wrong_clearing_is_voted_for(patch: Patch) -> None:
    """Collectors name another clearing, and validators vote without a check."""
    right = CollectorLoop._submit

    async def submit(self: CollectorLoop, args: Any) -> None:
        await right(self, msgspec.structs.replace(args, clearing_root=bytes(32)))

    patch.setattr(CollectorLoop, "_submit", submit)
    patch.setattr(BatchChecker, "__call__", lambda *_: ())


def settled_twice(patch: Patch) -> None:
    """An interval may be settled again, and the operator does so."""
    right, known = Announcer.announce_news, settlement.settled
    run = CollectorLoop.run

    async def announce_news(self: Announcer) -> None:
        await right(self)
        loop = loops.get(id(self))
        for block, _ in list(self._ledger.store.blocks())[-1:]:
            for index, args in batches(block.txs) if loop is not None else ():
                if block.txs[index].sender == self._own_key and loop is not None:
                    await loop._submit(args)

    async def running(self: CollectorLoop) -> None:
        loops[id(self._announcer)] = self
        await run(self)

    loops: dict[int, CollectorLoop] = {}
    patch.setattr(Announcer, "announce_news", announce_news)
    patch.setattr(CollectorLoop, "run", running)
    patch.setattr(Schedule, "check_batch", lambda *_: None)
    patch.setattr(
        settlement,
        "settled",
        lambda view: msgspec.structs.replace(known(view), last_interval_start=-1, batches=0),
    )


def readings_are_ignored(patch: Patch) -> None:
    """Every home is settled as if it had metered what it traded, at all nodes alike."""
    right = interval.registers

    def registers(setup: Any, book: Any, clearing: Clearing, _readings: Any) -> Any:
        return right(setup, book, clearing, ())

    patch.setattr(interval, "registers", registers)


def validator_forgets_what_it_signed(patch: Patch) -> None:
    """Neither the record nor the guard outlives a restart."""
    right = ConsensusStore._read.__func__  # type: ignore[attr-defined]

    def read(cls: type[ConsensusStore], *rest: Any) -> ConsensusStore:
        store: ConsensusStore = right(cls, *rest)
        store.record = store.last = None
        return store

    patch.setattr(ConsensusStore, "_read", classmethod(read))


def validator_does_not_catch_up(patch: Patch) -> None:
    """One that is behind fetches nothing, and others do not help it."""

    async def never(_: CatchUp) -> None:
        await trio.sleep_forever()

    patch.setattr(CatchUp, "run", never)
    patch.setattr(CatchUp, "help", lambda *_: None)


def validator_is_silent_after_a_restart(patch: Patch) -> None:
    """A validator that has signed before only watches."""
    right = Core.handle

    def handle(self: Core, event: Any) -> Any:
        if isinstance(event, Start) and event.record is not None:
            event = msgspec.structs.replace(event, sign_from=10**6)
        return right(self, event)

    patch.setattr(Core, "handle", handle)


# --- homes ----------------------------------------------------------------------------------------


def home_reports_a_wrong_register(patch: Patch) -> None:
    """One Wh more than the meter has counted."""
    right = Home._reading

    def reading(self: Home, i: int, start_s: int, import_wh: int, export_wh: int) -> ReadingMessage:
        return right(self, i, start_s, import_wh + (self.index == 3), export_wh)

    patch.setattr(Home, "_reading", reading)


def home_orders_twice_as_much(patch: Patch) -> None:
    """A home doubles the energy of its orders."""
    right = Home._opens_with

    def opens_with(self: Home, i: int, community: Any) -> Any:
        orders, message = right(self, i, community)
        if self.index == 3 and isinstance(message, OrderMessage):
            lines = (msgspec.structs.replace(one, energy_wh=2 * one.energy_wh) for one in message.orders)
            message = msgspec.structs.replace(message, orders=tuple(lines))
        return orders, message

    patch.setattr(Home, "_opens_with", opens_with)


def home_skips_an_interval_after_a_restart(patch: Patch) -> None:
    """A home that goes on begins with the interval after the next."""
    right = roles._first

    def first(node: Any) -> int:
        found = right(node)
        return found + 1 if found else 0

    patch.setattr(roles, "_first", first)


def home_keeps_to_a_dead_collector(patch: Patch) -> None:
    """Nobody goes to the next collector, and nobody follows whom a result names."""
    patch.setattr(Collectors, "_move_on", lambda *_: None)
    patch.setattr(Collectors, "name", lambda *_: None)


MUTANTS = [
    Mutant(
        "operator_forgets_an_order",
        operator_forgets(OrderMessage),
        quiet,
        "no_honest_convicted",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "operator_forgets_a_reading",
        operator_forgets(ReadingMessage),
        quiet,
        "no_honest_convicted",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "gate_takes_late_messages",
        gate_takes_late_messages,
        slow_and_lossy,
        "no_honest_convicted",
        16,
        (1, 2, 3, 4, 5, 7),
    ),
    Mutant(
        "journal_forgets_at_restart",
        journal_forgets_at_restart,
        validators_crash,
        "no_honest_convicted",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "journal_never_forgets",
        journal_never_forgets,
        lambda seed: Plan(seed=seed),
        "bounded",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant("collector_opens_early", collector_opens_early, quiet, "dates", 20, (0, 1, 2, 3, 4, 5)),
    Mutant(
        "witnesses_are_not_asked", witnesses_are_not_asked, late_operator, "shut_out", 20, (0, 1, 2, 3, 4, 5)
    ),
    Mutant(
        "closings_are_not_asked", closings_are_not_asked, late_operator, "shut_out", 20, (0, 1, 2, 3, 4, 5)
    ),
    Mutant(
        "closings_lack_a_promise",
        closings_lack_a_promise,
        late_operator,
        "no_honest_convicted",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "validator_promises_after_its_closing",
        validator_promises_after_its_closing,
        late_home,
        "no_honest_convicted",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "later_collectors_wait_for_ever",
        later_collectors_wait_for_ever,
        operator_gone,
        "liveness",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant("validator_repeats_itself", validator_repeats_itself, quiet, "bounded", 20, (0, 1, 2, 3, 4, 5)),
    Mutant("operator_gives_no_lines", operator_gives_no_lines, quiet, "takes_part", 20, (0, 1, 2, 3, 4, 5)),
    Mutant("operator_ends", operator_ends, quiet, "no_node_ends", 20, (0, 1, 2, 3, 4, 5)),
    Mutant(
        "wrong_clearing_is_voted_for", wrong_clearing_is_voted_for, quiet, "money", 20, (0, 1, 2, 3, 4, 5)
    ),
    Mutant("settled_twice", settled_twice, quiet, "money", 20, (0, 1, 2, 3, 4, 5)),
    Mutant("readings_are_ignored", readings_are_ignored, quiet, "money", 20, (0, 1, 2, 3, 4, 5)),
    Mutant(
        "validator_forgets_what_it_signed",
        validator_forgets_what_it_signed,
        crashes_while_voting,
        "agreement",
        4,
        (4, 6, 7, 13),
    ),
    Mutant(
        "validator_does_not_catch_up",
        validator_does_not_catch_up,
        restarts("validator-2", at_most_s=0.5, for_s=9.0, intervals=8),
        "liveness",
        16,
        (0, 1, 3, 4, 5, 6),
    ),
    Mutant(
        "validator_is_silent_after_a_restart",
        validator_is_silent_after_a_restart,
        restarts("validator-2", at_most_s=0.5, intervals=8),
        "liveness",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "home_reports_a_wrong_register",
        home_reports_a_wrong_register,
        quiet,
        "meters",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "home_orders_twice_as_much",
        home_orders_twice_as_much,
        quiet,
        "meters",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
    Mutant(
        "home_skips_an_interval_after_a_restart",
        home_skips_an_interval_after_a_restart,
        restarts("home-03", at_most_s=8.0),
        "takes_part",
        16,
        (0, 1, 2, 5, 6, 7),
    ),
    Mutant(
        "home_keeps_to_a_dead_collector",
        home_keeps_to_a_dead_collector,
        operator_gone,
        "liveness",
        20,
        (0, 1, 2, 3, 4, 5),
    ),
]
