"""Each oracle of simulated runs fails on a history that has what it forbids, and on nothing else.

Oracles that a lie or a missing rule shows are tested in test_lies.py and test_findings.py as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from p2p.wire.messages import NothingMessage, ReadingMessage
from wattswap.simulation.history import History
from wattswap.simulation.oracles import DISK_MAX_BYTES, MESSAGES_MAX_PER_S, ORACLES, judge
from wattswap.simulation.plan import Act, Plan, Shape, read_plan
from wattswap.simulation.run import simulated

PLANS = Path(__file__).with_name("plans")


@pytest.fixture(scope="module")
def honest() -> Iterator[History]:
    """A finished run of honest nodes."""
    with simulated(Plan(shape=Shape(intervals=5), calm_after=1)) as outcome:
        yield outcome.history


@pytest.fixture
def history(honest: History) -> History:
    """The same run, to be changed by one test."""
    return copy_of(honest)


def copy_of(honest: History) -> History:
    """The same run; a change of one is none of the other."""
    copy = History(
        honest.plan,
        honest.base,
        replace(
            honest.truth,
            spoken=dict(honest.truth.spoken),
            receipts=list(honest.truth.receipts),
            settled=dict(honest.truth.settled),
            blobs=dict(honest.truth.blobs),
            ended=list(honest.truth.ended),
            held=dict(honest.truth.held),
            votes=dict(honest.truth.votes),
            sent=Counter(honest.truth.sent),
        ),
        honest.folders,
        list(honest.unfinished),
        list(honest.acted),
    )
    copy.chains = dict(honest.chains)
    copy.settled = dict(honest.settled)
    copy.settlements = {start_s: list(heights) for start_s, heights in honest.settlements.items()}
    return copy


def violated(history: History) -> set[str]:
    return {one.oracle for one in judge(history)}


def test_nothing_is_violated_by_honest_nodes(history: History) -> None:
    assert violated(history) == set()
    assert len(history.settled) == 5
    assert len(history.truth.receipts) > 70


def test_a_node_that_ended(history: History) -> None:
    history.truth.ended.append(("home-01", ValueError("no")))
    assert violated(history) == {"no_node_ends"}


def test_another_block_of_one_node(history: History) -> None:
    (block, cert), *rest = history.chains["validator-1"]
    header = msgspec.structs.replace(block.header, state_root=bytes(32))
    history.chains["validator-1"] = [(msgspec.structs.replace(block, header=header), cert), *rest]
    assert violated(history) == {"agreement"}


def without_largest(readings: tuple[ReadingMessage, ...]) -> tuple[ReadingMessage, ...]:
    """All readings but one that differs from what its home has traded: one that does not is no loss."""
    largest = max(readings, key=lambda one: one.import_wh + one.export_wh)
    return tuple(one for one in readings if one is not largest)


def test_an_accepted_message_that_is_not_settled(history: History) -> None:
    start_s = history.starts()[1]
    settled = history.settled[start_s]
    assert settled.content is not None
    without = replace(settled.content, readings=without_largest(settled.content.readings))
    history.settled[start_s] = replace(settled, content=without)
    assert violated(history) == {"accepted"}


def test_a_home_that_spoke_and_was_left_out(history: History) -> None:
    start_s = history.starts()[1]
    settled = history.settled[start_s]
    assert settled.content is not None
    without = replace(settled.content, orders=settled.content.orders[1:])
    history.settled[start_s] = replace(settled, content=without)
    assert violated(history) == {"accepted", "shut_out"}


def test_an_interval_that_was_settled_before_it_opened(history: History) -> None:
    start_s = history.starts()[2]
    history.settled[start_s] = replace(history.settled[start_s], at_s=0.5)
    assert "dates" in violated(history)


def test_an_interval_that_was_settled_late_or_never(history: History) -> None:
    start_s = history.starts()[1]
    history.settled[start_s] = replace(history.settled[start_s], at_s=80.0)
    assert violated(history) == {"liveness"}
    del history.settled[start_s]
    assert violated(history) == {"liveness"}


def test_a_home_that_did_not_finish(history: History) -> None:
    history.unfinished.append("home-02")
    assert violated(history) == {"liveness"}


@pytest.mark.parametrize("field", ["traded_wh", "clearing_root", "inclusion_root", "postings_root"])
def test_a_batch_that_does_not_follow_from_its_messages(field: str, history: History) -> None:
    start_s = history.starts()[0]
    settled = history.settled[start_s]
    value = getattr(settled.args, field)
    other = bytes(32) if isinstance(value, bytes) else value + 1
    history.settled[start_s] = replace(settled, args=msgspec.structs.replace(settled.args, **{field: other}))
    assert violated(history) == {"money"}


def test_a_blob_that_nobody_has(history: History) -> None:
    history.truth.blobs.clear()
    assert violated(history) == {"money"}


def test_a_reading_that_no_meter_counted(history: History) -> None:
    start_s = history.starts()[0]
    settled = history.settled[start_s]
    assert settled.content is not None
    first, *rest = settled.content.readings
    higher = msgspec.structs.replace(first, import_wh=first.import_wh + 1)
    history.settled[start_s] = replace(settled, content=replace(settled.content, readings=(higher, *rest)))
    assert {"meters", "accepted"} <= violated(history)


def test_an_order_that_is_not_what_its_home_has_to_trade(history: History) -> None:
    start_s = history.starts()[0]
    settled = history.settled[start_s]
    assert settled.content is not None
    first, *rest = settled.content.orders
    lines = tuple(msgspec.structs.replace(line, energy_wh=line.energy_wh + 1) for line in first.orders)
    other = msgspec.structs.replace(first, orders=lines)
    history.settled[start_s] = replace(settled, content=replace(settled.content, orders=(other, *rest)))
    assert violated(history) == {"accepted", "dates", "meters"}


def test_a_home_that_is_settled_as_if_it_had_nothing_to_trade(history: History) -> None:
    start_s = history.starts()[0]
    settled = history.settled[start_s]
    assert settled.content is not None
    first, *rest = settled.content.orders
    head = {name: getattr(first, name) for name in NothingMessage.__struct_fields__}
    never_said = NothingMessage(**head)
    content = replace(settled.content, orders=tuple(rest), nothings=(never_said, *settled.content.nothings))
    history.settled[start_s] = replace(settled, content=content)
    assert violated(history) == {"accepted", "dates", "meters"}


def test_a_full_store(history: History) -> None:
    history.truth.held["validator-0", "bytes on disk"] = DISK_MAX_BYTES + 1
    assert violated(history) == {"bounded"}


def test_a_node_that_says_too_much(history: History) -> None:
    history.truth.sent["home-02"] = round(MESSAGES_MAX_PER_S * history.truth.end_s) + 1
    assert violated(history) == {"bounded"}


def test_a_validator_that_votes_twice(history: History) -> None:
    history.truth.votes["validator-2", 1, 3, 0] = {bytes(32), None}
    assert violated(history) == {"agreement"}


@pytest.mark.parametrize("name", ["validator-1", "operator-0"])
def test_a_node_that_does_not_follow_the_chain(name: str, history: History) -> None:
    history.chains[name] = history.chains[name][:1]
    assert violated(history) == {"liveness"}
    history.acted.append((4.0, Act("gone", (name,))))
    assert violated(copy_of(history)) == set()


def test_a_validator_that_does_not_vote(history: History) -> None:
    for key in list(history.truth.votes):
        if key[0] == "validator-3" and key[2] > 1:
            del history.truth.votes[key]
    assert violated(history) == {"liveness"}


def test_a_home_that_is_missing_in_the_calm(history: History) -> None:
    start_s = history.starts()[4]
    settled = history.settled[start_s]
    assert settled.content is not None
    without = replace(settled.content, readings=without_largest(settled.content.readings))
    history.settled[start_s] = replace(settled, content=without)
    assert violated(history) == {"accepted", "takes_part"}


def test_a_home_that_gets_no_proof_of_its_line_in_the_calm(history: History) -> None:
    start_s = history.starts()[4]
    history.proofs = {**history.proofs, ("home-05", start_s): 0}
    assert violated(history) == {"takes_part"}
    history.proofs = {**history.proofs, ("home-05", start_s): 1, ("home-05", history.starts()[1]): 0}
    assert violated(history) == set()


def test_a_home_that_leaves_out_an_interval(history: History) -> None:
    start_s = history.starts()[1]
    truth = history.truth
    silent = {
        name
        for name, one in truth.spoken.items()
        if (one.message.household, one.message.interval_start) == ("home-05", start_s)
    }
    truth.receipts = [one for one in truth.receipts if one.name not in silent]
    for name in silent:
        del truth.spoken[name]
    assert violated(history) == {"dates", "takes_part"}


def test_an_interval_that_was_settled_twice(history: History) -> None:
    history.settlements[history.starts()[1]].append(9)
    assert violated(history) == {"money"}


def test_clocks_that_are_ahead_do_not_add_up(history: History) -> None:
    """Four clocks that are ahead by a second explain one second."""
    start_s = history.starts()[2]
    opens_s = history.plan.opens_s(2)
    acts = tuple(Act("skew", (f"validator-{i}",), amount=1.0) for i in range(4))
    history.plan = msgspec.structs.replace(history.plan, acts=acts)
    for early_s, found in ((0.9, set[str]()), (1.5, {"dates"})):
        history.settled[start_s] = replace(history.settled[start_s], made_s=opens_s - early_s)
        assert violated(history) == found


def test_a_proof_that_does_not_check(history: History) -> None:
    history.omissions = [("home-01", b"junk")]
    assert violated(history) == {"no_honest_convicted"}


def test_an_honest_key_that_is_convicted() -> None:
    """The proofs against a validator that breaks a promise are as good as against an honest one."""
    with simulated(read_plan(PLANS / "break_promise.json")) as outcome:
        found = outcome.history
        honest = msgspec.structs.replace(found.plan, lies=())
        accused = History(honest, found.base, found.truth, found.folders, found.unfinished, found.acted)
        assert "no_honest_convicted" not in violated(found)
        assert "no_honest_convicted" in violated(accused)


def test_every_oracle_says_what_it_demands() -> None:
    assert all(oracle.__doc__ for oracle in ORACLES.values())
