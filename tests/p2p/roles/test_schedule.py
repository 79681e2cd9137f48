"""When slots are open and whose turn it is: the times of an interval, the line of collectors, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p.batches.batch import BatchArgs
from p2p.batches.closings import NotClosed
from p2p.ledger.modules.accounts import SIGNS_AFTER
from p2p.roles.exchange.turns import GateOpen, NotDue, NotInTurn, Timing, line_of
from p2p.roles.replica.schedule import AHEAD, TOLERANCE_MS, Schedule
from p2p.wire.identity import Identity
from p2p.wire.messages import ReceiptCode
from tests.kits.chain_kit import START, STEP, make_args

ROUNDS = 3
TIMING = Timing(rounds=ROUNDS, gate_ms=2_000, takeover_ms=3_000)
KEYS = [Identity.from_seed(bytes([number]) * 32).public_key for number in range(7)]
OPERATORS, VALIDATORS, STRANGER = tuple(KEYS[:2]), tuple(KEYS[2:6]), KEYS[6]
SETTLED_MS = 1_000 * START - 700
"""When the interval before START was settled. [ms since 1970, UTC]"""
OPENS_MS = 1_000 * START


class Clock:
    """A clock that a test sets, and a chain whose next interval is START."""

    def __init__(
        self, last: int = START - STEP, collector: bytes = OPERATORS[0], began_ms: int = OPENS_MS - 10_000
    ) -> None:
        self.now_ms, self.asked = began_ms, list[tuple[int, int | None]]()
        settled = SimpleNamespace(last_interval_start=last, collector=collector)
        state = SimpleNamespace(settled=settled, operators=OPERATORS, validators=VALIDATORS)
        self.ledger: Any = SimpleNamespace(
            tip=SimpleNamespace(state=state),
            settled_ms=SETTLED_MS,
            genesis=SimpleNamespace(params=SimpleNamespace(minutes=STEP // 60)),
        )
        self.schedule = Schedule(self.ledger, TIMING, self.following, self.opens_ms, lambda: self.now_ms)
        self.now_ms = max(began_ms, OPENS_MS)

    @staticmethod
    def following(last: int) -> int:
        return START if last < 0 else last + STEP

    def opens_ms(self, start: int, settled_ms: int | None) -> int:
        self.asked.append((start, settled_ms))
        return OPENS_MS + 10_000 * (start - START) // STEP

    def at(self, ms: int) -> Schedule:
        """The schedule so long after START has opened."""
        self.now_ms = OPENS_MS + ms
        return self.schedule


# --- times ------------------------------------------------------------------------------------------------


def test_gates_end_one_after_the_other() -> None:
    ends = [TIMING.closes_ms(slot, OPENS_MS, SETTLED_MS) - OPENS_MS for slot in range(ROUNDS + 1)]
    assert ends == [2_000, 4_000, 6_000, 8_000]


def test_readings_of_an_interval_whose_time_has_passed_have_a_gate_after_the_one_before_was_settled() -> None:
    late_ms = OPENS_MS + 60_000
    ends = [TIMING.closes_ms(slot, OPENS_MS, late_ms) - OPENS_MS for slot in range(ROUNDS + 1)]
    assert ends == [2_000, 4_000, 6_000, 62_000]


def test_turns_come_after_the_last_gate_and_takeovers_after_the_opening() -> None:
    turns = [TIMING.turn_ms(place, OPENS_MS, SETTLED_MS) - OPENS_MS for place in range(4)]
    assert turns == [0, 11_000, 14_000, 17_000]
    stands = [TIMING.takes_over_ms(place, OPENS_MS, SETTLED_MS) - OPENS_MS for place in range(4)]
    assert stands == [0, 3_000, 6_000, 9_000]
    late_ms = OPENS_MS + 60_000
    assert TIMING.turn_ms(1, OPENS_MS, late_ms) == late_ms + 5_000
    assert TIMING.takes_over_ms(1, OPENS_MS, late_ms) == late_ms + 3_000


def test_a_schedule_takes_the_times_of_the_interval_that_is_settled_next_from_the_chain() -> None:
    clock = Clock()
    assert clock.schedule.due_start == START
    assert Clock(last=-1).schedule.due_start == START
    assert clock.schedule.closes_ms(START, 1) == OPENS_MS + 4_000
    assert clock.schedule.closes_ms(START + STEP, 0) == OPENS_MS + 12_000
    assert clock.asked == [(START, SETTLED_MS), (START + STEP, None)], (
        "who settles the later one is not known"
    )
    assert [clock.schedule.turn_ms(place) - OPENS_MS for place in (0, 2)] == [0, 14_000]
    assert [clock.schedule.takes_over_ms(place) - OPENS_MS for place in (0, 2)] == [0, 6_000]


def test_a_node_that_was_down_gives_readings_a_gate_after_its_start_and_orders_none() -> None:
    """All were down while START was open: else its readings, which nobody could take, would be refused."""
    began_ms = OPENS_MS + 60_000
    schedule = Clock(began_ms=began_ms).schedule
    assert schedule.closes_ms(START, ROUNDS) == began_ms + 2_000
    assert schedule.closes_ms(START, 0) == OPENS_MS + 2_000
    assert [schedule.turn_ms(place) for place in (0, 1)] == [OPENS_MS, began_ms + 2_000 + 3_000]
    assert schedule.takes_over_ms(1) == OPENS_MS + 3_000, "with all messages nobody is waited for"


def test_no_message_is_taken_of_an_interval_that_a_new_key_of_a_home_signs() -> None:
    """The chain lets a key sign from the first interval on of which nobody honest can have taken a message."""
    schedule = Clock().at(10**9)
    last = START - STEP
    taken = [n for n in range(1, 9) if schedule.refusal(last + n * STEP, ROUNDS) is None]
    assert taken == [*range(1, SIGNS_AFTER)]


# --- the line ---------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.integers(1, 7), st.sampled_from(KEYS))
def test_the_line_has_everybody_once_and_another_validator_first_in_each_interval(
    number: int, count: int, first: bytes
) -> None:
    operators, validators = KEYS[:2], KEYS[:count]
    line = line_of(first, operators, validators, number)
    assert len(set(line)) == len(line)
    assert set(line) == {*operators, *validators}
    assert line[0] == (first if first in line else operators[0])
    rest = [key for key in line if key not in (first, *operators)]
    turned = [validators[(number + i) % count] for i in range(count)]
    assert rest == [key for key in turned if key not in (first, *operators)]


def test_a_collector_that_was_removed_comes_nowhere() -> None:
    assert line_of(STRANGER, OPERATORS, VALIDATORS, 0) == (*OPERATORS, *VALIDATORS)
    assert line_of(b"", (), VALIDATORS, 1) == (*VALIDATORS[1:], VALIDATORS[0])
    assert line_of(OPERATORS[1], OPERATORS, (), 5) == (OPERATORS[1], OPERATORS[0])
    assert line_of(STRANGER, (), (), 5) == ()


def test_a_schedule_has_the_line_of_the_interval_that_is_settled_next() -> None:
    clock = Clock(collector=VALIDATORS[2])
    assert clock.schedule.line() == line_of(VALIDATORS[2], OPERATORS, VALIDATORS, START // STEP)


# --- messages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_ms", "slot", "code"),
    [
        (-TOLERANCE_MS - 1, 0, ReceiptCode.EARLY),
        (-TOLERANCE_MS - 1, ROUNDS, ReceiptCode.EARLY),
        (-TOLERANCE_MS, 0, None),
        (-TOLERANCE_MS, 2, None),
        (0, 0, None),
        (2_000, 0, None),
        (2_001, 0, ReceiptCode.LATE),
        (2_001, 1, None),
        (4_000, 1, None),
        (4_001, 1, ReceiptCode.LATE),
        (6_001, 2, ReceiptCode.LATE),
        (6_001, ROUNDS, None),
        (10**9, ROUNDS, None),
    ],
)
def test_a_message_is_taken_from_the_opening_to_the_end_of_its_gate(
    at_ms: int, slot: int, code: ReceiptCode | None
) -> None:
    """Readings are taken until the interval is settled: nothing is traded by them."""
    assert Clock().at(at_ms).refusal(START, slot) == code


@pytest.mark.parametrize(
    ("later", "at_ms", "code"),
    [
        (-1, 0, ReceiptCode.LATE),
        (-1, -(10**9), ReceiptCode.LATE),
        (1, 9_749, ReceiptCode.EARLY),
        (1, 9_750, None),
        (AHEAD, 20_000, None),
        (AHEAD + 1, 10**9, ReceiptCode.EARLY),
    ],
)
def test_messages_of_few_later_intervals_are_taken_and_of_no_earlier_one(
    later: int, at_ms: int, code: ReceiptCode | None
) -> None:
    assert Clock().at(at_ms).refusal(START + later * STEP, ROUNDS) == code


def test_a_time_that_is_no_start_of_an_interval_is_early() -> None:
    assert Clock().at(5).refusal(START + 60, 0) == ReceiptCode.EARLY


# --- closings ---------------------------------------------------------------------------------------------


def test_a_slot_is_closed_when_its_gate_has_ended_by_the_own_clock_and_not_before() -> None:
    clock = Clock()
    with pytest.raises(GateOpen, match=f"slot 1 of interval {START} is open for 1 ms"):
        clock.at(3_999).check_closed(START, 1)
    clock.at(4_000).check_closed(START, 1)
    with pytest.raises(GateOpen):
        clock.at(7_999).check_closed(START, ROUNDS)
    clock.at(8_000).check_closed(START, ROUNDS)


@pytest.mark.parametrize("later", [-1, 1])
def test_slots_of_the_interval_that_is_settled_next_alone_are_closed(later: int) -> None:
    with pytest.raises(NotInTurn, match=f"the next is {START}"):
        Clock().at(10**9).check_closed(START + later * STEP, 0)


# --- batches ----------------------------------------------------------------------------------------------


def batch(later: int = 0, next_collector: bytes = OPERATORS[0]) -> BatchArgs:
    args = make_args(0)[1]
    return msgspec.structs.replace(args, interval_start=START + later * STEP, next_collector=next_collector)


def test_a_batch_may_settle_the_next_interval_as_soon_as_it_has_opened() -> None:
    clock = Clock()
    for sender in (*OPERATORS, *VALIDATORS):
        clock.at(-TOLERANCE_MS).check_batch(batch(), sender)
        with pytest.raises(NotDue, match="has not opened"):
            clock.at(-TOLERANCE_MS - 1).check_batch(batch(), sender)


@pytest.mark.parametrize("later", [-1, 1])
def test_a_batch_of_another_interval_is_not_in_turn(later: int) -> None:
    with pytest.raises(NotInTurn, match=f"the next is {START}"):
        Clock().at(10**9).check_batch(batch(later), OPERATORS[0])


def test_a_batch_by_a_stranger_is_never_in_turn() -> None:
    with pytest.raises(NotInTurn, match="no collector"):
        Clock().at(10**9).check_batch(batch(), STRANGER)


def test_a_validator_names_itself_only_when_its_turn_to_take_over_has_come() -> None:
    """Else the fastest one would take the market from its operator."""
    clock = Clock()
    line = clock.schedule.line()
    for place, sender in enumerate(line):
        mine, due_ms = batch(next_collector=sender), 3_000 * place - TOLERANCE_MS
        if sender in OPERATORS:
            clock.at(0).check_batch(mine, sender)
            continue
        clock.at(due_ms).check_batch(mine, sender)
        with pytest.raises(NotDue, match="takes the next turn"):
            clock.at(due_ms - 1).check_batch(mine, sender)
        clock.at(due_ms - 1).check_batch(batch(next_collector=OPERATORS[1]), sender)


def test_the_validator_that_was_named_keeps_the_turn_at_once() -> None:
    clock = Clock(collector=VALIDATORS[1])
    clock.at(0).check_batch(batch(next_collector=VALIDATORS[1]), VALIDATORS[1])


# --- batches that lack messages ---------------------------------------------------------------------------

QUORUM, TOO_FEW = frozenset(VALIDATORS[:3]), frozenset(VALIDATORS[:2])


def test_a_batch_that_lacks_nothing_needs_neither_turn_nor_closings() -> None:
    Clock().at(0).check_lacking(batch(), VALIDATORS[3], ())


def test_a_batch_that_lacks_messages_needs_the_turn_of_its_sender() -> None:
    clock = Clock()
    for place, sender in enumerate(clock.schedule.line()):
        due_ms = (8_000 + 3_000 * place if place else 0) - TOLERANCE_MS
        clock.at(due_ms).check_lacking(batch(), sender, (QUORUM,))
        with pytest.raises(NotDue, match="turn of the sender has not come"):
            clock.at(due_ms - 1).check_lacking(batch(), sender, (QUORUM,))
    with pytest.raises(NotDue):
        clock.at(8_000 + 6 * 3_000 - TOLERANCE_MS - 1).check_lacking(batch(), STRANGER, (QUORUM,))


@pytest.mark.parametrize(
    "closed",
    [
        (TOO_FEW,),
        (QUORUM, TOO_FEW),
        (frozenset({*TOO_FEW, STRANGER, *OPERATORS}),),
        (frozenset[bytes](),),
    ],
)
def test_each_slot_that_lacks_messages_needs_closings_of_a_quorum_of_the_validators_of_now(
    closed: tuple[frozenset[bytes], ...],
) -> None:
    with pytest.raises(NotClosed, match="3 must"):
        Clock().at(10**9).check_lacking(batch(), OPERATORS[0], closed)
