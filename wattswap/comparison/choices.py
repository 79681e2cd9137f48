"""What is compared: mechanisms with their parameters, as `-m NAME` or `-m NAME:parameter=value,parameter=value`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

from market.errors import UnknownMechanism
from market.mechanism import Mechanism, registered
from market.parameters import FEED_IN, RETAIL, SEED, Parameter
from wattswap.case_reader import CaseReader
from wattswap.errors import Problem, UsageError
from wattswap.parameter_reader import has_own_field, read_parameters
from wattswap.plugins import mechanism as mechanism_named
from wattswap.scenario import Scenario

REFERENCE, BOUND = "retailer_only", "welfare_optimum"
"""The bookends of every comparison: no market, and the most welfare that the orders allow."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One mechanism with parameters.

    Args:
        label: As the user named it.
        mechanism: The registered rule.
        params: Its parameters as the edge writes them; those left out have their defaults.
    """

    label: str
    mechanism: Mechanism
    params: dict[str, Any]

    def of(self, scenario: Scenario, seed: int) -> Scenario:
        """The same scenario under this mechanism and a seed."""
        known = {p.name: p for p in self.mechanism.parameters}
        values = read_parameters(CaseReader(), self.params, self.mechanism.parameters)
        own = {known[name].field: values[known[name].field] for name in self.params if _is_own(known[name])}
        params = {name: value for name, value in self.params.items() if not _is_own(known[name])}
        if self.mechanism.name == scenario.market.mechanism:
            params = {**scenario.market.params, **params}
        market = scenario.market.model_copy(
            update={"mechanism": self.mechanism.name, "params": params, **own}
        )
        changed = scenario.model_copy(update={"seed": seed, "market": market})
        return changed.with_source(scenario.source)

    def version(self) -> str:
        """What stands for the code of the rule: nothing for ours, whose files are in the digest of every comparison.

        What a rule of another package or of a notebook depends on cannot be told, so it is never the same twice, and
        its cells are worked out again.
        """
        package = self.mechanism.clear.__module__.partition(".")[0]
        return "" if package in ("market", "optimizer") else uuid4().hex


def read_choices(texts: Sequence[str]) -> tuple[Choice, ...]:
    """Read what is to be compared and put the bookends around it; without a text, every registered mechanism.

    Raises:
        UsageError: Lists every unknown mechanism and every wrong parameter.
    """
    read = CaseReader()
    middle = list(dict.fromkeys(texts)) or [
        name for name, m in registered().items() if not m.promises.needs_grid
    ]
    middle = [text for text in middle if text not in (REFERENCE, BOUND)]
    choices = [_choice(read, text) for text in (REFERENCE, *middle, BOUND)]
    if read.problems:
        raise UsageError(*read.problems)
    return tuple(choice for choice in choices if choice is not None)


def _choice(read: CaseReader, text: str) -> Choice | None:
    name, _, rest = text.partition(":")
    where = f"-m {text}"
    try:
        found = mechanism_named(name)
    except UnknownMechanism as unknown:
        read.problems.append(Problem(where, str(unknown).rstrip(".")))
        return None
    if found.promises.needs_grid:
        read.note(where, "needs a grid, which a comparison of homes does not have")
    params: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.partition("=")
        if not equals or key in params:
            read.note(where, f"{part!r} is not parameter=value", "write NAME:k=0.3 or NAME:price_rule=bid")
        params[key] = _value(value)
    allowed = [p for p in found.parameters if p not in (SEED, RETAIL, FEED_IN) and not p.case_only]
    read_parameters(read, params, allowed, where)
    return Choice(text, found, params)


def _is_own(parameter: Parameter) -> bool:
    return has_own_field(parameter)


def _value(text: str) -> Any:
    """Numbers are read exactly; anything else is a word."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None if text == "null" else text
    return int(number) if number == number.to_integral_value() and "." not in text else number
