"""The line of each key in a TOML file, which `tomllib` does not give.

The text must be valid TOML already; the scan follows the grammar only as far as keys and values have ends.
"""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str | int, ...]
"""Keys and array positions from the top: ("tariff", "time_of_use", 0, "from")."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'  # multi-line basic: up to two quotes may precede the closing three
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Map every table, key and array element to the line where it first appears, from 1."""
    return _Scan(text).run()


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.table_count: dict[KeyPath, int] = {}
        self._line, self._line_at = 1, 0

    def run(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self.skip_blank() < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.key_value(table)
        return self.lines

    def skip_blank(self) -> int:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at

    def note(self, path: KeyPath) -> None:
        self._line += self.text.count("\n", self._line_at, self.at)
        self._line_at = self.at
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line)

    def header(self) -> KeyPath:
        is_array = self.text.startswith("[[", self.at)
        line_start = self.at
        self.at += 2 if is_array else 1
        *parents, last = self.key()
        path: KeyPath = ()
        for part in parents:
            path = self.latest((*path, part))
        path = (*path, last)
        if is_array:
            self.table_count[path] = self.table_count.get(path, -1) + 1
            path = (*path, self.table_count[path])
        end, self.at = self.text.index("]", self.at) + (2 if is_array else 1), line_start
        self.note(path)
        self.at = end
        return path

    def latest(self, path: KeyPath) -> KeyPath:
        """A header below an array of tables means the table that was opened last."""
        return (*path, self.table_count[path]) if path in self.table_count else path

    def key(self) -> list[str]:
        parts = []
        while True:
            self.skip_blank()
            quoted = self.text[self.at] in "\"'"
            found = (_STRING if quoted else _BARE_KEY).match(self.text, self.at)
            assert found is not None, f"no key at character {self.at}"
            parts.append(_unquote(found[0]) if quoted else found[0])
            self.at = found.end()
            self.skip_blank()
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def key_value(self, table: KeyPath) -> None:
        start = self.at
        path = (*table, *self.key())
        after_key, self.at = self.at, start
        self.note(path)
        self.at = after_key + 1  # the equals sign
        self.value(path)

    def value(self, path: KeyPath) -> None:
        self.skip_blank()
        opening = self.text[self.at]
        if opening == "[":
            self.array(path)
        elif opening == "{":
            self.inline_table(path)
        else:
            found = (_STRING if opening in "\"'" else _SCALAR).match(self.text, self.at)
            assert found is not None, f"no value at character {self.at}"
            self.at = found.end()

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self.text[self.skip_blank()] != "]":
            self.note((*path, index))
            self.value((*path, index))
            index += 1
            if self.text[self.skip_blank()] == ",":
                self.at += 1
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self.text[self.skip_blank()] != "}":
            self.key_value(path)
            if self.text[self.skip_blank()] == ",":
                self.at += 1
        self.at += 1


def _unquote(key: str) -> str:
    value = tomllib.loads(f"k = {key}")["k"]
    assert isinstance(value, str)
    return value
