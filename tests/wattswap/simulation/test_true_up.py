"""A home whose node is down for a while: its readings come late, and its bills are as if they had not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import msgspec
import numpy as np
import pytest

from p2p.batches.batch import salted
from p2p.batches.blob import open_blob
from p2p.blocks.block import ZERO_HASH
from p2p.ledger.versions import is_due
from tests.wattswap.simulation.test_lies import plan_of
from wattswap.nodes.interval import recompute
from wattswap.runs.interval import IntervalRecord, settled_interval
from wattswap.runs.solutions import Solutions
from wattswap.simulation.base import base_of
from wattswap.simulation.history import History
from wattswap.simulation.oracles import judge
from wattswap.simulation.plan import Act, Plan, Shape
from wattswap.simulation.run import simulated

SHAPE = Shape(intervals=12)
HOME = base_of(SHAPE, False).of_role("household")[2]


def outage(kind: str, down_s: float, after_s: float) -> Plan:
    """The node of one home is down from the second interval on."""
    acts = (Act(kind, (HOME,), "settled", 1, after_s=after_s, for_s=down_s),)  # type: ignore[arg-type]
    return Plan(seed=3, shape=SHAPE, acts=acts, calm_after=9)


def record_of(history: History, start_s: int, *, newest: bool) -> IntervalRecord:
    """An interval as its first or its newest version settles it."""
    args = history.settled[start_s].args
    if newest and start_s in history.later:
        args = history.later[start_s][-1].args
    blob = history.blob_of(args)
    assert blob is not None
    content = open_blob(blob, history.setup.genesis, history.setup.member_list)
    found = recompute(history.setup, content, ZERO_HASH, Solutions(None))
    assert salted(found.record.settled.postings, start_s, content.interval_secret).root == args.postings_root
    return found.record


def with_all_readings(history: History, record: IntervalRecord) -> IntervalRecord:
    """The same orders, settled with what all meters counted, as if everybody had reported in time."""
    i = history.setup.index_of(record.start_s)
    true = history.base.metered[i]
    registers = true.import_wh, true.export_wh
    return settled_interval(history.setup, i, record.book, record.clearing, *registers, {})


@pytest.fixture(params=[("restart", 35.0, 0.5), ("power", 25.0, 8.0), ("cut", 31.0, 9.0)])
def history(request: pytest.FixtureRequest) -> Iterator[History]:
    with simulated(outage(*request.param)) as outcome:
        yield outcome.history


def test_after_an_outage_of_a_home_all_bills_are_those_without_it(history: History) -> None:
    """Its orders of that time are missing: who is away trades nothing. What it metered costs the same."""
    home = history.setup.roster.index(history.base.configs[HOME].households[0])
    assert judge(history) == []
    assert history.later, "nothing was settled without a reading"
    for start_s in history.starts():
        newest = record_of(history, start_s, newest=True)
        wanted = with_all_readings(history, newest)
        assert np.array_equal(newest.settled.postings.lines, wanted.settled.postings.lines)
        first = record_of(history, start_s, newest=False).settled.postings.total_nano
        if start_s in history.later:
            assert first[home] < newest.settled.postings.total_nano[home], "silence was deemed use"
        else:
            assert np.array_equal(first, newest.settled.postings.total_nano)


def test_each_interval_is_settled_again_only_when_it_is_due_and_for_the_home_that_was_down(
    history: History,
) -> None:
    name = history.base.configs[HOME].households[0]
    for start_s, found in history.later.items():
        assert [later.version for later in found] == [2], "all its readings came together"
        content = history.settled[start_s].content
        assert content is not None
        read = {one.household for one in content.readings}
        assert set(history.setup.roster) - read == {name}
        assert is_due(1, 0)


def test_versions_that_do_not_follow_are_found(history: History) -> None:
    start_s, (later, *_) = next(iter(history.later.items()))
    first = history.settled[start_s].args
    for wrong in (
        replace(later, version=3),
        replace(later, blob=history.blob_of(first)),
        replace(later, args=msgspec.structs.replace(later.args, totals=first.totals)),
    ):
        history.later[start_s] = [wrong]
        assert {one.oracle for one in judge(history)} == {"versions"}
    history.later[start_s] = [later]
    assert judge(history) == []


@cache
def credited(*, silent: bool) -> tuple[int, int]:
    """What the home that is silent in the stored plan is credited over all intervals, and in how many it is silent."""
    plan = plan_of("silent")
    with simulated(plan) as outcome:
        history = outcome.history
        home = history.setup.roster.index(history.base.configs[plan.lies[0].who].households[0])
        records = [record_of(history, start_s, newest=True) for start_s in history.starts()]
        lacking = [
            content is not None
            and all(one.household != history.setup.roster[home] for one in content.readings)
            for content in (history.settled[start_s].content for start_s in history.starts())
        ]
        if not silent:
            records = [with_all_readings(history, record) for record in records]
        return sum(int(one.settled.postings.total_nano[home]) for one in records), sum(lacking)


def test_a_silent_home_pays_more_than_with_its_readings() -> None:
    paid, lacking = credited(silent=True)
    assert lacking >= 2
    assert paid < credited(silent=False)[0]
