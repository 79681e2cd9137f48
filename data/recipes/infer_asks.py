"""What an unknown table leaves open: settled by the user's answers or by `--yes`, or put as questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from data.intake.claims import PROPOSED, Question, quoted
from data.intake.raw import SAID_UNITS, UNITS, Hints
from data.recipes.header import normal
from data.recipes.infer_columns import Decimal, Texts
from data.recipes.infer_layout import Layout
from data.recipes.infer_scale import multipliers
from data.recipes.infer_table import Table
from data.recipes.infer_text import Conclusion, Grid
from data.recipes.infer_values import CERTAIN, Measures, Value, with_pairs, with_parts
from data.recipes.model import CHANNELS, holds
from data.recipes.stamps import DAY_S
from data.recipes.text import asks_encoding


class Asker:
    """Settles what a file leaves open: by the answers of the user, by `--yes`, or by a question.

    Args:
        hints: The answers.
    """

    def __init__(self, hints: Hints) -> None:
        self.hints = hints
        self.questions: list[Question] = []
        self.answers: dict[str, str] = {}

    def settle(self, key: str, question: Question, said: str | None) -> str | None:
        """Return the answer to a question, None where it stays open."""
        if said is not None:
            self.answers[key] = said
            return said
        if self.hints.yes and question.proposal is not None and question.confidence >= PROPOSED:
            self.answers[key] = f"{question.proposal} (proposed: {question.why})"
            return question.proposal
        self.questions.append(question)
        return None

    def channels(
        self, values: Sequence[Value], words: Mapping[str, Conclusion[str | None]]
    ) -> tuple[list[Value], dict[str, Conclusion[str | None]]]:
        """Say what each column of readings holds, or each word of the column of registers."""
        said = {name: self._channel(name, c) for name, c in words.items()}
        if words:
            settled = self._apart({name: said[name] or c for name, c in words.items()}, said)
            open_ = [v for v in values if v.is_read]
            kept = [
                replace(v, channel=Conclusion("by", 1.0, "the words of another column choose it"))
                for v in open_[:1]
            ]
            dropped = [v for v in values if not v.is_read]
            # With several columns of numbers beside a register it is not known which one it speaks of.
            more = open_[1:]
            asked = self._apart({v.name: self._channel(v.name, v.channel) or v.channel for v in more}, {})
            return [*kept, *(replace(v, channel=asked[v.name]) for v in more), *dropped], settled
        answers = {value.name: self._channel(value.name, value.channel) for value in values}
        settled = self._apart({v.name: answers[v.name] or v.channel for v in values}, answers)
        return [replace(value, channel=settled[value.name]) for value in values], {}

    def _channel(self, name: str, concluded: Conclusion[str | None]) -> Conclusion[str | None] | None:
        """What the user says of a column."""
        said = next((c for key, c in self.hints.channels.items() if normal(key) == normal(name)), None)
        if said is None or holds(said) is None:
            return None
        self.answers[f"channel {name}"] = said
        return Conclusion(said, 1.0, "you said so")

    def _apart(
        self,
        conclusions: Mapping[str, Conclusion[str | None]],
        said: Mapping[str, Conclusion[str | None] | None],
    ) -> dict[str, Conclusion[str | None]]:
        """Separate the parts of a channel, and ask of every column that is not certain."""
        given = {name: c for name, c in said.items() if c is not None}
        rest = {name: c for name, c in conclusions.items() if name not in given}
        settled = {**given, **with_parts(with_pairs(rest))}
        for name in conclusions:
            c = settled[name]
            if c.confidence >= CERTAIN and c.value is not None:
                continue
            likely = c.value if c.confidence > 0 else None
            signed = (likely or "").endswith("net")
            choices: tuple[str, ...] = (*CHANNELS[:3], "-net", *CHANNELS[3:]) if signed else CHANNELS
            choices += (likely,) if likely is not None and likely not in choices else ()
            question = Question(
                f"--channel {quoted(name)}",
                f"what {name!r} holds is not certain",
                choices,
                likely,
                c.confidence,
                c.why,
            )
            answer = self.settle(f"channel {name}", question, None)
            # A column whose channel is open is not left out, so that its unit and kind are asked for with it.
            open_ = Conclusion(None, 0.0, c.why)
            settled[name] = Conclusion(answer, c.confidence, c.why) if answer else open_
        return {name: settled[name] for name in conclusions}

    def units(self, values: Sequence[Value], texts: Texts) -> list[Value]:
        """Say the unit of each column of readings."""
        without = [v for v in values if v.is_read and v.unit.confidence < CERTAIN]
        if not without:
            return list(values)
        names = ", ".join(repr(value.name) for value in without[:4])
        likely = {v.unit.value for v in without}
        one = likely.pop() if len(likely) == 1 else None
        question = Question(
            "--unit", f"the unit of {names} is not stated", SAID_UNITS, one,
            without[0].unit.confidence if one else 0.0, without[0].unit.why if one else "",
        )  # fmt: skip
        answer = self.settle("unit", question, self.hints.unit if self.hints.unit in SAID_UNITS else None)
        if answer is None:
            return list(values)
        given = Conclusion(answer, 1.0, "you said so")
        found = []
        for value in values:
            if value in without:
                measures = value.measures
                if UNITS[answer][1]:
                    measures = Conclusion("power", 1.0, f"{answer} is a unit of power")
                value = replace(value, unit=given, measures=measures)
            found.append(value)
        return found

    def kinds(self, values: Sequence[Value]) -> list[Value]:
        """Say whether numbers are energy, power or counters."""
        kind = self.hints.kind
        if kind is not None:
            self.answers["kind"] = kind
            said: Conclusion[Measures | None] = Conclusion(kind, 1.0, "you said so")
            return [
                replace(v, measures=said) if v.is_read and v.measures.value != "power" else v for v in values
            ]
        open_ = [v for v in values if v.is_read and v.measures.confidence < CERTAIN]
        if not open_:
            return list(values)
        names = ", ".join(repr(value.name) for value in open_[:4])
        likely = {v.measures.value for v in open_}
        one = likely.pop() if len(likely) == 1 else None
        question = Question(
            "--kind", f"whether {names} is energy of an interval, mean power or a counter is not certain",
            ("energy", "power", "counter"), one, open_[0].measures.confidence if one else 0.0, open_[0].measures.why,
        )  # fmt: skip
        answer = self.settle("kind", question, None)
        if answer is None:
            return [
                replace(v, measures=Conclusion(None, 0.0, v.measures.why)) if v in open_ else v
                for v in values
            ]
        return [
            replace(v, measures=Conclusion(one, 0.95, v.measures.why)) if v in open_ else v for v in values
        ]

    def ends(
        self, layout: Layout, values: Sequence[Value], seconds: Sequence[int | None]
    ) -> Conclusion[str | None]:
        """Say which end of its interval a stamp names; that of a counter is an instant."""
        read = [value for value in values if value.is_read]
        if read and all(value.measures.value == "counter" for value in read):
            return Conclusion("start", 1.0, "the stamp of a counter is the instant of its reading")
        if layout.ends is not None and layout.ends.confidence >= CERTAIN:
            return layout.ends
        likely, confidence, why = _likely_end(layout, seconds)
        question = Question(
            "--stamp", "whether a stamp names the start or the end of its interval is not stated", ("start", "end"),
            likely, confidence, why,
        )  # fmt: skip
        answer = self.settle("stamp", question, self.hints.stamp)
        if answer is None:
            return Conclusion(None, 0.0, "nothing says which end of its interval a stamp names")
        return Conclusion(
            answer, 1.0 if self.hints.stamp else confidence, "you said so" if self.hints.stamp else why
        )

    def zone(self, layout: Layout, table: Table) -> Conclusion[str | None]:
        """Say the zone of local stamps."""
        if layout.instants:
            return Conclusion("", 1.0, "stamps name an instant")
        if layout.utc:
            return Conclusion("UTC", 0.97, "the name of the column of times says UTC")
        for row in table.preamble:
            if found := re.search(
                r"\b(Europe|America|Australia|Pacific|Asia|Africa|Atlantic|Indian)/[A-Z]\w+\b", " ".join(row)
            ):
                return Conclusion(found[0], 0.97, "a line above the header says so")
        question = Question(
            "--zone", "stamps have no UTC offset; their time zone is not stated, e.g. Europe/Berlin"
        )
        answer = self.settle("zone", question, self.hints.zone)
        return Conclusion(
            answer, 1.0 if answer else 0.0, "you said so" if answer else "stamps have no offset"
        )

    def whole(self, grid: Grid, table: Table, decimal: Decimal, texts: Texts) -> None:
        """Ask for what no option but a recipe, or leaving a column out, can answer."""
        if grid.encoding is not None and grid.encoding.confidence == 0.0:
            self.questions.append(asks_encoding())
        if decimal.open:
            self.questions.append(
                _by_recipe(
                    f"how numbers are written is not certain: {decimal.open}", "[file] decimal and thousands"
                )
            )
        for sentence in texts.open:
            self.questions.append(_by_recipe(sentence, "[meter] column, or by and channels of [[value]]"))
        if texts.unknown_quality:
            self._unknown_quality(table, texts)
        for name, value, is_column in multipliers(table):
            self._multiplier(name, value, is_column)

    def _multiplier(self, name: str, value: str, is_column: bool) -> None:
        if is_column and any(
            normal(key) == normal(name) and c == "ignore" for key, c in self.hints.channels.items()
        ):
            self.answers[f"channel {name}"] = "ignore"
            return
        cure = f"; leave it out where they are (--channel {quoted(name)}=ignore)" if is_column else ""
        asks = (
            f"{name!r} is {value}, and nothing says whether the readings are multiplied by it already{cure}"
        )
        self.questions.append(_by_recipe(asks, "factor of [[value]]"))

    def _unknown_quality(self, table: Table, texts: Texts) -> None:
        assert texts.quality is not None, "there are words of flags"
        name = table.header[texts.quality]
        if any(normal(key) == normal(name) and c == "ignore" for key, c in self.hints.channels.items()):
            self.answers[f"channel {name}"] = "ignore"
            return
        words = ", ".join(map(repr, texts.unknown_quality[:4]))
        self.questions.append(
            Question(
                f"--channel {quoted(name)}",
                f"{words} in {name!r} may mark readings that were estimated; leave the column out, or name its words in"
                " [quality] of a recipe",
                ("ignore",),
            )
        )


def _by_recipe(asks: str, where: str) -> Question:
    return Question("--recipe FILE", f"{asks}; write a recipe (`wattswap data recipe`) and fill in {where}")


def _likely_end(layout: Layout, seconds: Sequence[int | None]) -> tuple[str | None, float, str]:
    """What the first and the last time of the day make likely."""
    if layout.ends is not None:
        return layout.ends.value, layout.ends.confidence, layout.ends.why
    known = sorted({second for second in seconds if second is not None})
    step = layout.step_s(layout.orders[0])
    if layout.instants or len(known) < 2 or not 0 < step < DAY_S:
        return None, 0.0, ""
    first, last = known[0] % DAY_S, known[-1] % DAY_S
    if first == 0:
        return "start", 0.9 if last == DAY_S - step else 0.7, "the first stamp is at 00:00"
    if first == step:
        return (
            "end",
            0.9 if last == 0 else 0.7,
            f"the first stamp is one step after 00:00{' and the last at 00:00' if last == 0 else ''}",
        )
    return None, 0.0, ""
