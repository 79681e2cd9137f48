"""A third-party chain module that fails, lies or reaches too far: its transaction is refused, or the node stops
with one sentence; nothing of it stays in the state."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from market.errors import InvalidPlugin, PluginFailed
from p2p.errors import BrokenInvariant, GenesisError, InvalidBlock, InvalidTx, NonCanonical
from p2p.ledger import offices
from p2p.ledger.edge import shown
from p2p.ledger.execution import advance, check_block, choose, genesis_tip
from p2p.ledger.module import CHAIN_MODULES, ChainModule, modules_of
from p2p.ledger.modules import accounts, settlement
from p2p.ledger.modules.settlement import Settled
from p2p.ledger.state import check_tx
from p2p.ledger.view import Context, View
from tests.kits.chain_kit import make_args
from tests.kits.modules_kit import (
    HOMES,
    NOTES,
    OPERATORS,
    Chain,
    NoteArgs,
    fail,
    make_genesis,
    note,
    refused,
    registered,
)

GENESIS = make_genesis(modules=(NOTES,))


def recurse(*_: object) -> None:
    """Never ends, but for the depth of the stack."""
    recurse()


def steal(ctx: Context, args: NoteArgs) -> None:
    """Write the sums of all batches."""
    ctx.view.write(settlement.NAME, b"sums", Settled(9, 9, bytes(32), bytes(16)))


def crown(ctx: Context, args: NoteArgs) -> None:
    """Make the sender an operator."""
    ctx.view.write(offices.NAME, offices.OPERATORS, offices.Keys((ctx.sender,)))


def spend(ctx: Context, args: NoteArgs) -> None:
    """Change the nonce that was counted for this very transaction."""
    ((name, key, value), *_) = ctx.view.pending()
    assert (name, value is not None) == (accounts.NAME, True)
    ctx.view.put(name, key, None)


FAILING: dict[str, Callable[..., None]] = {
    "an error": fail(ValueError("oops")),
    "an error of two lines": fail(KeyError("a\nb")),
    "the end of the program": fail(SystemExit(3)),
    "an error of the chain": fail(GenesisError(["no"])),
    "an invariant": fail(BrokenInvariant(1, "settlement", "not so")),
    "no end": recurse,
    "another module's sums": steal,
    "a role": crown,
    "the counted nonce": spend,
    "another module's validator sets": lambda ctx, args: ctx.view.put("governance", b"council", b"x"),
    "a key of another module that is text": lambda ctx, args: ctx.view.put("accounts", "text", b"x"),
    "a module that is not there": lambda ctx, args: ctx.view.put("nowhere", b"n", b""),
    "an undeclared entry": lambda ctx, args: ctx.view.put(NOTES, b"other", b""),
    "a key that is text": lambda ctx, args: ctx.view.put(NOTES, "n", b""),
    "a value that is a number": lambda ctx, args: ctx.view.put(NOTES, b"n", 5),
    "a value that is too large": lambda ctx, args: ctx.view.put(NOTES, b"n", bytes(65_537)),
    "a number too large": lambda ctx, args: ctx.view.write(NOTES, b"n", NoteArgs(2**70)),
}


@pytest.mark.parametrize("what", FAILING)
def test_a_transaction_on_which_the_module_fails_is_refused_and_changes_nothing(what: str) -> None:
    def execute(ctx: Context, args: NoteArgs) -> None:
        note(ctx, args)
        FAILING[what](ctx, args)

    with registered(execute):
        chain = Chain(GENESIS)
        chain.enter(1)
        before = chain.tip.state
        with pytest.raises(InvalidTx) as caught:
            chain.call(HOMES[1], "notes.keep", NoteArgs(1))
        assert caught.value.code == "tx_module"
        assert caught.value.detail.startswith("module notes ")
        assert "\n" not in caught.value.detail
        assert chain.tip.state == before
        # A proposer that has it waiting leaves it out, and goes on with the others.
        bad, good = chain.tx(HOMES[1], "notes.keep", NoteArgs(1)), settle(chain)
        assert choose(chain.tip, GENESIS, [bad, good])[0] == (good,)
        chain.add([good])


def settle(chain: Chain) -> Any:
    """The transaction of a batch."""
    return chain.tx(OPERATORS[0], "settlement.batch", make_args(0, chain.genesis.members)[1])


@pytest.mark.parametrize("part", ["check_args", "caller"])
def test_a_failing_check_of_arguments_refuses_before_a_transaction_waits(part: str) -> None:
    with registered(**{part: fail(ZeroDivisionError())}):
        chain = Chain(GENESIS)
        tx = chain.tx(OPERATORS[0], "notes.keep", NoteArgs(1))
        with refused("tx_module"):
            check_tx(chain.tip.state, tx, 1, GENESIS)
        with pytest.raises(InvalidBlock, match="tx_module"):
            chain.add([tx])


def reach(view: View, *_: object) -> None:
    """A hook that writes what is not its own."""
    view.write(settlement.NAME, b"sums", Settled(9, 9, bytes(32), bytes(16)))


@pytest.mark.parametrize("hook", ["start", "end_block"])
@pytest.mark.parametrize(
    ("does", "error", "sentence"),
    [
        (fail(ValueError("oops")), PluginFailed, "ValueError: oops"),
        (fail(SystemExit(3)), PluginFailed, "SystemExit: 3"),
        (recurse, PluginFailed, "RecursionError"),
        (fail(InvalidTx("tx_nonce", "not so")), BrokenInvariant, "InvalidTx: "),
        (fail(GenesisError(["no"])), BrokenInvariant, "GenesisError: "),
        (fail(NonCanonical("no")), BrokenInvariant, "NonCanonical: "),
        (reach, BrokenInvariant, "wrote into module settlement"),
        (lambda view, *_: view.put(NOTES, b"x", b""), BrokenInvariant, "none of the kinds"),
        (lambda view, *_: view.put(NOTES, b"n", "text"), BrokenInvariant, "not bytes"),
    ],
)
def test_a_hook_that_fails_stops_the_node_with_one_sentence(
    hook: str, does: Callable[..., None], error: type[Exception], sentence: str
) -> None:
    def at_the_second_block(view: View, genesis: Any, height: int = 2) -> None:
        if height == 2:
            does(view, genesis, height)

    with registered(**{hook: at_the_second_block}):
        if hook == "start":
            with pytest.raises(error, match=sentence):
                genesis_tip(GENESIS)
            return
        chain = Chain(GENESIS)
        chain.add()
        before = chain.tip
        with pytest.raises(error, match=sentence) as caught:
            chain.add()
        assert "\n" not in str(caught.value)
        assert chain.tip is before


def test_a_check_cannot_change_what_later_checks_see() -> None:
    seen = []

    def write(view: View, *_: object) -> None:
        view.write(settlement.NAME, b"sums", Settled(9, 9, bytes(32), bytes(16)))
        view.put(NOTES, b"n", b"stays?")

    def look(view: View, *_: object) -> None:
        seen.append((view.get(NOTES, b"n"), settlement.settled(view).batches))

    with registered(check=write):
        later = ChainModule("watcher", "Looks.", {}, (), check=look)
        CHAIN_MODULES.register(later)
        try:
            chain = Chain(make_genesis(modules=(NOTES, "watcher")))
            chain.add()
        finally:
            CHAIN_MODULES.forget("watcher")
    assert seen == [(None, 0)]
    assert chain.tip.state.settled.batches == 0


def test_a_module_that_reads_the_clock_is_found_by_a_node_that_executes_its_block_again() -> None:
    def stamp(view: View, *_: object) -> None:
        view.put(NOTES, b"n", b"%d" % time.perf_counter_ns())

    with registered(end_block=stamp):
        chain = Chain(GENESIS)
        chain.add()
        chain.add()
        (first, _), (second, _) = chain.made
        tip = genesis_tip(GENESIS)
        state, _ = check_block(tip, GENESIS, first)
        assert state.root != second.header.state_root


def test_a_chain_made_with_another_module_of_the_same_name_does_not_verify() -> None:
    with registered():
        chain = Chain(GENESIS)
        chain.call(OPERATORS[0], "notes.keep", NoteArgs(5))
        chain.add()
    with registered(lambda ctx, args: ctx.view.put(NOTES, b"n", b"more")):
        (first, _), (second, _) = chain.made
        tip = genesis_tip(GENESIS)
        tip = advance(tip, first, *check_block(tip, GENESIS, first))
        with pytest.raises(InvalidBlock, match="state_root"):
            check_block(tip, GENESIS, second)


def test_what_a_module_keeps_can_be_shown() -> None:
    with registered() as module:
        chain = Chain(GENESIS)
        chain.call(OPERATORS[0], "notes.keep", NoteArgs(5))
        assert [entry["value"] for entry in shown(chain.tip.state, module)] == [b"5".hex()]


@pytest.mark.parametrize("own", ["accounts", "settlement"])
def test_a_module_of_the_format_cannot_be_named_again(own: str) -> None:
    with pytest.raises(GenesisError, match="hold one name twice"):
        modules_of(make_genesis(modules=(own,)))


@pytest.mark.parametrize(
    "module", [ChainModule("", "x", {}, ()), ChainModule("a b", "x", {}, ()), object(), None]
)
def test_what_is_no_module_is_not_registered(module: Any) -> None:
    with pytest.raises(InvalidPlugin):
        CHAIN_MODULES.register(module)
