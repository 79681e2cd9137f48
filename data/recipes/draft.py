"""A draft of a recipe for a file of unknown layout: what was concluded and why as comments, and what is open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from data.intake.claims import Question, quoted
from data.recipes.infer import Inferred
from data.recipes.infer_recipe import recipe_of
from data.recipes.infer_values import Value
from data.recipes.toml import recipe_to_toml

OPEN = "ASK"
"""Written where a recipe must not be used before its owner has filled something in; no reader takes it for a value."""

WIDTH = 100


def draft(found: Inferred, title: str) -> str:
    """Write a recipe with comments.

    What can be asked when the file is read (zone, unit, channel, start or end) is left out, with a line `# ASK`. What
    would be taken for granted where it is left out (order of day and month, decimal sign, energy or counter) holds
    "ASK", which is refused until it is filled in.

    Args:
        found: What the head of the file says.
        title: What to call the layout.
    """
    recipe = recipe_of(found, title)
    sections = recipe_to_toml(recipe).rstrip("\n").split("\n\n")
    asks = {question.option.split()[0]: question for question in found.questions}
    values = iter(found.read)
    parts = [_head(found)]
    for section in sections:
        first, _, rest = section.partition("\n")
        if first == "[[value]]":
            value = next(values)
            comments, lines = _of_value(found, value, rest.split("\n") if rest else [])
        elif first in _COMMENTS:
            comments, lines = _COMMENTS[first](found, rest.split("\n") if rest else [])
        else:
            comments, lines = [], rest.split("\n") if rest else []
        if first.startswith("contract"):
            lines += _ask(asks, "--zone", 'zone = "Europe/Berlin"')
        parts.append("\n".join([first, *comments, *lines]))
    return "\n\n".join(parts) + "\n"


def _head(found: Inferred) -> str:
    lines = ["Draft of a recipe, from the head of one file: check every line, and keep it beside the file."]
    lines += ["Read a file with it: wattswap data check FILE --recipe THIS"]
    if found.questions:
        lines += [f"Questions that are open: {len(found.questions)}, each at a line that begins with # ASK."]
    lines += [f"NOT READ: {refusal.why}" for refusal in found.refusals]
    return "\n".join(_comment(line) for line in lines)


def _comment(text: str) -> str:
    """A text as lines of comment; a control character of the file does not end one."""
    words = "".join(char if char.isprintable() else " " for char in text).split()
    lines, line = [], "#"
    for word in words:
        if len(line) + 1 + len(word) > WIDTH and line != "#":
            lines.append(line)
            line = "#  "
        line += f" {word}"
    return "\n".join([*lines, line])


def _ask(asks: Mapping[str, Question], option: str, example: str) -> list[str]:
    question = asks.get(option)
    if question is None:
        return []
    choices = f" One of {', '.join(question.choices)}." if question.choices else ""
    likely = f" Probably {question.proposal}: {question.why}." if question.proposal else ""
    return [_comment(f"ASK {question.asks}.{choices}{likely}"), f"# {example}"]


def _of_file(found: Inferred, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    grid, kept = found.grid, list(lines)
    why = [found.table.why]
    if grid.encoding is not None:
        why.append(f"encoding {grid.encoding.value}: {grid.encoding.why}")
    if grid.separator is not None:
        why.append(f"separator {grid.separator.value!r}: {grid.separator.why}")
    why.append(f"decimal sign {found.decimal.sign!r}: {found.decimal.why or 'open'}")
    comments = [_comment(text) for text in why]
    comments += _ask({q.option: q for q in found.questions}, "--encoding", 'encoding = "cp1252"')
    if found.decimal.open:
        comments.append(_comment(f"ASK how numbers are written is not certain: {found.decimal.open}"))
        kept = [line for line in kept if not line.startswith(("decimal", "thousands"))]
        kept.append(f'decimal = "{OPEN}"')
    return comments, kept


def _of_columns(found: Inferred, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    ignored = {value.name: value.channel.why for value in found.values if not value.is_read} | dict(
        found.ignored
    )
    comments = [
        _comment(f"{json.dumps(name, ensure_ascii=False)} is not read: {why}")
        for name, why in ignored.items()
        if name
    ]
    comments += [_comment(f"ASK {sentence}") for sentence in found.texts.open]
    return comments, list(lines)


def _of_stamp(found: Inferred, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    kept = list(lines)
    comments = [_comment(found.layout.why)]
    if found.ends.value is not None:
        comments.append(_comment(f"{found.ends.value}: {found.ends.why}"))
    asks = {question.option: question for question in found.questions}
    if found.order is None:
        comments += _ask(asks, "--dates", "one of these formats:")
        comments += [
            f"#   {json.dumps(text)}" for order in found.layout.orders for text in found.layout.formats[order]
        ]
        kept = [f'format = "{OPEN}"' if line.startswith("format") else line for line in kept]
    comments += _ask(asks, "--stamp", 'is = "start"')
    return comments, kept


def _of_quality(found: Inferred, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    return [_comment("what each word of the flags means")], list(lines)


def _of_value(found: Inferred, value: Value, lines: Sequence[str]) -> tuple[list[str], list[str]]:
    kept = list(lines)
    asks = {question.option: question for question in found.questions}
    comments = [_comment(f"{json.dumps(value.name, ensure_ascii=False)}")]
    for what, conclusion in (("channel", value.channel), ("unit", value.unit), ("kind", value.measures)):
        if conclusion.value is not None and conclusion.value != "by":
            comments.append(
                _comment(f"{what} {conclusion.value}: {conclusion.why} ({conclusion.confidence:.2f})")
            )
    names = [value.name, *(found.words if value.channel.value == "by" else ())]
    for question in found.questions:
        if question.option.startswith("--channel") and any(_about(question, name) for name in names):
            comments += _ask({question.option: question}, question.option, 'channel = "import"')
    if value.channel.value == "by":
        said = {word: c.value or OPEN for word, c in found.words.items()}
        texts = ", ".join(f"{json.dumps(w, ensure_ascii=False)} = {json.dumps(c)}" for w, c in said.items())
        kept = [line for line in kept if not line.startswith("channels")] + [f"channels = {{ {texts} }}"]
    if value.unit.value is None or value.unit.confidence < 0.95:
        comments += _ask(asks, "--unit", 'unit = "kWh"')
    if value.measures.value is None and "--kind" in asks:
        comments.append(
            _comment(
                f'ASK {asks["--kind"].asks}: write kind = "interval" (energy or mean power) or "counter".'
            )
        )
        kept = [line for line in kept if not line.startswith("kind")] + [f'kind = "{OPEN}"']
    return comments, kept


def _about(question: Question, name: str) -> bool:
    return question.option == f"--channel {quoted(name)}"


_COMMENTS = {
    "[file]": _of_file,
    "[columns]": _of_columns,
    "[stamp]": _of_stamp,
    "[quality]": _of_quality,
}
