"""Files that are no export of readings at all, known by their first bytes: what each is, and what to do instead."""

from __future__ import annotations

from data.intake.file import MeterFile

_EXPORT = "ask for the export as CSV, spreadsheet or XML"
_MARKS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", f"it is a PDF, a printed page and no table; {_EXPORT}"),
    (b"\x89PNG", f"it is a picture; {_EXPORT}"),
    (b"\xff\xd8\xff", f"it is a picture; {_EXPORT}"),
    (b"GIF8", f"it is a picture; {_EXPORT}"),
    (b"\x1f\x8b", "it is compressed by gzip; unpack it and give the file in it"),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive; unpack it and give the file in it"),
    (b"Rar!", "it is a RAR archive; unpack it and give the file in it"),
    (b"{\\rtf", f"it is a text document; {_EXPORT}"),
)
_WEB_PAGES = (b"<!doctype html", b"<html")


def stranger(file: MeterFile) -> str | None:
    """What a file is that cannot hold readings, and what to do; None where it could hold some."""
    if file.path.is_file() and not file.head:
        return "it is empty; export it again"
    for mark, text in _MARKS:
        if file.head.startswith(mark):
            return text
    if file.head.startswith(b"PAR1") and file.parquet_schema is None:
        return "it is a damaged Parquet file; write it again"
    if file.head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_WEB_PAGES):
        return f"it is a web page, as a portal gives when nobody is signed in; {_EXPORT}"
    return None
