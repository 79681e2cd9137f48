"""The table [market.params]: parameters of the chosen mechanism alone."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from market.mechanism import MECHANISMS
from market.parameters import Parameter
from market.rules import Value
from wattswap.inputs.collector import CaseReader
from wattswap.inputs.parameters import read_parameters
from wattswap.scenario.fields import Wrong, decimal_of, is_resolved, kind


def own_parameters(mechanism: str) -> tuple[Parameter, ...]:
    """The parameters in [market.params] of this mechanism; none for an unknown mechanism."""
    found = MECHANISMS.all().get(mechanism)
    return tuple(p for p in found.parameters if not p.is_shared and not p.case_only) if found else ()


def _checked(value: Any, info: ValidationInfo) -> Any:
    """Check the table against the chosen mechanism and return it as written, numbers as exact decimals."""
    if not isinstance(value, dict):
        raise Wrong(f"must be a table, not {kind(value)}", "write market.params = {name = value}")
    mechanism = info.data.get("mechanism")
    if mechanism not in MECHANISMS.all():  # the wrong name is a fault of its own
        return value
    parameters = {p.name: p for p in own_parameters(mechanism)}
    if is_resolved(info):
        numbers = {name for name, p in parameters.items() if p.scale is not None}
        value = {name: _decimal(v) if name in numbers else v for name, v in value.items()}
    read = CaseReader()
    read_parameters(read, value, parameters.values(), "params")
    if read.problems:
        faults = [(p.where.removeprefix("params").lstrip("."), p.message, p.cure) for p in read.problems]
        raise Wrong.all_of(faults)
    return value


Params = Annotated[dict[str, Any], BeforeValidator(_checked)]
"""[market.params] as written; its keys and ranges are those of the chosen mechanism."""


def values_of(params: dict[str, Any], mechanism: str) -> dict[str, Value]:
    """Checked parameters in the units inside, by `Parameter.field`."""
    return read_parameters(CaseReader(), params, own_parameters(mechanism))


def _decimal(value: Any) -> Any:
    return decimal_of(value) if isinstance(value, str) else value
