"""On which line each key of a TOML file is."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.kits.sample_kit import some
from wattswap.scenario.lines import KeyPath, line_numbers


@st.composite
def toml_documents(draw: st.DrawFn) -> str:
    """Valid TOML with comments, blank lines, every kind of string, inline and array tables."""
    values = st.recursive(
        st.sampled_from(
            [
                "1",
                "-0.5",
                "true",
                "2016-06-06 07:00:00",
                '"a # b"',
                "'c = 3'",
                '"""\n[x]\ny = 1 \\"""\n"""',
                "'''\n]'''",
                '""',
            ]
        ),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: "[ # c\n" + ",\n".join(items) + "\n]"),
            st.lists(inner, max_size=2).map(
                lambda items: "{ " + ", ".join(f"i{n}.'x.y' = {v}" for n, v in enumerate(items)) + " }"
            ),
        ),
        max_leaves=5,
    )
    lines = []
    for n in range(draw(st.integers(0, 5))):
        header = draw(
            st.sampled_from(["", "[t{n}]", '[ t{n} . "u v" ]', "[[list]]", "[[list]]\n[list.sub]", "# note"])
        )
        lines.append(header.format(n=n))
        for k in range(draw(st.integers(0, 2))):
            key = draw(st.sampled_from(["k{n}{k}", '"q {n}{k}"', "d{n}{k}.e . 'f#g'"])).format(n=n, k=k)
            lines.append(f"  {key}={draw(values)} # end" if header != "" or k == 0 else "")
        lines.append("")
    return "\n".join(lines)


def paths_of(content: Any, prefix: KeyPath = ()) -> set[KeyPath]:
    items = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    found = {prefix} if prefix else set()
    return found.union(*(paths_of(value, (*prefix, key)) for key, value in items))


@settings(max_examples=some(200, 66), deadline=None)
@given(toml_documents())
def test_every_key_that_tomllib_finds_has_a_line_that_shows_it(text: str) -> None:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    lines = line_numbers(text)
    assert set(lines) == paths_of(parsed)
    shown = text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert path[-1] in shown[line - 1]
