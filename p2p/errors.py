"""Errors of the peer layer, by blame: `LocalError` is our own fault or our own file, `RemoteError` a peer's.

A handler may drop, count and name every `RemoteError` by its `code`; it must never swallow a `LocalError`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class P2PError(Exception):
    """Base of everything that `p2p` raises on purpose."""

    exit_hint: ClassVar[str] = "bug"


class LocalError(P2PError):
    """Something of ours is wrong: a file, a key, a call."""


class RemoteError(P2PError):
    """Something a peer sent is wrong; the message is dropped, nothing of ours changes.

    Args:
        detail: One sentence for people.

    `code` is stable: counters, logs and receipts use it.
    """

    code = "refused"
    exit_hint = "verify"

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(f"{self.code}: {detail}")


class Malformed(RemoteError):
    """Bytes that are not the promised structure."""

    code = "malformed"


class NonCanonical(RemoteError):
    """A readable structure in other bytes than the only ones we would write."""

    code = "non_canonical"


class TooLarge(RemoteError):
    """More bytes than the limit of their kind."""

    code = "too_large"


class OutOfRange(RemoteError):
    """A field outside its stated range."""

    code = "out_of_range"


class WrongVersion(RemoteError):
    """A schema version that this program does not support."""

    code = "wrong_version"


class WrongKind(RemoteError):
    """A well-formed message where another kind was expected."""

    code = "wrong_kind"


class WrongChain(RemoteError):
    """A message, block or certificate of another chain."""

    code = "wrong_chain"


class WrongSignature(RemoteError):
    """A signature that does not verify, or is by a key that may not sign this."""

    code = "wrong_signature"


class UnknownHousehold(RemoteError):
    """A home that is not in the roster."""

    code = "unknown_household"


class BadCertificate(RemoteError):
    """A commit certificate without a quorum of valid signatures of the set."""

    code = "bad_certificate"


class BadProof(RemoteError):
    """A proof that does not lead from its leaf to the stated root."""

    code = "bad_proof"


class NotAMember(RemoteError):
    """A message of a home for an interval in which it is not a member."""

    code = "not_a_member"


class AboveCapacity(RemoteError):
    """A reading of more energy than the connection of its home can carry in the interval."""

    code = "above_capacity"


class InvalidArguments(LocalError, ValueError):
    """Values from which no arguments of a method can be made; `problems` lists every one found."""

    exit_hint = "usage"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class NotAllowed(RemoteError):
    """A request of a peer that may not have what it asks for."""

    code = "not_allowed"


class InvalidTx(RemoteError):
    """A transaction that the state refuses; the state is unchanged.

    Args:
        code: Which rule it breaks: a key of `p2p.ledger.module.refusal_codes()`.
        detail: One sentence for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class InvalidBlock(RemoteError):
    """A block that does not follow from its parent.

    Args:
        height: Height the block claims.
        field: Name of the field that is wrong.
        detail: One sentence for people.
    """

    code = "invalid_block"

    def __init__(self, height: int, field: str, detail: str) -> None:
        self.height = height
        self.field = field
        super().__init__(f"block {height}, {field}: {detail}")


class InvalidMessage(LocalError, ValueError):
    """A message of ours that no peer would accept; it was not signed."""


class Unencodable(LocalError, ValueError):
    """A value of ours that has no canonical encoding."""


class BrokenInvariant(LocalError):
    """A block that kept every rule left a state that breaks an invariant: the program is wrong, the node stops.

    Args:
        height: Height of the block.
        module: Module whose invariant it is.
        detail: One sentence for people.
    """

    def __init__(self, height: int, module: str, detail: str) -> None:
        self.height = height
        self.module = module
        super().__init__(
            f"block {height}, module {module}: {detail}. The node must stop; keep its folder and report this."
        )


class KeyFileError(LocalError):
    """A key file that cannot be used or written."""

    exit_hint = "invalid"

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(f"key file {path}: {what}")


class GenesisError(LocalError, ValueError):
    """A genesis that cannot start a chain; `problems` lists every reason."""

    exit_hint = "invalid"

    def __init__(self, problems: list[str], path: Path | None = None) -> None:
        self.problems = problems
        self.path = path
        super().__init__((f"genesis file {path}: " if path else "genesis: ") + "; ".join(problems))


class NoGenesis(GenesisError):
    """Bytes that are not those of a genesis."""

    CURE: ClassVar[str] = "name a genesis.bin, as each run and each node has one in its folder"

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.CURE}" if self.path else super().__str__()


class OtherFormat(GenesisError):
    """A chain of an earlier or a later format, which this program does not read."""

    def __init__(self, version: int, path: Path | None = None) -> None:
        self.version = version
        super().__init__(
            [
                f"a chain of format {version}; this program reads format 7. To verify it, run"
                " `wattswap verify RUN_FOLDER` with the program that wrote it, whose version and commit are in the"
                " folder's manifest.json"
            ],
            path,
        )


class StoreError(LocalError):
    """A chain store used in a way it does not allow."""

    exit_hint = "invalid"


class StoreDamaged(StoreError):
    """A chain file that cannot be read back as it was written."""

    exit_hint = "verify"

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(
            f"chain file {path} is damaged: {what}. Nothing was changed. Copy the file back from a"
            " backup or a second node, or delete it: a node fetches it again, a run is run again."
        )


class StoreMismatch(StoreError):
    """A chain file of another chain."""

    exit_hint = "verify"

    def __init__(self, path: Path, found: bytes, expected: bytes) -> None:
        self.path = path
        self.found = found
        self.expected = expected
        super().__init__(
            f"chain file {path} holds chain {found.hex()[:16]}, not {expected.hex()[:16]}; name another"
            " file, or the genesis that belongs to this one"
        )
