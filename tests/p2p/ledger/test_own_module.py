"""A chain module in one third-party file: named in the genesis, called by the edge, run at the end of blocks."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from p2p.errors import BrokenInvariant, GenesisError
from p2p.ledger.edge import args_from, described, shown
from p2p.ledger.module import CHAIN_MODULES, ChainModule, modules_of, refusal_codes
from p2p.ledger.state import check_entry, export_state, import_state, prove_entry
from tests.kits.modules_kit import HOMES, OPERATORS, Chain, make_genesis, refused

SOURCE = """
    from p2p.errors import BrokenInvariant, InvalidTx
    from p2p.ledger.module import CHAIN_MODULES, HOUSEHOLD, OPERATOR, ChainModule, Entry, Method
    from p2p.wire.codec import Record

    NAME = "wishes"

    class Wish(Record, frozen=True):
        text: str
        heights: int

    class WishArgs(Record, frozen=True):
        home: int
        text: str

    def check(args, genesis):
        if not 0 <= args.home < genesis.members:
            raise InvalidTx("wish_home", f"household {args.home} of {genesis.members}")

    def wish(ctx, args):
        ctx.view.write(NAME, b"w" + args.home.to_bytes(4, "big"), Wish(args.text, 0))

    def end_block(view, genesis, height):
        for home in range(genesis.members):
            key = b"w" + home.to_bytes(4, "big")
            found = view.read(NAME, key, Wish)
            if found is not None:
                view.write(NAME, key, Wish(found.text, found.heights + 1))

    def always(view, genesis, height):
        for key in view.touched(NAME):
            if view.read(NAME, key, Wish).text == "everything":
                raise BrokenInvariant(height, NAME, "too much")

    MODULE = CHAIN_MODULES.register(
        ChainModule(
            NAME,
            "What homes wish for.",
            {"wish": Method("Say what a home wishes.", WishArgs, frozenset({OPERATOR, HOUSEHOLD}), wish, check)},
            (Entry("A wish.", b"w", (("home", "u32"),), Wish),),
            {"wish_home": "There is no such home."},
            check=always,
            end_block=end_block,
        )
    )
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChainModule]:
    (tmp_path / "my_chain_module.py").write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    CHAIN_MODULES.load()
    yield import_module("my_chain_module").MODULE
    CHAIN_MODULES.forget("wishes")
    del sys.modules["my_chain_module"]


def test_a_module_in_one_file_runs_on_a_chain_that_names_it(module: ChainModule) -> None:
    chain = Chain(make_genesis(modules=("wishes",)))
    assert list(modules_of(chain.genesis)) == sorted(modules_of(chain.genesis))
    wish = args_from(module.methods["wish"], {"home": 1, "text": "sun"})
    chain.call(HOMES[1], "wishes.wish", wish)
    chain.add()
    assert list(shown(chain.tip.state, module)) == [
        {"entry": "A wish.", "home": 1, "value": {"text": "sun", "heights": 2}}
    ]
    with refused("wish_home"):
        chain.call(OPERATORS[0], "wishes.wish", args_from(module.methods["wish"], {"home": 9, "text": ""}))
    assert refusal_codes()["wish_home"] in described(module)["codes"].values()
    state = chain.tip.state
    assert import_state(export_state(state), state.root, chain.genesis) == state
    key = b"w" + (1).to_bytes(4, "big")
    assert check_entry(state.root, "wishes", key, prove_entry(state, "wishes", key), chain.genesis)


def test_its_invariant_stops_the_node(module: ChainModule) -> None:
    chain = Chain(make_genesis(modules=("wishes",)))
    args = args_from(module.methods["wish"], {"home": 0, "text": "everything"})
    with pytest.raises(BrokenInvariant, match="module wishes: too much"):
        chain.call(OPERATORS[0], "wishes.wish", args)


def test_a_chain_that_does_not_name_it_has_no_such_method(module: ChainModule) -> None:
    chain = Chain(make_genesis())
    assert "wishes" not in chain.tip.state.trees
    with refused("tx_unknown_method"):
        chain.call(OPERATORS[0], "wishes.wish", args_from(module.methods["wish"], {"home": 0, "text": ""}))


def test_a_chain_with_a_module_that_is_not_here_says_how_to_get_it() -> None:
    with pytest.raises(GenesisError, match=r"needs the chain module 'nowhere'.*--module"):
        Chain(make_genesis(modules=("nowhere",)))
