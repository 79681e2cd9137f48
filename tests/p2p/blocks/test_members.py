"""The homes of a chain: one root in the genesis, a file beside it, and external accounts beside the homes."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from market.book import Order, OrderBook, Side
from market.clearing import Clearing, PriceInterval
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from p2p.batches.batch import batch_args, make_batch
from p2p.batches.roots import book_root, clearing_root, prices_root
from p2p.blocks import merkle
from p2p.blocks.genesis import read_genesis, write_genesis
from p2p.blocks.members import (
    ALWAYS,
    MAX_CAPACITY_W,
    NO_KEY,
    NO_METER_KEY,
    VERSION,
    Member,
    MemberFile,
    MemberProof,
    Members,
    check_member,
    member_leaf,
    member_problems,
    read_member_file,
    read_members,
    write_members,
)
from p2p.errors import BadProof, GenesisError, NotAMember
from p2p.ledger.light import check_proof
from p2p.ledger.producer import Producer
from p2p.ledger.store import ChainStore
from p2p.ledger.verify import verify_chain
from p2p.wire.codec import encode
from tests.kits.chain_kit import MASTER, OPERATOR, START, STEP, authorities, line_proof, make_genesis

IDS = tuple(f"home-{i}" for i in range(7))
KEYS = tuple(bytes([i + 1]) * 32 for i in range(7))
TERMS = (*[ALWAYS] * 6, (START, START + STEP))
METER = b"m" * 32
METERS = (METER, *[NO_METER_KEY] * 6)
STREET = Members(IDS, KEYS, TERMS, (), METERS)


def test_every_home_is_proven_by_its_path_and_no_other_is() -> None:
    for index in range(len(STREET)):
        proof = STREET.proof(index)
        assert check_member(proof, STREET.root, 7) == STREET.records[index]
        for wrong in (
            msgspec.structs.replace(proof, index=(index + 1) % 7),
            msgspec.structs.replace(proof, path=proof.path[32:]),
            msgspec.structs.replace(proof, member=msgspec.structs.replace(proof.member, to_s=5)),
            msgspec.structs.replace(proof, member=msgspec.structs.replace(proof.member, key=NO_KEY)),
            msgspec.structs.replace(proof, member=msgspec.structs.replace(proof.member, import_capacity_w=1)),
            msgspec.structs.replace(proof, member=msgspec.structs.replace(proof.member, export_capacity_w=1)),
            msgspec.structs.replace(proof, member=msgspec.structs.replace(proof.member, key=b"")),
            msgspec.structs.replace(proof, member=msgspec.structs.replace(proof.member, meter_key=b"n" * 32)),
            msgspec.structs.replace(
                proof, member=msgspec.structs.replace(proof.member, meter_key=METER[:31])
            ),
        ):
            with pytest.raises(BadProof):
                check_member(wrong, STREET.root, 7)


@pytest.mark.parametrize("meter_key", [NO_METER_KEY, METER])
def test_the_leaf_of_a_home_ends_with_the_key_of_its_meter_where_it_has_one(meter_key: bytes) -> None:
    numbers = (START, START + STEP, 43_000, 11_000)
    packed = b"".join(number.to_bytes(8, "big") for number in numbers)
    leaf = member_leaf(Member(b"h" * 32, b"k" * 32, *numbers, meter_key))
    assert leaf == merkle.leaf_hash(b"\x01" + b"h" * 32 + b"k" * 32 + packed + meter_key)


@pytest.mark.parametrize("length", [1, 31, 33])
def test_the_fields_of_a_home_cannot_be_shifted_against_each_other(length: int) -> None:
    """Its leaf would be the same: the bytes of the key are moved into another field."""
    whole = STREET.records[0]
    shifted = msgspec.structs.replace(
        whole, household=whole.household + whole.key[:length], key=whole.key[length:]
    )
    odd = msgspec.structs.replace(whole, meter_key=b"m" * length)
    street = Members(("a",))
    for member in (shifted, odd):
        with pytest.raises(BadProof, match="another length"):
            check_member(MemberProof(0, member, b""), member_leaf(member), len(street))


def test_the_file_beside_a_genesis_reads_back_for_its_roster_only(tmp_path: Path) -> None:
    path = tmp_path / "members.bin"
    write_members(path, STREET)
    found = read_members(path, IDS, STREET.root)
    assert (found.ids, found.keys, found.terms, found.meter_keys) == (IDS, KEYS, TERMS, METERS)
    with pytest.raises(GenesisError, match="other homes than the roster"):
        read_members(path, IDS[::-1], STREET.root)
    with pytest.raises(GenesisError, match="not the list of homes that the genesis commits to"):
        read_members(path, IDS, bytes(32))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GenesisError, match="the list of its homes"):
        read_members(path, IDS, STREET.root)
    with pytest.raises(GenesisError, match="cannot be read"):
        read_members(tmp_path / "none", IDS, STREET.root)


def forge(path: Path, *records: Member, version: int = VERSION) -> bytes:
    """Write homes that no program of ours would write, and return the root that a genesis would have of them."""
    path.write_bytes(encode(MemberFile(version, records)))
    return merkle.root([member_leaf(record) for record in records])


FIRST, SECOND = STREET.records[:2]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"key": FIRST.key}, "the same home key is listed twice"),
        ({"household": FIRST.household}, "the same home is listed twice"),
        ({"key": NO_KEY}, "a home key is zeros"),
        ({"from_s": 9, "to_s": 9}, "must end after it begins"),
        ({"from_s": 9, "to_s": 3}, "must end after it begins"),
        ({"from_s": -1}, "must end after it begins"),
        ({"to_s": 2**36 + 1}, "must end after it begins"),
        ({"import_capacity_w": 0}, "has a connection of 0 W import and 43000 W export; each must be 1"),
        ({"export_capacity_w": 0}, "has a connection of 43000 W import and 0 W export; each must be 1"),
        ({"export_capacity_w": MAX_CAPACITY_W + 1}, "each must be 1"),
        ({"meter_key": METER}, "a meter key is that of another meter or of a home"),
        ({"meter_key": FIRST.key}, "a meter key is that of another meter or of a home"),
        ({"meter_key": SECOND.key}, "a meter key is that of another meter or of a home"),
        ({"meter_key": NO_KEY}, "a meter key has not 32 bytes, or is zeros"),
        ({"meter_key": METER[:31]}, "not the list of homes"),
        ({"meter_key": METER + b"m"}, "not the list of homes"),
        ({"household": SECOND.household + SECOND.key[:1], "key": SECOND.key[1:]}, "not the list of homes"),
        (
            {"household": SECOND.household[:-1], "key": SECOND.household[-1:] + SECOND.key},
            "not the list of homes",
        ),
    ],
)
def test_homes_that_no_chain_can_have_are_refused_though_the_root_is_theirs(
    changes: dict[str, object], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "members.bin"
    root = forge(path, FIRST, msgspec.structs.replace(SECOND, **changes))
    with pytest.raises(GenesisError, match=problem):
        read_member_file(path, root)


def test_homes_left_out_exchanged_or_added_are_not_those_of_the_genesis(tmp_path: Path) -> None:
    path, records = tmp_path / "members.bin", STREET.records
    for others in (records[:-1], (*records, records[-1]), records[::-1], (), records[1:] + records[:1]):
        forge(path, *others)
        with pytest.raises(GenesisError, match="not the list of homes"):
            read_members(path, IDS, STREET.root)
    forge(path, *records, version=VERSION - 1)
    with pytest.raises(GenesisError, match="not the list of homes"):
        read_members(path, IDS, STREET.root)


def test_a_home_is_a_member_from_its_first_to_its_last_interval() -> None:
    STREET.check_term("home-6", START)
    for start in (START - STEP, START + STEP):
        STREET.check_term("home-0", start)
        with pytest.raises(NotAMember, match="'home-6'"):
            STREET.check_term("home-6", start)


def test_everything_wrong_with_a_list_of_homes_is_said_at_once(tmp_path: Path) -> None:
    bad = Members(("a", "a"), (KEYS[0], b"short", KEYS[0]), ((9, 9), (-1, 3), (0, 1)))
    problems = member_problems(bad)
    assert len(problems) == 7, problems
    with pytest.raises(GenesisError, match="must end after it begins"):
        write_members(tmp_path / "x", bad)


@pytest.mark.parametrize(
    ("street", "problem"),
    [
        (Members(IDS[:2], KEYS[:2], (), (), (METER,)), "1 meter keys for 2 members"),
        (
            Members(IDS[:2], (), (), (), (METER, NO_METER_KEY)),
            "a home has a meter key, and homes have no keys",
        ),
        (
            Members(IDS[:2], KEYS[:2], (), (), (METER[:31], METER)),
            "a meter key has not 32 bytes, or is zeros",
        ),
    ],
)
def test_meter_keys_that_no_chain_can_have_are_written_nowhere(
    street: Members, problem: str, tmp_path: Path
) -> None:
    assert member_problems(street) == [problem]
    with pytest.raises(GenesisError, match=problem):
        write_members(tmp_path / "x", street)


def test_a_chain_of_a_hundred_thousand_homes_starts_settles_and_proves(tmp_path: Path) -> None:
    """With full entries in the genesis, 30,800 homes were too many."""
    count, random = 100_000, np.random.default_rng(1)
    began = time.process_time()
    street = Members(tuple(f"h{i}" for i in range(count)), tuple(random.bytes(32) for _ in range(count)))
    genesis = msgspec.structs.replace(make_genesis(4, 5), members=count, members_root=street.root)
    write_genesis(tmp_path / "genesis.bin", genesis)
    write_members(tmp_path / "members.bin", street)
    assert (tmp_path / "genesis.bin").stat().st_size < 1_000
    assert (tmp_path / "members.bin").stat().st_size < 90 * count
    assert read_genesis(tmp_path / "genesis.bin") == genesis
    assert read_members(tmp_path / "members.bin", street.ids, genesis.members_root).root == street.root
    needed = random.integers(0, 2_000, count)
    book = OrderBook.from_orders([])
    clearing = Clearing(needed[:0], needed[:0], (None,), 0, 0)
    prices = IntervalPrices(310_000, 80_000, 0, 0)
    postings = settle(book, clearing, needed, np.zeros_like(needed), prices)
    batch = make_batch(postings, START, MASTER)
    facts = {
        "orders": 0,
        "book_root": bytes(32),
        "clearing_root": bytes(32),
        "prices_root": bytes(32),
        "prices": 1,
    }
    with ChainStore.create(tmp_path / "chain.db", genesis) as store:
        producer = Producer(genesis, authorities(4), OPERATOR, store)
        args = batch_args(
            batch, postings, price=None, traded_wh=0, next_collector=OPERATOR.public_key, **facts
        )
        block, cert = producer.append_batch(args, (START + STEP) * 1000)
        proof = line_proof(batch, 77_777, block, cert, genesis)
        assert check_proof(proof, genesis).values["import_wh"] == needed[77_777]
        assert verify_chain(store, genesis).ok
    assert len(encode(block)) < 2_000
    assert time.process_time() - began < 20  # about 3 s on an idle machine


def test_an_external_account_trades_settles_and_proves_its_line(tmp_path: Path) -> None:
    """A grid sells to home 1 beside home 0; its line, its order and the losses are on the chain."""
    roster = ("house-0", "house-1")
    street = Members(roster)
    genesis = msgspec.structs.replace(
        make_genesis(4, 2), members_root=street.root, accounts=("community", "grid")
    )
    orders = [
        Order("sell", 0, Side.SELL, 100, 100_000),
        Order("buy", 1, Side.BUY, 300, 300_000),
        Order("grid", 3, Side.SELL, 204, 200_000),
    ]
    book = OrderBook.from_orders(orders)
    price = np.full(3, 200_000)
    clearing = Clearing(
        book.energy_wh, price, (PriceInterval(200_000, 200_000, 200_000),), -800_000, 0, losses_wh=4
    )
    meters = np.array([0, 300]), np.array([100, 0])
    postings = settle(book, clearing, *meters, IntervalPrices(300_000, 80_000, 0, 0), external=2)
    batch = make_batch(postings, START, MASTER)
    prices = prices_root(clearing, START)
    args = batch_args(
        batch,
        postings,
        orders=3,
        book_root=book_root(book, roster, START, genesis.accounts),
        clearing_root=clearing_root(book, clearing, START, prices),
        prices_root=prices,
        prices=1,
        price=None,
        traded_wh=clearing.traded_wh(book),
        next_collector=OPERATOR.public_key,
    )
    with ChainStore.create(tmp_path / "chain.db", genesis) as store:
        producer = Producer(genesis, authorities(4), OPERATOR, store)
        block, cert = producer.append_batch(args, (START + STEP) * 1000)
        assert verify_chain(store, genesis).ok
    assert producer.tip.state.traded_wh == 300
    for account, name in enumerate((*roster, *genesis.account_names)):
        line = check_proof(line_proof(batch, account, block, cert, genesis), genesis)
        assert line.account == account
        assert line.values["sold_wh"] == {"house-0": 100, "grid": 204}.get(name, 0)
        assert line.values["loss_wh"] == (4 if name == "grid_operator" else 0)


def test_a_proof_needs_a_place_that_can_be_counted() -> None:
    with pytest.raises(BadProof):
        check_member(MemberProof(-1, STREET.records[0], b""), STREET.root, 7)
