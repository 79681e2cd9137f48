"""A mechanism with parameters, as on the command line: NAME or NAME:parameter=value,parameter=value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

from market.errors import UnknownName
from market.mechanism import MECHANISMS, Mechanism
from market.parameters import FEED_IN, RETAIL, SEED
from market.registry import by_hand
from market.rules import Value
from wattswap.errors import Problem, UsageError
from wattswap.inputs.collector import CaseReader
from wattswap.inputs.no_run import NO_RUN
from wattswap.inputs.parameters import read_parameters
from wattswap.plugins import WITHOUT_EFFECT
from wattswap.scenario.load import Scenario

REFERENCE, BOUND = "retailer_only", "welfare_optimum"
"""The baseline and the upper bound of every comparison: no market, and the welfare optimum."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?")


@dataclass(frozen=True, slots=True)
class Choice:
    """One mechanism with parameters.

    Args:
        label: As the user named it.
        mechanism: The registered mechanism.
        params: Its parameters as written; those left out have their defaults.
    """

    label: str
    mechanism: Mechanism
    params: dict[str, Any]

    def values(self) -> Mapping[str, Value]:
        """The parameters in the units inside, by `Parameter.field`."""
        return read_parameters(CaseReader(), self.params, self.mechanism.parameters)

    def of(self, scenario: Scenario, seed: int) -> Scenario:
        """The same scenario under this mechanism and a seed."""
        known = {p.name: p for p in self.mechanism.parameters}
        values, shared = self.values(), self._shared()
        own = {known[name].field: values[known[name].field] for name in shared}
        params = {name: value for name, value in self.params.items() if name not in shared}
        if self.mechanism.name == scenario.market.mechanism:
            params = {**scenario.market.params, **params}
        market = scenario.market.model_copy(
            update={"mechanism": self.mechanism.name, "params": params, **own}
        )
        changed = scenario.model_copy(update={"seed": seed, "market": market})
        return changed.with_source(scenario.source)

    def settings(self) -> list[str]:
        """The choice as KEY=VALUE of a scenario; a parameter given as null is left out, as null is its default."""
        shared = self._shared()
        return [f'market.mechanism="{self.mechanism.name}"'] + [
            f"market.{'' if name in shared else 'params.'}{name}={_toml(value)}"
            for name, value in self.params.items()
            if value is not None
        ]

    def version(self) -> str:
        """Identifies the code of plug-ins: empty for ours, whose files are in the digest of every comparison.

        What a mechanism of another package or a plug-in of a user depends on is unknown, so its value is never the
        same twice, and its cells are recomputed.
        """
        ours = MECHANISMS.is_ours(self.mechanism)
        same = ours and all(registry.group in WITHOUT_EFFECT for registry, _ in by_hand())
        return "" if same else uuid4().hex

    def _shared(self) -> set[str]:
        """Names of given parameters that are keys of a scenario's market, as all mechanisms share them."""
        return {p.name for p in self.mechanism.parameters if p.is_shared} & set(self.params)


def choice_of(text: str, where: str) -> Choice:
    """Read one choice; `where` is its place for messages.

    Raises:
        UnknownName: Names the nearest match.
        UsageError: Lists every wrong parameter.
    """
    read = CaseReader()
    choice = read_choice(read, text, where)
    if read.problems:
        raise UsageError(*read.problems)
    return choice


def read_choice(read: CaseReader, text: str, where: str) -> Choice:
    """Read one choice; wrong parameters are noted.

    Raises:
        UnknownName: Names the nearest match.
        UsageError: It clears no orders.
    """
    name, _, rest = text.partition(":")
    if name in NO_RUN:
        what, cure = NO_RUN[name]
        raise UsageError.of(where, f"{name} {what}", cure)
    found = MECHANISMS.get(name)
    params: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals or key in params:
            read.note(where, f"{part!r} is not parameter=value", "write NAME:k=0.3 or NAME:price_rule=bid")
        params[key] = _value(value)
    allowed = [p for p in found.parameters if p not in (SEED, RETAIL, FEED_IN) and not p.case_only]
    read_parameters(read, params, allowed, where)
    return Choice(text, found, params)


def read_choices(texts: Sequence[str]) -> tuple[Choice, ...]:
    """Read the mechanisms to compare, add baseline and upper bound; without a text, every registered mechanism.

    Raises:
        UsageError: Lists every unknown mechanism and every wrong parameter.
    """
    middle = list(dict.fromkeys(texts)) or [
        name for name, m in MECHANISMS.all().items() if not m.promises.needs_places and m.scope != "horizon"
    ]
    read, choices = CaseReader(), []
    for text in (REFERENCE, *(text for text in middle if text not in (REFERENCE, BOUND)), BOUND):
        where = f"-m {text}"
        try:
            choice = read_choice(read, text, where)
        except UnknownName as unknown:
            read.problems.append(Problem(where, str(unknown).rstrip(".")))
            continue
        except UsageError as refused:
            read.problems += refused.problems
            continue
        choices.append(choice)
    if read.problems:
        raise UsageError(*read.problems)
    return tuple(choices)


def _value(text: str) -> Any:
    """Numbers are read exactly; anything else is text."""
    if not _NUMBER.fullmatch(text):
        return None if text == "null" else text
    number = Decimal(text)
    return int(number) if number == number.to_integral_value() and "." not in text else number


def _toml(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else str(value)
