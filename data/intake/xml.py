"""XML from unknown sources as a stream: any namespace prefix, no entities and no DTD; errors go into the log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, BinaryIO

from data.findings import FindingLog

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

CHUNK_BYTES = 1 << 20

_BEFORE_ROOT = re.compile(rb"<!--.*?(-->|$)|<!DOCTYPE[^>\[]*(\[.*?\]\s*)?(>|$)|<\?.*?(\?>|$)", re.DOTALL)
_ROOT = re.compile(rb"\s*<(?:[\w.-]+:)?([\w.-]+)")

Seen = dict[str, str]
"""Texts of the leaves that ended since it was cleared last."""

Opened = Callable[[Mapping[str, str], Seen], None]
"""Called where an element begins, with its attributes."""

Closed = Callable[[Seen, int], None]
"""Called where an element ends, with its line in the file."""


def root_of(head: bytes) -> str:
    """Name of the first element in the head of a file, without its prefix; "" where this is no XML."""
    text = head.replace(b"\0", b"")  # UTF-16 of plain letters
    start = text.find(b"<")
    if start < 0 or text[:start].strip(b" \t\r\n\xef\xbb\xbf\xff\xfe"):
        return ""
    root = _ROOT.match(_BEFORE_ROOT.sub(b"", text[start:]))
    return root[1].decode("ascii", "replace") if root else ""


def read_xml(
    source: BinaryIO,
    leaves: frozenset[str],
    opened: Mapping[str, Opened],
    closed: Mapping[str, Closed],
    log: FindingLog,
) -> bool:
    """Walk through a document; elements are called by their local names.

    Args:
        source: The document.
        leaves: Elements whose text is kept in `Seen`.
        opened: What to do where an element begins.
        closed: What to do where an element ends that is no leaf.
        log: Where an error goes that ends the reading.

    Returns:
        Whether the document was read to its end.
    """
    parser = _guarded_parser(log)
    if parser is None:
        return False
    _follow(parser, leaves, opened, closed)
    return _parsed(source, parser, log)


def _guarded_parser(log: FindingLog) -> XMLParserType | None:
    """A parser that refuses declarations of types and entities; None, with an error, without the package for it."""
    try:
        from defusedxml.ElementTree import DefusedXMLParser
    except ImportError:
        needs = "reading XML needs the package defusedxml; install the extra: pip install wattswap[meters]"
        log.add("error", "missing_package", needs)
        return None
    from xml.parsers.expat import ParserCreate

    guard, parser = DefusedXMLParser(forbid_dtd=True), ParserCreate()
    parser.StartDoctypeDeclHandler = guard.defused_start_doctype_decl
    parser.EntityDeclHandler = guard.defused_entity_decl
    parser.UnparsedEntityDeclHandler = guard.defused_unparsed_entity_decl
    parser.ExternalEntityRefHandler = guard.defused_external_entity_ref_handler
    return parser


def _follow(
    parser: XMLParserType,
    leaves: frozenset[str],
    opened: Mapping[str, Opened],
    closed: Mapping[str, Closed],
) -> None:
    """Let a parser keep the texts of leaves and call what is to be done where other elements begin and end."""
    text: list[str] = []
    seen: Seen = {}
    clear, joined, roles = text.clear, "".join, _Roles(leaves, opened, closed)

    def start(name: str, attributes: Mapping[str, str]) -> None:
        clear()
        action = roles[name][0]
        if action is not None:
            action(attributes, seen)

    def end(name: str) -> None:
        _, leaf, action = roles[name]
        if leaf is not None:
            seen[leaf] = joined(text)
        elif action is not None:
            action(seen, parser.CurrentLineNumber)

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append


def _parsed(source: BinaryIO, parser: XMLParserType, log: FindingLog) -> bool:
    """Parse a document to its end; False, with an error, where that is not possible."""
    from xml.parsers.expat import ExpatError

    from defusedxml.common import DefusedXmlException

    try:
        while chunk := source.read(CHUNK_BYTES):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except DefusedXmlException:
        harm = "the XML declares a document type or entities, which can be used to do harm, and no meter file needs"
        log.add("error", "unsafe_xml", f"{harm}; export the file again", line=parser.CurrentLineNumber)
        return False
    except (ExpatError, LookupError, ValueError) as problem:
        message = f"the XML cannot be read to its end ({problem}); download the file again"
        log.add("error", "unreadable", message, line=parser.CurrentLineNumber)
        return False
    return True


class _Roles(dict[str, tuple[Opened | None, str | None, Closed | None]]):
    """What to do with each name of a document, by the local name: what follows a prefix."""

    def __init__(
        self, leaves: frozenset[str], opened: Mapping[str, Opened], closed: Mapping[str, Closed]
    ) -> None:
        super().__init__()
        self._leaves, self._opened, self._closed = leaves, opened, closed

    def __missing__(self, name: str) -> tuple[Opened | None, str | None, Closed | None]:
        local = name.rpartition(":")[2]
        role = self._opened.get(local), local if local in self._leaves else None, self._closed.get(local)
        self[name] = role
        return role
