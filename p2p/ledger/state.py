"""The state of the chain: the modules' entries, their roots, and the state transition of a transaction.

Pure functions over immutable trees: no float, no clock, no random, no dependence on the order of a dict.
Applying the same transactions to the same genesis gives the same state root everywhere, and a refused one
changes nothing. Every module has its own root; the state root is the Merkle root over the sorted (name,
module root).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from market.errors import one_line
from market.settlement.accounts import BOUGHT
from p2p.blocks import domains, merkle
from p2p.blocks.block import MAX_TX_BYTES, VERSION, Tx, check_tx_signature
from p2p.blocks.genesis import Genesis, Governed
from p2p.blocks.tree import EMPTY_TREE, Tree, TreeProof, check_tree_proof
from p2p.errors import BadProof, BrokenInvariant, InvalidTx, P2PError, RemoteError, WrongSignature
from p2p.ledger import closed as closed_orders
from p2p.ledger import offices
from p2p.ledger.closed import LastClosed
from p2p.ledger.module import CHAIN_MODULES, ChainModule, Method, modules_of
from p2p.ledger.modules import accounts, settlement
from p2p.ledger.modules.settlement import Settled
from p2p.ledger.view import MAX_VALUE_BYTES, Context, View
from p2p.wire.codec import Record, decode, encode

RECEIPT_OK = 0


@dataclass(frozen=True, eq=False)
class State:
    """All modules: a tree each, sorted by name."""

    trees: Mapping[str, Tree]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self.root == other.root

    def __hash__(self) -> int:
        return hash(self.root)

    @cached_property
    def root(self) -> bytes:
        """RFC 9162 root over the sorted (module name, module root)."""
        return merkle.root([_module_leaf(name, tree.root) for name, tree in self.trees.items()])

    def view(self) -> View:
        """A view whose changes leave this state alone; for reading, too."""
        return View(self.trees)

    def nonce(self, sender: bytes) -> int:
        """The last nonce of a sender, 0 before its first transaction."""
        return accounts.account(self.view(), sender).nonce

    def home_key(self, household: int, interval_start: int) -> bytes | None:
        """The key that signs a home's messages of an interval; None where it is still that of the genesis.

        Args:
            household: Index of the home.
            interval_start: Of the interval. [s]
        """
        return accounts.home_key(self.view(), household, interval_start)

    def home_of(self, key: bytes) -> int | None:
        """Index of the home whose role a key has; None for a key without one, or whose home has not shown it."""
        return accounts.home_of(self.view(), key)

    def is_barred(self, household: int, interval_start: int) -> bool:
        """Whether a home may not order in an interval, as an envelope of it had no key; arguments as `home_key`."""
        return closed_orders.is_barred(self.view(), household, interval_start)

    @property
    def closed(self) -> LastClosed:
        """The interval whose orders were closed last, in a market that seals them."""
        return closed_orders.last_closed(self.view())

    @property
    def settled(self) -> Settled:
        """How many intervals are settled, the newest of them, and the sums."""
        return settlement.settled(self.view())

    @property
    def totals(self) -> tuple[tuple[int, ...], ...]:
        """Cumulative totals: of all members, then of each other account; columns as COLUMNS. [Wh, nano-currency]"""
        return self.settled.totals

    @property
    def traded_wh(self) -> int:
        """Energy traded in all settled intervals. [Wh]"""
        return sum(row[BOUGHT] for row in self.totals)

    @property
    def validators(self) -> tuple[bytes, ...]:
        """The validators of the next height, in the order of their turns."""
        return self._sets[0].current

    @property
    def next_validators(self) -> tuple[bytes, ...]:
        """The validators of the height after the next."""
        return self._sets[0].next

    @property
    def former_validators(self) -> tuple[bytes, ...]:
        """Validators of earlier heights, as far as they are known, that are none of now or of the next height."""
        now = {*self.validators, *self.next_validators}
        earlier = (key for past in offices.history(self.view()) for key in past.validators)
        return tuple(dict.fromkeys(key for key in earlier if key not in now))

    @property
    def validators_hashes(self) -> tuple[bytes, bytes]:
        """Hashes of both sets, as headers carry them."""
        return self._sets[1]

    @property
    def operators(self) -> tuple[bytes, ...]:
        """The operators of now, in the order of their turns."""
        return offices.operators(self.view())

    @property
    def governed(self) -> Governed:
        """The parameters in force."""
        return offices.governed_of(self.trees[offices.NAME])

    @property
    def _sets(self) -> tuple[offices.ValidatorSets, tuple[bytes, bytes]]:
        return offices.validator_sets_of(self.trees[offices.NAME])


class Receipt(Record, frozen=True):
    """What became of a transaction; a block may not hold a refused one, so the code is always RECEIPT_OK."""

    tx_id: bytes
    code: int


class EntryProof(Record, frozen=True):
    """Proof that a module's entry is in a state: the bucket in the module, and the roots of all modules."""

    bucket: TreeProof
    module_roots: tuple[bytes, ...]


def initial_state(genesis: Genesis) -> State:
    """The state below the first block."""
    modules = modules_of(genesis)
    view = View(dict.fromkeys(modules, EMPTY_TREE))
    for module in modules.values():
        with _hook(module, 0):
            module.start(view, genesis)
        _keep(view, module, 0)
    return State(view.trees())


def receipts_root(receipts: Sequence[Receipt]) -> bytes:
    """Root over the receipts of a block, in the order of its transactions."""
    return merkle.root_of(bytes((domains.LEAF_RECEIPT,)) + encode(receipt) for receipt in receipts)


# --- transactions -------------------------------------------------------------------------------------------


def apply(state: State, tx: Tx, height: int, genesis: Genesis) -> State:
    """Return the state after one transaction; its signature is for the caller to check.

    Args:
        height: Height of the block that holds it.

    Raises:
        InvalidTx: Says which rule it breaks; nothing changed.
    """
    view = state.view()
    apply_to(view, tx, height, genesis)
    return State(view.trees())


def apply_to(view: View, tx: Tx, height: int, genesis: Genesis) -> None:
    """Execute one transaction on a view; its signature is for the caller to check.

    Raises:
        InvalidTx: Says which rule it breaks; the view is as before.
    """
    try:
        module, method, args = _check(view, tx, height, genesis, 0)
        ctx = Context(view, genesis, height, tx.sender)
        accounts.count(ctx, tx.nonce, limited=method.limited)
        counted = () if CHAIN_MODULES.is_ours(module) else tuple(view.pending())
        with _refusing(module):
            method.execute(ctx, args)
        undeclared = _undeclared_write(view, module, counted)
        if undeclared:
            raise InvalidTx("tx_module", f"module {tx.module} {undeclared}")
    except InvalidTx:
        view.reject()
        raise
    view.accept()


def check_tx(state: State, tx: Tx, height: int, genesis: Genesis, *, pending: int = 0) -> None:
    """Raise unless a transaction may wait for a block: signature, envelope, role and form of the arguments.

    Args:
        height: Of the block that could hold it.
        pending: Transactions of the same sender that wait before it.

    Raises:
        InvalidTx: Says which rule it breaks.
    """
    _check(state.view(), tx, height, genesis, pending)
    check_signature(tx)


def check_signature(tx: Tx) -> None:
    """Raise unless the sender signed a transaction.

    Raises:
        InvalidTx: It did not.
    """
    try:
        check_tx_signature(tx)
    except WrongSignature as error:
        raise InvalidTx("tx_signature", error.detail) from None


def check_invariants(view: View, genesis: Genesis, height: int) -> None:
    """Check what must hold whatever a block did.

    Raises:
        BrokenInvariant: It does not: this program is wrong, and the node must stop.
    """
    for module in modules_of(genesis).values():
        with _hook(module, height):
            module.check(view, genesis, height)
        view.reject()  # a check changes nothing, not even what the next one sees


def end_block(view: View, genesis: Genesis, height: int) -> None:
    """Let every module do what it does after the transactions of a block."""
    for module in modules_of(genesis).values():
        with _hook(module, height):
            module.end_block(view, genesis, height)
        _keep(view, module, height)


def _keep(view: View, module: ChainModule, height: int) -> None:
    """Accept what a hook of a module wrote.

    Raises:
        BrokenInvariant: Some of it is not its own.
    """
    undeclared = _undeclared_write(view, module)
    if undeclared:
        raise BrokenInvariant(height, module.name, undeclared)
    view.accept()


@contextmanager
def _hook(module: ChainModule, height: int) -> Iterator[None]:
    """Run a hook of a module: an error of a third-party one stops the node, and is never blamed on a peer."""
    try:
        with CHAIN_MODULES.held(module, passing=(BrokenInvariant,)):
            yield
    except P2PError as error:
        if CHAIN_MODULES.is_ours(module) or isinstance(error, BrokenInvariant):
            raise
        raise BrokenInvariant(height, module.name, f"failed: {one_line(error)}") from error


def _undeclared_write(
    view: View, module: ChainModule, counted: Collection[tuple[str, bytes, bytes | None]] = ()
) -> str | None:
    """Say what a third-party module wrote and may not, or None.

    Args:
        counted: What was written for the transaction before the module's method.
    """
    if CHAIN_MODULES.is_ours(module):
        return None
    for name, key, value in view.pending():
        if (name, key, value) in counted:
            continue
        if name != module.name:
            return f"wrote into module {name}"
        if not (isinstance(key, bytes) and any(entry.fits(key) for entry in module.entries)):
            return "wrote an entry of none of the kinds that it declares"
        if not isinstance(value, bytes | None) or len(value or b"") > MAX_VALUE_BYTES:
            return f"wrote a value that is not bytes, or more than {MAX_VALUE_BYTES} of them"
    return None


@contextmanager
def _refusing(module: ChainModule) -> Iterator[None]:
    """Refuse the transaction in which a third-party module fails: it must not stop every node that executes it."""
    try:
        yield
    except InvalidTx:
        raise
    except (Exception, SystemExit) as error:
        if CHAIN_MODULES.is_ours(module):
            raise
        raise InvalidTx("tx_module", f"module {module.name} failed: {one_line(error)}") from None


def _check(
    view: View, tx: Tx, height: int, genesis: Genesis, pending: int
) -> tuple[ChainModule, Method, Record]:
    if tx.version != VERSION:
        raise InvalidTx("tx_version", f"version {tx.version}; this chain has {VERSION}")
    if tx.chain_id != genesis.chain_id:
        raise InvalidTx("tx_chain", "it belongs to another chain")
    module = modules_of(genesis).get(tx.module)
    method = None if module is None else module.methods.get(tx.method)
    if module is None or method is None:
        raise InvalidTx("tx_unknown_method", f"no method {tx.module}.{tx.method}")
    if height > tx.valid_until_height:
        raise InvalidTx("tx_expired", f"it was valid until height {tx.valid_until_height}; this is {height}")
    expected = accounts.account(view, tx.sender).nonce + 1 + pending
    if tx.nonce != expected:
        raise InvalidTx("tx_nonce", f"nonce {tx.nonce}; the sender's next is {expected}")
    if method.caller is None and not method.roles & accounts.roles_of(view, tx.sender):
        raise InvalidTx("tx_role", f"{tx.module}.{tx.method} is for: {', '.join(sorted(method.roles))}")
    try:
        args = decode(method.args, tx.args, max_bytes=MAX_TX_BYTES)
    except RemoteError as error:
        raise InvalidTx("tx_args", f"arguments of {tx.module}.{tx.method}: {error.detail}") from None
    check_call(module, tx.method, args, tx.sender, genesis)
    return module, method, args


def check_call(module: ChainModule, method: str, args: Record, sender: bytes, genesis: Genesis) -> None:
    """Check the arguments of a call, and that its sender is the one that they name, without the state.

    Raises:
        InvalidTx: Says what is wrong with them.
    """
    called = module.methods[method]
    with _refusing(module):
        if called.caller is not None and called.caller(args) != sender:
            raise InvalidTx("tx_role", f"{module.name}.{method} is for the key in its arguments")
        called.check(args, genesis)


# --- proofs and snapshots -----------------------------------------------------------------------------------


def prove_entry(state: State, module: str, key: bytes) -> EntryProof:
    """Return the proof that an entry is in a state, or is not."""
    roots = tuple(tree.root for tree in state.trees.values())
    return EntryProof(state.trees[module].prove(key), roots)


def check_entry(
    state_root: bytes, module: str, key: bytes, proof: EntryProof, genesis: Genesis
) -> bytes | None:
    """Return the value that a proof gives an entry, or None where it proves that there is none.

    Raises:
        BadProof: It does not lead to this state root.
    """
    names = tuple(modules_of(genesis))
    if module not in names or len(proof.module_roots) != len(names):
        raise BadProof(f"{len(proof.module_roots)} module roots for {len(names)} modules, or no {module}")
    leaves = [_module_leaf(name, root) for name, root in zip(names, proof.module_roots, strict=True)]
    if merkle.root(leaves) != state_root:
        raise BadProof("the module roots do not lead to the state root")
    return check_tree_proof(proof.module_roots[names.index(module)], key, proof.bucket)


def export_state(state: State) -> Iterator[tuple[str, bytes, bytes]]:
    """All entries as (module, key, value), sorted by module and key."""
    for name, tree in state.trees.items():
        for key, value in tree.items():
            yield name, key, value


def import_state(entries: Iterable[tuple[str, bytes, bytes]], state_root: bytes, genesis: Genesis) -> State:
    """Return the state of exported entries.

    Args:
        state_root: What it must come out as; from a header that a certificate commits.

    Raises:
        BadProof: It comes out as another one, or an entry is of no module or there twice.
    """
    found: dict[str, dict[bytes, bytes | None]] = {name: {} for name in modules_of(genesis)}
    for name, key, value in entries:
        if name not in found or key in found[name]:
            raise BadProof(f"entry {key.hex()[:16]} of module {name[:16]} is there twice or of no module")
        found[name][key] = value
    state = State({name: EMPTY_TREE.update(entries) for name, entries in found.items()})
    if state.root != state_root:
        raise BadProof(f"the entries give state {state.root.hex()[:16]}, not {state_root.hex()[:16]}")
    return state


def _module_leaf(name: str, root: bytes) -> bytes:
    return merkle.leaf_hash(bytes((domains.LEAF_MODULE,)) + name.encode() + root)
