"""Module `accounts`: nonces, quotas, and which key has which role.

    a || key        nonce and quota of a sender
    r || key        home of a key
    h || index u32  key of a home
    k || index u32  keys of a home that has rotated its key, and from which interval each signs its messages

A home has its role from its first transaction, `enter`, which shows its key; the genesis holds only a root.
The roles of operators and validators are not here: they follow from the lists of the height, see `offices`.

A new key of a home has its roles at once, and signs its messages from the fourth interval after the newest settled one:
no honest collector has taken a message of that interval yet, so each message has one key that may sign it.
"""

from __future__ import annotations

from p2p.blocks.genesis import Genesis
from p2p.blocks.members import NO_KEY, MemberProof, check_member
from p2p.blocks.possession import check_possession
from p2p.errors import BadProof, BrokenInvariant, InvalidTx
from p2p.ledger import offices
from p2p.ledger.module import AUTHORITY, CHAIN_MODULES, HOUSEHOLD, OPERATOR, ChainModule, Entry, Method
from p2p.ledger.modules.settlement import settled
from p2p.ledger.view import Context, View, record
from p2p.wire.codec import Record
from p2p.wire.identity import PUBLIC_KEY_BYTES

NAME = "accounts"
ROTATE_KEY = "rotate_key"
ENTER = "enter"
SIGNS_AFTER = 4
"""How many intervals after the newest settled one a new key of a home signs its first message; messages are taken of
three at most, see `p2p.roles.replica.schedule.AHEAD`."""
KEYS_MAX = 64
"""Keys to which a home may rotate in the life of a chain: all of them stay in its state, to check old messages."""
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


class HomeKey(Record, frozen=True):
    """A key of a home.

    Args:
        from_s: Start of the first interval whose messages it signs. [s since 1970, UTC]
    """

    from_s: int
    key: bytes


class HomeKeys(Record, frozen=True):
    """Keys to which a home has rotated, in the order of their first intervals."""

    keys: tuple[HomeKey, ...]


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


def home_of(view: View, key: bytes) -> int | None:
    """Index of the home whose role a key has; None for a key without one, or whose home has not shown it."""
    found = role(view, key).household
    return None if found == _NONE else found


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


def home_key(view: View, household: int, interval_start: int) -> bytes | None:
    """The key that signs a home's messages of an interval; None where it is still that of the genesis.

    Args:
        household: Index of the home.
        interval_start: Of the interval. [s]
    """
    found = view.read(NAME, _home_keys_key(household), HomeKeys)
    signing = () if found is None else [one.key for one in found.keys if one.from_s <= interval_start]
    return signing[-1] if signing else None


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
        _sign_with(ctx, key, household)


def _sign_with(ctx: Context, key: bytes, household: int) -> None:
    last_s = settled(ctx.view).last_interval_start
    if last_s < 0:
        raise InvalidTx("rotate_early", "a home keeps its key until the first interval is settled")
    from_s = last_s + SIGNS_AFTER * ctx.genesis.params.minutes * 60
    known = ctx.view.read(NAME, _home_keys_key(household), HomeKeys) or HomeKeys(())
    if known.keys and known.keys[-1].from_s >= from_s:
        raise InvalidTx("rotate_early", f"the home's last key signs from interval {known.keys[-1].from_s} on")
    if len(known.keys) == KEYS_MAX:
        raise InvalidTx("rotate_often", f"the home has had {KEYS_MAX} keys")
    ctx.view.write(NAME, _home_keys_key(household), HomeKeys((*known.keys, HomeKey(from_s, key))))


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


def _home_keys_key(index: int) -> bytes:
    return b"k" + index.to_bytes(4, "big")


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
            Entry("Keys to which a home has rotated.", b"k", (("household", "u32"),), HomeKeys),
        ),
        codes={
            "member_proof": "The home and its key do not lead to the root in the genesis.",
            "member_known": "The home has shown its key already.",
            "key_taken": "The new key, or that of the home, has a role already.",
            "rotate_early": "No interval is settled yet, or none since the home's last rotation.",
            "rotate_often": "The home has rotated its key too often.",
            "key_proof": "The new key did not sign that it takes over.",
        },
        check=_invariants,
    )
)
