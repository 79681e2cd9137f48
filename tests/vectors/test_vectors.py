"""The vectors are what the code writes, in Python and in JavaScript; a change of them is a change of the wire."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable

import pytest

from p2p.chain import blob, block, consensus_types, evidence, genesis, light, settlement
from p2p.codec import Record
from p2p.errors import RemoteError
from tests.vectors.layouts import RECORDS, layouts
from tests.vectors.make_vectors import HERE, build, text_of

JS = HERE.parent / "interop" / "js"
BUILT = build()
BASIC = {"int", "bytes", "str", "bool"}


@pytest.mark.parametrize("name", BUILT)
def test_a_file_of_vectors_is_what_comes_out_of_the_code(name: str) -> None:
    stored = (HERE / name).read_text(encoding="ascii")
    assert stored == text_of(BUILT[name]), "the wire has changed; see tests/vectors/make_vectors.py"


def test_there_is_no_file_that_nobody_makes() -> None:
    assert {path.name for path in HERE.glob("*.json")} == set(BUILT)


def test_every_record_that_a_layout_names_has_a_layout_itself() -> None:
    found = layouts()
    named = {word for fields in found.values() for _, kind in fields for word in re.findall(r"\w+", kind)}
    assert named - BASIC <= set(found)


def records_of(modules: Iterable[object]) -> set[type[Record]]:
    return {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Record) and value is not Record
    }


def test_no_record_of_the_chain_is_without_a_layout() -> None:
    at_home = {"SignState"}  # never leaves the validator that wrote it
    wanted = records_of((blob, block, consensus_types, evidence, genesis, light, settlement))
    assert {kind.__name__ for kind in wanted} - at_home <= {kind.__name__ for kind in RECORDS}


def test_every_refusal_of_the_vectors_has_a_code_of_ours() -> None:
    text = " ".join(path.read_text(encoding="ascii") for path in HERE.glob("*.json"))
    codes = set(re.findall(r'"code": "(\w+)"', text))
    assert {"malformed", "non_canonical", "out_of_range", "too_large", "wrong_signature"} <= codes
    assert codes <= known_codes()


def known_codes() -> set[str]:
    found, todo = set(), [RemoteError]
    while todo:
        kind = todo.pop()
        found.add(kind.code)
        todo += kind.__subclasses__()
    return found


def test_a_peer_in_javascript_reads_all_vectors_the_same_way() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on this machine; it reads the vectors with the peer of tests/interop/js")
    command = [node, "--test", "--test-reporter=tap", "vectors.test.mjs"]
    done = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-4_000:]
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    tests = (JS / "vectors.test.mjs").read_text(encoding="utf-8").count("\ntest(")
    assert passed is not None
    assert int(passed[1]) == tests
