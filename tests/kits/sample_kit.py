"""Samples: of what there are many, `make test` tries some and `make slow` all.

`make slow` sets EXAMPLES=all. Then properties and tests that are `sampled` are slow, too, so that it runs them whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable
from typing import Any, TypeVar

import pytest

WHOLE = os.environ.get("EXAMPLES") == "all"
"""Whether every example is tried."""

Test = TypeVar("Test", bound=Callable[..., Any])


def some(many: int, sample: int) -> int:
    """How many are tried: `sample` in `make test`, `many` in `make slow`."""
    return many if WHOLE else sample


def sampled(test: Test) -> Test:
    """Let `make slow` run a test too, which asks `some` how much it tries."""
    return pytest.mark.slow(test) if WHOLE else test


def sample_of(values: Iterable[Any], sample: Container[Any]) -> list[Any]:
    """Parameters of a test: those of the sample are in `make test`, the others in `make slow`."""
    return [
        value if value in sample else pytest.param(*_arguments(value), marks=pytest.mark.slow)
        for value in values
    ]


def _arguments(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
