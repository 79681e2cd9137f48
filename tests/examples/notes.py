"""Module `notes`: the operator keeps one note.

n   the note, as bytes
"""

from p2p.errors import InvalidTx
from p2p.ledger.module import CHAIN_MODULES, OPERATOR, ChainModule, Entry, Method
from p2p.wire.codec import Record


class NoteArgs(Record, frozen=True):
    """Arguments of notes.write."""

    text: bytes


def check(args, genesis):
    """Refuse a long note before it is in a block."""
    if len(args.text) > 140:
        raise InvalidTx("note_long", f"a note of {len(args.text)} bytes")


def write(ctx, args):
    """Keep the note."""
    ctx.view.put("notes", b"n", args.text)


CHAIN_MODULES.register(
    ChainModule(
        "notes",
        "A note of the operator.",
        {"write": Method("Write the note.", NoteArgs, frozenset({OPERATOR}), write, check)},
        (Entry("The note.", b"n"),),
        codes={"note_long": "A note has at most 140 bytes."},
    ),
    contract=1,
)
