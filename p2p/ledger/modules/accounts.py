"""Module `accounts`: nonces, quotas, and which key has which role.

    a || key        nonce and quota of a sender
    r || key        home of a key
    h || index u32  key of a home

A home has its role from its first transaction, `enter`, which shows its key; the genesis holds only a root.
The roles of operators and validators are not here: they follow from the lists of the height, see `offices`.
"""

from __future__ import annotations

from p2p.blocks.genesis import Genesis
from p2p.blocks.members import NO_KEY, MemberProof, check_member
from p2p.blocks.possession import check_possession
from p2p.errors import BadProof, BrokenInvariant, InvalidTx
from p2p.ledger import offices
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, HOUSEHOLD, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.view import Context, View, record
from p2p.wire.codec import Record
from p2p.wire.identity import PUBLIC_KEY_BYTES

NAME = "accounts"
ROTATE_KEY = "rotate_key"
ENTER = "enter"
_NONE = -1


class Account(Record, frozen=True):
    """A sender.

    Args:
        nonce: Of its last transaction.
        window: Height // quota_window of its last limited transaction.
        used: Limited transactions in that window.
    """

    nonce: int
    window: int
    used: int


class Role(Record, frozen=True):
    """The home of a key: its index, -1 for none."""

    household: int


class RotateArgs(Record, frozen=True):
    """Arguments of accounts.rotate_key: the sender's roles move to `new_key`, which signed `proof`."""

    new_key: bytes
    proof: bytes


class EnterArgs(Record, frozen=True):
    """Arguments of accounts.enter: the sender's home with the path to the root in the genesis."""

    home: MemberProof


NO_ACCOUNT = Account(0, _NONE, 0)
NO_ROLE = Role(_NONE)


def account(view: View, sender: bytes) -> Account:
    """Nonce and quota of a sender; zeros before its first transaction."""
    return view.read(NAME, b"a" + sender, Account) or NO_ACCOUNT


def role_key(key: bytes) -> bytes:
    """Key of the entry that holds the home of a public key."""
    return b"r" + key


def role(view: View, key: bytes) -> Role:
    """Home of a key."""
    return view.read(NAME, role_key(key), Role) or NO_ROLE


def roles_of(view: View, key: bytes) -> frozenset[str]:
    """Names of the roles of a key."""
    names = {OPERATOR} if key in offices.operators(view) else set()
    if role(view, key).household != _NONE:
        names.add(HOUSEHOLD)
    if key in offices.validator_sets(view).current:
        names.add(AUTHORITY)
    return frozenset(names)


def household_of(ctx: Context) -> int:
    """Index of the sender's home, or -1."""
    return role(ctx.view, ctx.sender).household


def is_operator(ctx: Context) -> bool:
    """Whether the sender is an operator."""
    return ctx.sender in offices.operators(ctx.view)


def count(ctx: Context, nonce: int, *, limited: bool) -> None:
    """Note a transaction of the sender.

    Raises:
        InvalidTx: Its quota of this window of heights is used up.
    """
    known = account(ctx.view, ctx.sender)
    if not limited:
        ctx.view.write(NAME, b"a" + ctx.sender, Account(nonce, known.window, known.used))
        return
    governed = offices.governed(ctx.view)
    window = ctx.height // governed.quota_window
    used = known.used + 1 if window == known.window else 1
    if used > governed.tx_quota:
        raise InvalidTx(
            "tx_quota", f"{governed.tx_quota} transactions in {governed.quota_window} heights used"
        )
    ctx.view.write(NAME, b"a" + ctx.sender, Account(nonce, window, used))


def _check_rotate(args: RotateArgs, genesis: Genesis) -> None:
    if len(args.new_key) != PUBLIC_KEY_BYTES:
        raise InvalidTx("tx_args", f"a key of {len(args.new_key)} bytes; it must have {PUBLIC_KEY_BYTES}")


def _rotate(ctx: Context, args: RotateArgs) -> None:
    view, key = ctx.view, args.new_key
    if roles_of(view, key):
        raise InvalidTx("key_taken", "the new key has a role already")
    check_possession(key, args.proof, ctx.genesis.chain_id, ctx.sender)
    offices.replace_operator(view, ctx.sender, key)
    household = household_of(ctx)
    if household != _NONE:
        view.put(NAME, role_key(ctx.sender), None)
        _give(view, key, household)


def _check_enter(args: EnterArgs, genesis: Genesis) -> None:
    try:
        member = check_member(args.home, genesis.members_root, genesis.members)
    except BadProof as error:
        raise InvalidTx("member_proof", error.detail) from None
    if member.key == NO_KEY:
        raise InvalidTx("member_proof", "the homes of this chain have no keys")


def _enter(ctx: Context, args: EnterArgs) -> None:
    view, index = ctx.view, args.home.index
    if view.get(NAME, _household_key(index)) is not None:
        raise InvalidTx("member_known", f"home {index} has shown its key already")
    if household_of(ctx) != _NONE:
        raise InvalidTx("key_taken", f"the key has the role of home {household_of(ctx)} already")
    _give(view, ctx.sender, index)


def _household_key(index: int) -> bytes:
    return b"h" + index.to_bytes(4, "big")


def _give(view: View, key: bytes, household: int) -> None:
    view.write(NAME, role_key(key), Role(household))
    view.put(NAME, _household_key(household), key)


def _invariants(view: View, genesis: Genesis, height: int) -> None:
    for key in view.touched(NAME):
        if key[:1] == b"a":
            old = view.before(NAME, key)
            before = NO_ACCOUNT if old is None else record(Account, old)
            if account(view, key[1:]).nonce <= before.nonce:
                raise BrokenInvariant(height, NAME, f"the nonce of {key[1:].hex()[:16]} did not grow")


MODULE = CHAIN_MODULES.register(
    ChainModule(
        NAME,
        "Nonces, quotas, and which key has which role.",
        {
            ROTATE_KEY: Method(
                "Give the sender's roles to a new key.",
                RotateArgs,
                frozenset({OPERATOR, HOUSEHOLD}),
                _rotate,
                _check_rotate,
            ),
            ENTER: Method(
                "Show the key of a home that the genesis commits to, which gives it the role of the home.",
                EnterArgs,
                frozenset(),
                _enter,
                _check_enter,
                caller=lambda args: args.home.member.key,
            ),
        },
        (
            Entry("Nonce and quota of a sender.", b"a", (("sender", "bytes"),), Account),
            Entry("Home of a key.", b"r", (("key", "bytes"),), Role),
            Entry("Key of a home.", b"h", (("household", "u32"),)),
        ),
        codes={
            "member_proof": "The home and its key do not lead to the root in the genesis.",
            "member_known": "The home has shown its key already.",
            "key_taken": "The new key, or that of the home, has a role already.",
            "key_proof": "The new key did not sign that it takes over.",
        },
        check=_invariants,
    )
)
