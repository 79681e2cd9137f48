"""Certificates against a model: a plain dict from every single Wh to who has it and what became of it.

Random calls, most of them refused, go to both. Both must agree on what is refused and on where every Wh is;
a refused call must leave the state root as it was, and no Wh may appear or vanish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from p2p.errors import InvalidTx
from p2p.ledger.issuances import issuance_id, issuance_of, pieces_of
from p2p.ledger.modules import guarantees as certs
from p2p.ledger.modules import meters
from p2p.ledger.modules.guarantees import ClaimArgs, IssueArgs, NameArgs, SplitArgs, TransferArgs
from p2p.ledger.state import check_invariants
from p2p.wire.codec import Record
from tests.kits.modules_kit import DAY_START, HOMES, OPERATORS, STEP, Chain, make_genesis
from tests.kits.sample_kit import some

MADE_MWH = [7_400, 700, 5_900]
"""Small numbers, so that parts that happen to add up are met often."""
USED_MWH = [4_000, 3_000, 2_999]


@dataclass
class Wh:
    owner: int
    piece: int
    status: int = certs.ACTIVE
    flagged: bool = False


@dataclass
class Model:
    """What the rules of docs/reference/protocol/chain-format.md say, Wh by Wh, without ranges, records or sums."""

    issued: dict[int, list[Wh]] = field(default_factory=dict)
    metered_mwh: int = 0
    claimed: dict[int, int] = field(default_factory=dict)

    def piece(self, interval: int, start: int) -> list[Wh] | None:
        wh = self.issued.get(interval, [])
        if start >= len(wh) or wh[start].piece != start:
            return None
        return [w for w in wh if w.piece == start]

    def issue(self, interval: int) -> bool:
        if interval in self.issued:
            return False
        before = self.metered_mwh // 1000
        self.metered_mwh += MADE_MWH[interval]
        self.issued[interval] = [Wh(0, 0) for _ in range(self.metered_mwh // 1000 - before)]
        return True

    def own(self, by: int, interval: int, start: int) -> list[Wh] | None:
        wh = self.piece(interval, start)
        return wh if wh and wh[0].owner == by and wh[0].status == certs.ACTIVE else None

    def split(self, by: int, interval: int, start: int, parts: tuple[int, ...]) -> bool:
        wh = self.own(by, interval, start)
        if wh is None or len(parts) < 2 or min(parts) <= 0 or sum(parts) != len(wh):
            return False
        for part in parts:
            for w in self.issued[interval][start : start + part]:
                w.piece = start
            start += part
        return True

    def transfer(self, by: int, interval: int, start: int, to: int) -> bool:
        wh = self.own(by, interval, start)
        for w in wh or ():
            w.owner = to
        return wh is not None

    def claim(self, by: int, interval: int, start: int, used: int) -> bool:
        wh = self.own(by, interval, start)
        if wh is None or by != 1 or used != interval:
            return False
        if self.claimed.get(used, 0) + len(wh) > USED_MWH[used] // 1000:
            return False
        self.claimed[used] = self.claimed.get(used, 0) + len(wh)
        for w in wh:
            w.status = certs.CLAIMED
        return True

    def withdraw(self, interval: int, start: int) -> bool:
        wh = self.piece(interval, start)
        if not wh or wh[0].flagged or wh[0].status == certs.WITHDRAWN:
            return False
        for w in wh:
            if w.status == certs.ACTIVE:
                w.status = certs.WITHDRAWN
            else:
                w.flagged = True
        return True


@cache
def new_chain() -> tuple[Chain, list[meters.Reading], list[meters.Reading], bytes, bytes]:
    chain = Chain(make_genesis(tx_quota=100_000))
    chain.enter(*range(len(HOMES)))
    chain.settle_day()
    roof = chain.register("roof", 0, meters.PRODUCTION)
    house = chain.register("house", 1, meters.CONSUMPTION)
    made = chain.anchor(roof, [(mwh, 0) for mwh in MADE_MWH])
    used = chain.anchor(house, [(0, mwh) for mwh in USED_MWH])
    return chain, made, used, roof, house


homes = st.integers(0, 2)
intervals = st.integers(0, 2)
starts = st.integers(0, 4)
calls = st.one_of(
    st.tuples(st.just("issue"), intervals),
    st.tuples(
        st.just("split"), homes, intervals, starts, st.lists(st.integers(-1, 4), max_size=3).map(tuple)
    ),
    st.tuples(st.just("halve"), intervals, starts),
    st.tuples(st.just("transfer"), homes, intervals, starts, homes),
    st.tuples(st.just("give"), intervals, starts, homes),
    st.tuples(st.just("claim"), homes, intervals, starts, intervals),
    st.tuples(st.just("withdraw"), intervals, starts),
)


@settings(max_examples=some(150, 50), deadline=None)
@given(st.lists(calls, max_size=25))
def test_every_wh_is_where_the_model_says(steps: list[tuple[object, ...]]) -> None:
    chain, made, used, roof, house = new_chain()
    tip = chain.tip
    model = Model()
    try:
        for step in steps:
            take(chain, model, step, made, used, roof, house)
            compare(chain, model, roof)
    finally:
        chain.tip = tip
        del chain.made[tip.height :]


def take(
    chain: Chain,
    model: Model,
    step: tuple[object, ...],
    made: list[meters.Reading],
    used: list[meters.Reading],
    roof: bytes,
    house: bytes,
) -> None:
    sender, name, args, expected = translate(chain, model, step, made, used, roof, house)
    before = chain.tip.state.root
    try:
        chain.call(sender, f"guarantees.{name}", args)
        accepted = True
    except InvalidTx:
        accepted = False
        assert chain.tip.state.root == before
    assert accepted == expected, step


def translate(chain, model, step, made, used, roof, house):  # type: ignore[no-untyped-def]
    """Sender, method and arguments of a step, and whether the model takes it."""
    kind, *rest = step
    if kind == "issue":
        args: Record = IssueArgs(roof, (made[rest[0]],), chain.balances(roof, made[rest[0]]))
        return HOMES[0], "issue", args, model.issue(*rest)
    if kind == "halve":  # a split that adds up, by the owner
        interval, start = rest
        wh = model.piece(interval, start) or [Wh(0, 0)]
        rest = [wh[0].owner, interval, start, (1, len(wh) - 1)]
        kind = "split"
    if kind == "give":  # a transfer by the owner
        interval, start, to = rest
        wh = model.piece(interval, start) or [Wh(0, 0)]
        rest, kind = [wh[0].owner, interval, start, to], "transfer"
    if kind == "withdraw":
        interval, start = rest
        name = issuance_id(roof, DAY_START + interval * STEP)
        return OPERATORS[0], "withdraw", NameArgs(name, start), model.withdraw(*rest)
    by, interval, start, what = rest
    name = issuance_id(roof, DAY_START + interval * STEP)
    if kind == "split":
        return HOMES[by], kind, SplitArgs(name, start, what), model.split(*rest)
    if kind == "transfer":
        return HOMES[by], kind, TransferArgs(name, start, what, -1), model.transfer(*rest)
    args = ClaimArgs(name, start, house, used[what], chain.balance(house, used[what]))
    return HOMES[by], kind, args, model.claim(*rest)


def compare(chain: Chain, model: Model, roof: bytes) -> None:
    view = chain.tip.state.view()
    for interval in range(3):
        name = issuance_id(roof, DAY_START + interval * STEP)
        record = issuance_of(view, name)
        wh = model.issued.get(interval)
        assert (record is None) == (wh is None)
        if record is None or wh is None:
            continue
        found = [
            Wh(piece.owner, start, piece.status, bool(piece.flagged))
            for start, piece in pieces_of(view, name)
            for _ in range(piece.wh)
        ]
        assert found == wh
        assert record.by_status == tuple(
            sum(w.status == s for w in wh) for s in range(len(certs.STATUS_NAMES))
        )
        assert sum(record.by_status) == record.wh == len(wh)
    check_invariants(view, chain.genesis, chain.tip.height)


def test_the_model_and_the_chain_accept_something_of_every_kind() -> None:
    """Guards the test above: it could pass with everything refused."""
    chain, made, used, roof, house = new_chain()
    model = Model()
    steps = [
        ("issue", 0),
        ("halve", 0, 0),
        ("transfer", 0, 0, 0, 1),
        ("claim", 1, 0, 0, 0),
        ("withdraw", 0, 0),
        ("withdraw", 0, 1),
    ]
    for step in steps:
        before = chain.tip.state.root
        take(chain, model, step, made, used, roof, house)
        compare(chain, model, roof)
        assert chain.tip.state.root != before, step
