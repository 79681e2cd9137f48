"""The state: replay gives the same root, and a transaction that breaks a rule changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.settlement.accounts import COLUMN_INDEX
from p2p.batches.batch import BatchArgs, batch_tx
from p2p.blocks import merkle
from p2p.blocks.block import Tx
from p2p.blocks.genesis import Genesis
from p2p.errors import InvalidTx
from p2p.ledger.state import State, apply, initial_state
from p2p.wire.messages import PriceLine
from tests.kits.chain_kit import OPERATOR, START, STEP, identity, make_args, make_genesis

GENESIS = make_genesis()
FIRST = make_args(0)[1]
TX = batch_tx(OPERATOR, GENESIS.chain_id, 1, 10, FIRST)


def tx(nonce: int, args: BatchArgs, genesis: Genesis = GENESIS) -> Tx:
    return batch_tx(OPERATOR, genesis.chain_id, nonce, 10_000, args)


def run(indices: list[int]) -> State:
    state = initial_state(GENESIS)
    for nonce, index in enumerate(indices, 1):
        state = apply(state, tx(nonce, make_args(index)[1]), nonce, GENESIS)
    return state


def with_total(row: int, column: str, change: int) -> BatchArgs:
    totals = [list(numbers) for numbers in FIRST.totals]
    totals[row][COLUMN_INDEX[column]] += change
    return msgspec.structs.replace(FIRST, totals=tuple(tuple(numbers) for numbers in totals))


interval_sets = st.lists(st.integers(0, 500), min_size=1, max_size=6, unique=True).map(sorted)


@settings(max_examples=30)
@given(interval_sets)
def test_replay_gives_the_same_state_root(indices: list[int]) -> None:
    assert run(indices).root == run(indices).root


@settings(max_examples=30)
@given(interval_sets)
def test_every_transaction_changes_the_state_root(indices: list[int]) -> None:
    roots = [run(indices[:length]).root for length in range(len(indices) + 1)]
    assert len(set(roots)) == len(roots)


@settings(max_examples=30)
@given(interval_sets)
def test_the_totals_are_the_sums_of_the_batches_and_money_sums_to_zero(indices: list[int]) -> None:
    state = run(indices)
    batches = [make_args(index)[1] for index in indices]
    for row in range(4):
        for column in range(11):
            assert state.totals[row][column] == sum(batch.totals[row][column] for batch in batches)
    for column in ("trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"):
        assert sum(row[COLUMN_INDEX[column]] for row in state.totals) == 0
    assert state.traded_wh == sum(batch.traded_wh for batch in batches)
    assert state.settled.batches == len(indices)
    assert state.settled.last_interval_start == START + indices[-1] * STEP
    assert state.nonce(OPERATOR.public_key) == len(indices)


def test_totals_grow_beyond_int64() -> None:
    """A large currency unit reaches 9.2e18 nano within a year."""
    big = 2**62
    state = initial_state(GENESIS)
    for index in range(5):
        args = make_args(index)[1]
        totals = [list(row) for row in args.totals]
        totals[0][COLUMN_INDEX["retail_nano"]] = -big
        totals[1][COLUMN_INDEX["retail_nano"]] = big
        args = msgspec.structs.replace(args, totals=tuple(tuple(row) for row in totals))
        state = apply(state, tx(index + 1, args), index + 1, GENESIS)
    assert state.totals[1][COLUMN_INDEX["retail_nano"]] == 5 * big


def test_the_state_root_is_the_tree_over_the_sorted_modules() -> None:
    state = run([0, 1])
    names = [b"accounts", b"evidence", b"governance", b"guarantees", b"meters", b"settlement"]
    leaves = [b"\x0a" + name + state.trees[name.decode()].root for name in names]
    assert state.root == merkle.root_of(leaves)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: msgspec.structs.replace(TX, version=2), "version 2"),
        (lambda: msgspec.structs.replace(TX, chain_id=bytes(32)), "another chain"),
        (lambda: msgspec.structs.replace(TX, module="accounts"), r"no method accounts\.batch"),
        (lambda: msgspec.structs.replace(TX, method="mint"), r"no method settlement\.mint"),
        (
            lambda: msgspec.structs.replace(TX, sender=identity("household", "x").public_key),
            "settlement.batch is for: authority, operator",
        ),
        (lambda: msgspec.structs.replace(TX, valid_until_height=0), "valid until height 0"),
        (lambda: msgspec.structs.replace(TX, nonce=0), "nonce 0; the sender's next is 1"),
        (lambda: msgspec.structs.replace(TX, nonce=2), "nonce 2; the sender's next is 1"),
        (lambda: msgspec.structs.replace(TX, args=TX.args + b"\0"), "arguments of settlement.batch"),
        (lambda: msgspec.structs.replace(TX, args=b""), "arguments of settlement.batch"),
    ],
)
def test_a_transaction_that_breaks_a_rule_is_refused_with_its_reason(
    change: Callable[[], Tx], reason: str
) -> None:
    state = initial_state(GENESIS)
    with pytest.raises(InvalidTx, match=reason):
        apply(state, change(), 1, GENESIS)
    assert state == initial_state(GENESIS)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (with_total(0, "trade_nano", 1), "trade_nano sums to 1 over all accounts"),
        (with_total(3, "grid_fee_nano", -5), "grid_fee_nano sums to -5"),
        (with_total(0, "bought_wh", 1), "the three must be equal"),
        (with_total(0, "local_wh", 2), "local_wh sums to 2 Wh"),
        (with_total(0, "import_wh", 7), "the meters net"),
        (msgspec.structs.replace(FIRST, traded_wh=FIRST.traded_wh + 1), "the three must be equal"),
        (msgspec.structs.replace(FIRST, totals=FIRST.totals[:3]), "4 rows of 12"),
        (msgspec.structs.replace(FIRST, totals=(*FIRST.totals[:3], (0,) * 11)), "4 rows of 12"),
        (msgspec.structs.replace(FIRST, postings_root=bytes(31)), "postings_root must have 32 bytes"),
        (msgspec.structs.replace(FIRST, members=6), "6 members"),
        (msgspec.structs.replace(FIRST, orders=-1), "-1 orders"),
        (msgspec.structs.replace(FIRST, interval_start=START + 1), "15-minute boundary"),
        (msgspec.structs.replace(FIRST, interval_start=-900), "15-minute boundary"),
        (msgspec.structs.replace(FIRST, price=PriceLine(1, 3, 4)), r"price 4 outside its interval 1\.\.3"),
    ],
)
def test_a_batch_that_does_not_add_up_is_refused(args: BatchArgs, reason: str) -> None:
    with pytest.raises(InvalidTx, match=reason):
        apply(initial_state(GENESIS), tx(1, args), 1, GENESIS)


def moved(column: str, amount: int, row: int, other: int) -> BatchArgs:
    """The first batch with an amount moved from one account to another, so that every sum stays."""
    totals = [list(line) for line in FIRST.totals]
    totals[row][COLUMN_INDEX[column]] += amount
    totals[other][COLUMN_INDEX[column]] -= amount
    return msgspec.structs.replace(FIRST, totals=tuple(map(tuple, totals)))


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (moved("loss_wh", -3, 0, 2), "members has loss_wh = -3"),
        (moved("loss_wh", 3, 0, 2), "members has loss_wh = 3"),
        (moved("loss_wh", 3, 1, 3), "retailer has loss_wh = 3"),
        (moved("local_wh", 3, 0, 1), "members has local_wh = 3"),
        (moved("import_wh", 3, 1, 0), "retailer has import_wh = 3"),
        (moved("bought_wh", 3, 3, 0), "market_operator has bought_wh = 3"),
        (moved("sold_wh", 1_000_000, 1, 0), "members has sold_wh = -"),
        (moved("retail_export_wh", 9, 2, 0), "members has retail_export_wh = -9"),
    ],
)
def test_energy_of_an_account_that_cannot_have_it_is_refused_though_the_sums_hold(
    args: BatchArgs, reason: str
) -> None:
    state = initial_state(GENESIS)
    with pytest.raises(InvalidTx, match=reason) as caught:
        apply(state, tx(1, args), 1, GENESIS)
    assert caught.value.code == "settle_sums"
    assert state == initial_state(GENESIS)


WITH_GRID = msgspec.structs.replace(GENESIS, accounts=("grid",))


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        ({"bought_wh": 5, "import_wh": 5}, None),
        ({"sold_wh": 7, "export_wh": 7}, None),
        ({"import_wh": 4, "retail_import_wh": 4}, None),
        ({"bought_wh": 5, "import_wh": 4, "retail_export_wh": 1}, None),
        ({"export_wh": 4, "local_wh": -4}, None),
        ({"bought_wh": 5, "import_wh": 4, "retail_import_wh": -1}, "grid has retail_import_wh = -1"),
        ({"import_wh": 4, "retail_import_wh": 3}, "grid has import_wh = 4"),
        ({"import_wh": 4, "local_wh": -4}, "grid has import_wh = 4"),
        ({"bought_wh": 5, "import_wh": 5, "sold_wh": 1}, "grid has import_wh = 5"),
        ({"bought_wh": -5, "import_wh": -5}, "grid has bought_wh = -5"),
        ({"sold_wh": 5, "import_wh": -5}, "grid has import_wh = -5"),
        ({"sold_wh": 5}, "grid has export_wh = 0"),
        ({"local_wh": -5, "export_wh": 3}, "grid has export_wh = 3"),
        ({"import_wh": 9, "export_wh": 9}, "grid has import_wh = 9"),
        ({"bought_wh": 5, "import_wh": 9, "export_wh": 4}, "grid has import_wh = 9"),
        ({"local_wh": -4, "import_wh": 3, "export_wh": 7}, "grid has import_wh = 3"),
    ],
)
@pytest.mark.parametrize("name", ["grid", "members"])
def test_an_external_account_moves_what_it_trades_nets_or_settles_with_the_retailer(
    name: str, energy: dict[str, int], reason: str | None
) -> None:
    """What the account has too much, the members have too little, so that every sum stays."""
    chain, account = msgspec.structs.replace(WITH_GRID, accounts=(name,)), name
    rows = [list(row) for row in FIRST.totals]
    rows.insert(1, [0] * len(rows[0]))
    for name, value in energy.items():
        rows[1][COLUMN_INDEX[name]] = value
        rows[0][COLUMN_INDEX[name]] -= value
    if reason is None:  # the members have enough to give
        rows[0] = [number + 10 * (i < 7 and i != 4) for i, number in enumerate(rows[0])]
    args = msgspec.structs.replace(
        FIRST, totals=tuple(map(tuple, rows)), traded_wh=FIRST.traded_wh + 10 * (reason is None)
    )
    trade = tx(1, args, chain)
    if reason is None:
        assert apply(initial_state(chain), trade, 1, chain).settled.batches == 1
        return
    with pytest.raises(InvalidTx, match=reason.replace("grid", account)):
        apply(initial_state(chain), trade, 1, chain)


def with_losses(lost_wh: int) -> BatchArgs:
    """The first batch, of which homes have sold so much more than was bought. [Wh]"""
    rows = [list(row) for row in FIRST.totals]
    rows[0][COLUMN_INDEX["sold_wh"]] += lost_wh
    rows[0][COLUMN_INDEX["retail_import_wh"]] += lost_wh
    rows[2][COLUMN_INDEX["loss_wh"]] = lost_wh
    return msgspec.structs.replace(FIRST, totals=tuple(map(tuple, rows)))


def test_losses_are_posted_with_the_grid_operator() -> None:
    state = apply(initial_state(GENESIS), tx(1, with_losses(4)), 1, GENESIS)
    assert state.totals[2][COLUMN_INDEX["loss_wh"]] == 4


def test_lines_of_the_grid_produce_no_energy() -> None:
    with pytest.raises(InvalidTx, match="-4 Wh lost") as caught:
        apply(initial_state(GENESIS), tx(1, with_losses(-4)), 1, GENESIS)
    assert caught.value.code == "settle_sums"


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ((2**62).to_bytes(16, "big", signed=True), "not in its only form"),
        (bytes(8), "not in its only form"),
        (bytes(17), "not in its only form"),
        (b"", "not in its only form"),
        ((2**127 - 1).to_bytes(16, "big", signed=True), "would not fit into 128 bits"),
    ],
)
def test_wide_sums_have_one_form_and_do_not_wrap(number: bytes, reason: str) -> None:
    """Twice the largest amount that 128 bits hold is refused; the state keeps the first."""
    rows = [list(row) for row in FIRST.totals]
    rows[1][COLUMN_INDEX["trade_nano"]] = number
    rows[3][COLUMN_INDEX["trade_nano"]] = (-(2**127 - 1)).to_bytes(16, "big", signed=True)
    rows[0][COLUMN_INDEX["trade_nano"]] = 0
    args = msgspec.structs.replace(FIRST, totals=tuple(map(tuple, rows)))
    state = initial_state(GENESIS)
    if "fit" in reason:
        state = apply(state, tx(1, args), 1, GENESIS)
        args = msgspec.structs.replace(args, interval_start=args.interval_start + STEP)
    before, nonce = state.root, state.settled.batches + 1
    with pytest.raises(InvalidTx, match=reason):
        apply(state, tx(nonce, args), nonce, GENESIS)
    assert state.root == before


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_interval_must_be_later_than_the_last_one(index: int) -> None:
    state = run([0, 2])
    with pytest.raises(InvalidTx, match="not later than"):
        apply(state, tx(3, make_args(index)[1]), 3, GENESIS)


def test_a_transaction_cannot_be_replayed() -> None:
    state = apply(initial_state(GENESIS), TX, 1, GENESIS)
    with pytest.raises(InvalidTx, match="nonce 1; the sender's next is 2"):
        apply(state, TX, 2, GENESIS)


def test_hours_of_a_chain_keep_to_the_local_clock_of_the_first() -> None:
    """With hours at +05:30 the first begins half past in UTC; a later one must be whole hours after it."""
    hourly = msgspec.structs.replace(GENESIS, params=msgspec.structs.replace(GENESIS.params, minutes=60))
    half_past = START - START % 3600 + 1800
    state = apply(
        initial_state(hourly),
        tx(1, msgspec.structs.replace(FIRST, interval_start=half_past), hourly),
        1,
        hourly,
    )
    late = msgspec.structs.replace(make_args(1)[1], interval_start=half_past + 5400)
    with pytest.raises(InvalidTx, match="not whole intervals of 3600 s after"):
        apply(state, tx(2, late, hourly), 2, hourly)
    due = msgspec.structs.replace(late, interval_start=half_past + 3600)
    assert apply(state, tx(2, due, hourly), 2, hourly).root != state.root
    with pytest.raises(InvalidTx, match="60-minute boundary"):
        apply(
            initial_state(hourly),
            tx(1, msgspec.structs.replace(FIRST, interval_start=half_past + 60), hourly),
            1,
            hourly,
        )
