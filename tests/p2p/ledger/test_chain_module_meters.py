"""Meters: who registers and anchors, and corrections that leave the old version visible."""

from __future__ import annotations

import msgspec
import pytest

from p2p.ledger.modules import meters
from p2p.ledger.modules.meters import AnchorArgs, RegisterArgs
from tests.kits.modules_kit import DAY, HOMES, OPERATORS, Chain, make_genesis, refused

FIRST = AnchorArgs(bytes(32), DAY, 1, b"r" * 32, 96, bytes(32))


@pytest.fixture
def chain() -> Chain:
    made = Chain(make_genesis())
    made.settle_day()
    return made


def test_only_an_operator_registers_a_meter(chain: Chain) -> None:
    """A household that registered what it likes could have certificates issued for it."""
    args = RegisterArgs(bytes(32), 0, meters.PRODUCTION, 5_000, 0)
    with refused("tx_role"):
        chain.call(HOMES[0], "meters.register", args)
    chain.call(OPERATORS[1], "meters.register", args)
    assert meters.find(chain.tip.state.view(), bytes(32)).household == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"meter": bytes(31)},
        {"household": 4},
        {"household": -1},
        {"kind": 0},
        {"kind": 5},
        {"capacity_w": 0},
        {"capacity_w": 10**9 + 1},
        {"efficiency_ppm": 1},
        {"kind": meters.STORAGE},
        {"kind": meters.STORAGE, "efficiency_ppm": 1_000_001},
    ],
)
def test_a_meter_that_cannot_be_is_refused(chain: Chain, changes: dict[str, object]) -> None:
    args = RegisterArgs(bytes(32), 0, meters.PRODUCTION, 5_000, 0)
    with refused("tx_args"):
        chain.call(OPERATORS[0], "meters.register", msgspec.structs.replace(args, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"root": bytes(31)},
        {"leaves": 0},
        {"leaves": 97},
        {"day": -1},
        {"day": 2**40},
        {"version": 0},
        {"version": 2**32},
    ],
)
def test_an_anchor_that_cannot_be_is_refused(chain: Chain, changes: dict[str, object]) -> None:
    with refused("tx_args"):
        chain.call(OPERATORS[0], "meters.anchor", msgspec.structs.replace(FIRST, **changes))


def test_a_correction_names_what_it_corrects_and_both_stay_visible(chain: Chain) -> None:
    meter = chain.register("m", 0, meters.BOTH)
    first = msgspec.structs.replace(FIRST, meter=meter)
    second = msgspec.structs.replace(first, version=2, root=b"s" * 32, previous=first.root)
    chain.call(HOMES[0], "meters.anchor", first)
    chain.call(OPERATORS[0], "meters.anchor", second)
    view = chain.tip.state.view()
    anchors = [meters.anchor_of(view, meter, DAY, version) for version in (1, 2, 3)]
    assert [anchor and (anchor.root, anchor.previous) for anchor in anchors] == [
        (first.root, bytes(32)),
        (second.root, first.root),
        None,
    ]
    assert meters.newest_version(view, meter, DAY) == 2


@pytest.mark.parametrize(
    "changes",
    [{}, {"version": 1}, {"version": 3}, {"previous": b"x" * 32}, {"version": 2, "previous": bytes(32)}],
)
def test_a_version_follows_the_newest_one(chain: Chain, changes: dict[str, object]) -> None:
    meter = chain.register("m", 0, meters.BOTH)
    first = msgspec.structs.replace(FIRST, meter=meter)
    chain.call(HOMES[0], "meters.anchor", first)
    with refused("anchor_version"):
        chain.call(HOMES[0], "meters.anchor", msgspec.structs.replace(first, **changes))


def test_a_day_is_anchored_when_it_is_over_and_settled() -> None:
    chain = Chain(make_genesis())
    meter = chain.register("m", 0, meters.BOTH)
    first = msgspec.structs.replace(FIRST, meter=meter)
    with refused("anchor_early"):
        chain.call(HOMES[0], "meters.anchor", first)
    chain.settle_day()
    chain.call(HOMES[0], "meters.anchor", first)
    with refused("anchor_early"):
        chain.call(HOMES[0], "meters.anchor", msgspec.structs.replace(first, day=DAY + 1))


def test_a_household_anchors_its_own_meters_only(chain: Chain) -> None:
    meter = chain.register("m", 0, meters.BOTH)
    with refused("meter_owner"):
        chain.call(HOMES[1], "meters.anchor", msgspec.structs.replace(FIRST, meter=meter))
