"""How sure a format is of a file, and what a file leaves open that only its owner can answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from data.intake.file import MeterFile
from market.registry import Registry

RECOGNISED = 0.8
"""A claim from here on names the format of a file; two such claims on one file are a mistake of a format."""

PROPOSED = 0.95
"""`--yes` takes a proposed answer of this confidence or more, and no other."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a format makes of a file by its name and its head.

    Args:
        confidence: That the file has this format, from 0 to 1; 1 where its content says so beyond doubt.
        why: Reasons, one clause each: what was found, or what keeps the file from this format.
        assumed: What the format lays down and the file does not state, by name: "zone", "unit", "stamp", ...
    """

    confidence: float
    why: tuple[str, ...] = ()
    assumed: Mapping[str, str] = field(default_factory=dict)


LONG = 24
"""Letters of a choice from which on a list of choices has spaces."""

NO_CLAIM = Claim(0.0)


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that a file leaves open.

    Args:
        option: The option that answers it, as in "--zone"; "--channel Usage" where it asks about one column.
        asks: One sentence: what the file leaves open, and what depends on it.
        choices: Answers that can be given; empty where any zone, or any name, can be.
        proposal: The answer that the file makes most likely; None where nothing speaks for one.
        confidence: In the proposal, from 0 to 1.
        why: What speaks for the proposal.
    """

    option: str
    asks: str
    choices: tuple[str, ...] = ()
    proposal: str | None = None
    confidence: float = 0.0
    why: str = ""

    @property
    def answer(self) -> str:
        """The option with the answers that it takes, as in "--stamp {start|end}"."""
        between = "=" if self.option.startswith("--channel ") else " "
        # Long names, as of files, have to break where a line ends.
        bar = " | " if any(len(choice) > LONG for choice in self.choices) else "|"
        choices = f"{between}{{{bar.join(self.choices)}}}" if self.choices else ""
        return f"{self.option}{choices}"

    def __str__(self) -> str:
        likely = f" (probably {self.proposal}: {self.why})" if self.proposal is not None else ""
        return f"{self.asks}: say {self.answer}{likely}"


class Sniffing(Protocol):
    """What can be sure of a file: a layout of meters, prices or weather."""

    @property
    def name(self) -> str: ...
    @property
    def sniff(self) -> Callable[[MeterFile], Claim]: ...


Layout = TypeVar("Layout", bound=Sniffing)


def claims_of(registry: Registry[Layout], file: MeterFile) -> dict[str, Claim]:
    """What every layout of a kind makes of a file, by name; the file is opened once for all."""
    claims = {}
    for name, layout in registry.all().items():
        with registry.held(layout):
            claims[name] = layout.sniff(file)
    return claims


def surest(registry: Registry[Layout], file: MeterFile, otherwise: str) -> Layout:
    """The layout that recognises a file; the one of a name where none does."""
    claims = claims_of(registry, file)
    name = max(claims, key=lambda name: claims[name].confidence)
    return registry.get(name if claims[name].confidence >= RECOGNISED else otherwise)


def quoted(name: str) -> str:
    """A name as an argument of a command line."""
    return name if re.fullmatch(r"[\w./:-]+", name) else json.dumps(name, ensure_ascii=False)
