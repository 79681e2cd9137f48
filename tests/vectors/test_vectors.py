"""The vectors in the repository are what the code gives, and the foreign peer reads them the same way."""

from __future__ import annotations

import json
import pkgutil
import re
import subprocess
from importlib import import_module

import pytest

import p2p
from p2p.batches.closings import check_broken_promise, check_closing, decode_closing
from p2p.batches.receipts import check_omission
from p2p.blocks import merkle
from p2p.errors import BadProof, OutOfRange
from p2p.ledger import offices
from p2p.ledger.light import check_batch_proof, check_proof
from p2p.ledger.module import refusal_codes
from p2p.wire.codec import Record, encode
from p2p.wire.messages import Kind, SealedMessage, Signed, open_message, sign_message
from p2p.wire.sealed import unseal_message
from tests.kits.js_kit import JS
from tests.kits.js_kit import node as node
from tests.vectors.made_up import CONTEXT, GENESIS, HOME, MESSAGE_DOMAIN, START
from tests.vectors.make_vectors import FOLDER, PAGE, VECTORS, examples, signer, text_of, with_records
from tests.vectors.records import all_records, layout_line
from tests.vectors.sealed_vectors import LIMITS as SEALED_LIMITS
from tests.vectors.sealed_vectors import sealed_example


def stored(name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("name", VECTORS)
def test_the_stored_vectors_are_what_the_code_gives(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == text_of(name)


def test_there_is_a_message_of_every_kind_and_each_one_opens() -> None:
    opened = [
        open_message(sign_message(signer(one), one), kinds=tuple(Kind), **CONTEXT) for one in examples()
    ]
    assert opened == examples()
    kinds = {kind.name.lower() for kind in Kind} - {"sealed"}  # has vectors of its own
    assert {one["kind"] for one in stored("messages")["good"]} == kinds


def test_our_own_reader_opens_the_envelopes_and_refuses_the_bad_ones() -> None:
    found = stored("envelopes")
    for case in found["good"]:
        message = open_message(
            bytes.fromhex(case["bytes"]), kinds=(Kind.SEALED,), limits=SEALED_LIMITS, **CONTEXT
        )
        assert isinstance(message, SealedMessage)
        said = unseal_message(message, bytes.fromhex(case["key"]), SEALED_LIMITS)
        assert said is not None
        assert sealed_example(said, case["validators"]) == message
    for case in found["refused"]:
        body = bytes.fromhex(case["body"])
        signature = HOME.sign(MESSAGE_DOMAIN, bytes((Kind.SEALED,)) + body)
        signed = encode(Signed(Kind.SEALED, body, HOME.public_key, signature))
        with pytest.raises(OutOfRange):
            open_message(signed, kinds=(Kind.SEALED,), limits=SEALED_LIMITS, **CONTEXT)


def test_our_own_reader_refuses_the_bad_paths() -> None:
    for case in stored("merkle")["refused"]:
        path = bytes.fromhex(case["path"])
        steps = [path[at : at + 32] for at in range(0, len(path), 32)]
        leaf = merkle.leaf_hash(bytes([case["leaf"]]))
        with pytest.raises(BadProof):
            merkle.root_from_path(leaf, case["index"], case["size"], steps)


def test_our_own_reader_takes_the_proofs() -> None:
    for case in stored("chain")["proofs"]:
        line = check_proof(bytes.fromhex(case["bytes"]), GENESIS)
        settled = check_batch_proof(bytes.fromhex(case["batch"]), GENESIS)
        assert line.account == case["account"]
        assert (settled.height, settled.block_hash) == (line.height, line.block_hash)


def test_our_own_reader_convicts_by_the_proofs_of_broken_promises() -> None:
    found = stored("promises")
    for name, check in (("broken_promises", check_broken_promise), ("omissions", check_omission)):
        for case in found[name]:
            key, interval_start = check(bytes.fromhex(case["bytes"]), GENESIS)
            assert (key.hex(), interval_start) == (case["convicted"], START)
    check_closing(decode_closing(bytes.fromhex(found["closing"]["bytes"])), GENESIS.chain_id)


def test_the_worked_example_of_the_page_is_the_first_message() -> None:
    page = "".join(PAGE.read_text(encoding="utf-8").split())
    first = stored("messages")["good"][0]
    size = len(first["bytes"]) // 2
    for shown in (first["id"], first["signature"], f"{size}bytes", f"{size + 5:08x}0000000100<envelope>"):
        assert shown in page
    assert first["body"].startswith(f"9804c420{GENESIS.chain_id.hex()[:8]}")
    assert first["body"].endswith("ce68e779900fa7686f7573652d310700919601ccface00038658000090")


def test_the_page_names_every_refusal() -> None:
    page = PAGE.read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in (FOLDER.parents[1] / "p2p").rglob("*.py"))
    codes = set(re.findall(r'^    code = "(\w+)"', sources, re.MULTILINE)) - {"refused"}
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in page} == set()


def test_the_layouts_on_the_page_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_records(text) == text


def page() -> str:
    """The text of docs/reference/protocol/messages.md, every run of white space one blank."""
    return " ".join(PAGE.read_text(encoding="utf-8").split())


def test_the_page_has_every_record_field_by_field() -> None:
    text = page()
    assert [line for line in map(layout_line, all_records()) if f" {line} " not in text] == []


def test_the_page_has_a_sentence_for_every_refusal_of_a_transaction() -> None:
    text = page()
    assert [code for code, why in refusal_codes().items() if f"| `{code}` | {why} |" not in text] == []


NEVER_SENT = frozenset(
    "SignState LastSigned SimBlock Account Role Receipt Settled Kept Meter HomeMeters Anchor Newest Issuance"
    " GuaranteeOfOrigin Metered Used Owed Stored HomeKey HomeKeys ValidatorSets Keys Past History Number Conviction"
    " Barred LastClosed Trusted Version".split()
)
"""Records of files and of the state: nobody sends them but inside a snapshot, as entries."""


def test_no_record_of_the_network_is_without_vectors() -> None:
    for module in pkgutil.walk_packages(p2p.__path__, "p2p."):
        import_module(module.name)
    kinds = {kind for kind in Record.__subclasses__() if kind.__module__.startswith("p2p.")}
    listed = set(all_records())
    assert listed <= kinds
    missing = kinds - listed - {offices.Proposal}  # of the state; the one of consensus is sent
    assert {kind.__name__ for kind in missing} == NEVER_SENT


@pytest.mark.live
def test_the_foreign_peer_reads_and_writes_every_vector(node: list[str]) -> None:
    done = subprocess.run(
        [*node, "--test", str(JS / "vectors.test.mjs")],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
