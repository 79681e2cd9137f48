"""Whom a node asks no more: collectors with wrong answers until the next interval is settled, convicted ones never."""

from __future__ import annotations

import pytest

from p2p.roles.household.collectors import Collectors, Sets
from tests.kits.line_kit import Line, collectors, fail_over, named, on_line


def four() -> Collectors:
    return collectors(Line(), named("o", 1), named("a", 3))


def test_a_wrong_answer_leads_to_the_next_until_the_next_interval_is_settled() -> None:
    ways, (operator,) = four(), named("o", 1)
    ways.name(operator.key, 3, 3)
    ways.distrust(operator)
    assert ways.current.address == "a0"
    for old in (2, 3):
        ways.name(operator.key, old, old)
        assert ways.current.address == "a0"
    ways.name(operator.key, 4, 4)
    assert ways.current.address == "o0"


def test_a_wrong_answer_of_one_that_is_not_asked_now_changes_nobody() -> None:
    ways = four()
    ways.distrust(named("a", 3)[0])
    assert ways.current.address == "o0"
    ways.distrust(named("o", 1)[0])
    assert ways.current.address == "a1", "a0 is passed over"


def test_where_all_have_answered_wrongly_they_are_asked_again_in_their_order() -> None:
    ways, asked = four(), []
    for _ in range(9):
        asked.append(ways.current.address)
        ways.distrust(ways.current)
    assert asked == ["o0", "a0", "a1", "a2", "o0", "a0", "a1", "a2", "o0"]


def test_one_that_does_not_answer_is_left_though_all_others_are_distrusted() -> None:
    async def body(line: Line) -> None:
        ways = collectors(line, named("o", 2))
        ways.distrust(named("o", 2)[0])
        assert ways.current.address == "o1"
        assert await fail_over(ways) == "o0"

    on_line(body, away={"o1"})


def test_a_convicted_collector_is_never_asked_again() -> None:
    ways, (operator,) = four(), named("o", 1)
    ways.convict(operator.key)
    assert ways.current.address == "a0"
    for height in range(1, 9):
        ways.name(operator.key, height, height)
        assert ways.current.key != operator.key
        ways.distrust(ways.current)
        assert ways.current.key != operator.key


def test_where_everybody_is_convicted_anybody_is_asked() -> None:
    ways = collectors(Line(), named("o", 2))
    for one in named("o", 2):
        ways.convict(one.key)
    assert set(ways.line) == {one.key for one in named("o", 2)}
    assert ways.current.address in {"o0", "o1"}


def test_only_a_newer_height_names_whom_to_ask() -> None:
    ways, both = collectors(Line(), named("o", 2)), named("o", 2)
    for height, one, current in [(5, 1, "o1"), (5, 0, "o1"), (4, 0, "o1"), (6, 0, "o0"), (9, 1, "o1")]:
        ways.name(both[one].key, height, height)
        assert ways.current.address == current


def test_one_that_was_removed_is_asked_no_more() -> None:
    sets = [Sets((named("o", 1)[0].key,), ())]
    both = (*named("o", 1), *named("a", 1))
    addresses = {one.key: one.address for one in both}
    ways = Collectors(Line(), addresses, lambda: sets[-1])  # type: ignore[arg-type]
    assert ways.current.address == "o0"
    sets.append(Sets((), (named("a", 1)[0].key,)))
    assert ways.current.address == "a0"
    assert ways.keys == {named("a", 1)[0].key}


def test_one_without_an_address_is_never_asked() -> None:
    (away,), (here,) = named("o", 1), named("a", 1)
    sets = Sets((away.key,), (here.key,))
    ways = Collectors(Line(), {here.key: here.address}, lambda: sets)  # type: ignore[arg-type]
    assert ways.line == (here.key,)
    assert ways.keys == {away.key, here.key}, "its receipts count"


@pytest.mark.parametrize(("validators", "witnesses"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (25, 9)])
def test_a_message_binds_the_chain_with_one_promise_more_than_validators_may_fail(
    validators: int, witnesses: int
) -> None:
    assert collectors(Line(), named("o", 1), named("a", validators)).witnesses == witnesses
