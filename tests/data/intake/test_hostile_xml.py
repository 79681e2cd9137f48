"""XML made to do harm, or broken anywhere, ends in a finding within a second, in every format of XML."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from data.formats import FORMATS, read
from data.intake.raw import Hints
from data.intake.xml import root_of
from tests.kits.espi_kit import Meter, entries, feed
from tests.kits.fixture_kit import METERS

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
SDAT = (METERS / "sdat_two_points" / "e66.xml").read_bytes()
ESPI = feed(entries([Meter(0, "import", 1_767_258_000, 900, (1, 2, 3, 4, 5, 6))])).encode()
GOOD = {"espi": ESPI, "sdat": SDAT}


def with_type(good: bytes, declaration: str) -> bytes:
    """A document with a document type before its first element."""
    head, _, rest = good.partition(b"\n")
    return head + f"\n<!DOCTYPE any {declaration}>\n".encode() + rest


def findings_within_a_second(path: Path, name: str) -> list[str]:
    start = time.perf_counter()
    reading = read(path, FORMATS.get(name), Hints())
    assert time.perf_counter() - start < 1
    assert reading.data is None
    return [finding.code for finding in reading.findings]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "declaration",
    [
        f'[<!ENTITY l0 "ha">{LAUGHS}]',
        '[<!ENTITY file SYSTEM "file:///etc/passwd">]',
        'SYSTEM "http://127.0.0.1:9/any.dtd"',
        '[<!ENTITY % a SYSTEM "http://127.0.0.1:9/a"> %a;]',
    ],
    ids=["laughs", "file", "dtd", "parameter"],
)
def test_entities_and_document_types_are_refused(tmp_path: Path, name: str, declaration: str) -> None:
    path = tmp_path / "any.xml"
    path.write_bytes(with_type(GOOD[name], declaration))
    assert findings_within_a_second(path, name) == ["unsafe_xml"]


@pytest.mark.parametrize("name", GOOD)
def test_a_file_cut_off_anywhere_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / "any.xml"
    for end in range(100, len(GOOD[name].rstrip()), 100):
        path.write_bytes(GOOD[name][:end])
        assert findings_within_a_second(path, name) == ["unreadable"]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "inside",
    [
        b'<a b="' + b"x" * 10_000_000 + b'">',
        b"<a>" * 100_000,
        b"<" + b"n" * 5_000_000,
        b"\xff\xfe\x00",
        b"<a></b>",
        b"&nbsp;",
    ],
    ids=["attribute", "deep", "name", "bytes", "crossed", "entity"],
)
def test_what_is_no_xml_inside_is_an_error(tmp_path: Path, name: str, inside: bytes) -> None:
    path = tmp_path / "any.xml"
    end = GOOD[name].rindex(b"</")
    path.write_bytes(GOOD[name][:end] + inside + GOOD[name][end:])
    assert findings_within_a_second(path, name) == ["unreadable"]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "no-such-code"])
def test_other_encodings_are_read_or_refused(tmp_path: Path, name: str, encoding: str) -> None:
    path = tmp_path / "any.xml"
    text = GOOD[name].decode().split("\n", 1)[1]
    known = encoding if encoding != "no-such-code" else "ascii"
    path.write_bytes((f'<?xml version="1.0" encoding="{encoding}"?>\n' + text).encode(known))
    reading = read(path, FORMATS.get(name), Hints())
    assert [finding.code for finding in reading.findings] == (["unreadable"] if known == "ascii" else [])
    assert (reading.data is None) == (known == "ascii")


@pytest.mark.parametrize(
    ("head", "root"),
    [
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- <no> --><ns:feed a='1'>", "feed"),
        ("\ufeff<?xml?><feed>".encode("utf-16-le"), "feed"),
        (b"  \n<UsagePoint>", "UsagePoint"),
        (b"<!DOCTYPE a [<!ENTITY b '>'> ]><c/>", "c"),
        (b"<!-- never closed <feed>", ""),
        (b"timestamp,household\n<feed>", ""),
        (b"", ""),
    ],
)
def test_the_first_element_names_a_document(head: bytes, root: str) -> None:
    assert root_of(head) == root
