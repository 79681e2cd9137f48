"""A small policy that was learnt: layers of whole numbers from what a home sees to its limits, stored as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from agents.bidding import Orders, Strategy, View
from agents.errors import InvalidPolicy
from agents.observation import OBSERVED, SCALE, observe, orders, remember, start
from agents.state import State
from market.orders import MAX_ORDERS
from market.units import FloatArray, IntArray

FORMAT: Final = "wattswap policy 1"
_MOST: Final = 100
"""Largest weight and bias: with what is observed and this many inputs no product passes 2^63."""

Layer = tuple[IntArray, IntArray]
"""Weights, shape (outputs, inputs), and biases, in millionths."""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """Layers that follow each other; what a layer gives is cut to -1 to 1.

    The first takes the observations of `agents.observation`, the last gives the limits.
    """

    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, layers: Sequence[tuple[Any, Any]]) -> Policy:
        """The policy with these weights and biases, rounded to millionths.

        Raises:
            InvalidPolicy: They are no such layers.
        """
        made, inputs = [], len(OBSERVED)
        for number, (weights, bias) in enumerate(layers, 1):
            matrix, shift = _numbers(weights), _numbers(bias)
            if matrix is None or shift is None or matrix.ndim != 2 or shift.shape != matrix.shape[:1]:
                raise InvalidPolicy(
                    f"layer {number} is no matrix of numbers from -{_MOST} to {_MOST} with a bias for each row"
                )
            outputs, found = matrix.shape
            if found != inputs or not 0 < outputs <= _MOST:
                raise InvalidPolicy(
                    f"layer {number} has {outputs} rows of {found} weights; it needs 1 to {_MOST} rows of {inputs}"
                )
            made.append((np.rint(matrix * SCALE).astype(np.int64), np.rint(shift * SCALE).astype(np.int64)))
            inputs = outputs
        if not made or inputs > MAX_ORDERS:
            raise InvalidPolicy(
                f"it has {len(made)} layers and {inputs} limits; it needs a layer, and at most {MAX_ORDERS} limits"
            )
        return cls(tuple(made))

    @property
    def limits(self) -> int:
        """Limits that it decides on."""
        return len(self.layers[-1][1])

    def decide(self, seen: IntArray) -> IntArray:
        """The limits of homes, shape (homes, limits), from their observations; both in millionths."""
        for weights, bias in self.layers:
            seen = np.clip(seen @ weights.T // SCALE + bias, -SCALE, SCALE)
        return seen

    def act(self, observation: FloatArray) -> FloatArray:
        """The action of an environment from its observation, or a row of actions each from several."""
        decided: FloatArray = self.decide(np.rint(observation * SCALE).astype(np.int64)) / SCALE
        return decided


def _numbers(values: Any) -> FloatArray | None:
    """Values as an array, where all are numbers that a policy may have."""
    try:
        found = np.array(values)
    except (TypeError, ValueError):
        return None
    fits = found.dtype.kind in "if" and bool((np.abs(found) <= _MOST).all())
    return found.astype(np.float64) if fits else None


def write_policy(policy: Policy, path: Path | str) -> None:
    """Write a policy to a file."""
    layers = [
        {"weights": (weights / SCALE).tolist(), "bias": (bias / SCALE).tolist()}
        for weights, bias in policy.layers
    ]
    content = {"format": FORMAT, "observed": list(OBSERVED), "layers": layers}
    Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_policy(path: Path | str) -> Policy:
    """Read a policy from a file.

    Raises:
        InvalidPolicy: It is not of the format that `write_policy` writes; says what it has instead.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidPolicy(f"{path} is no policy: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise InvalidPolicy(f"{path} is no policy: its format is {found!r} and not {FORMAT!r}")
    if content.get("observed") != list(OBSERVED):
        raise InvalidPolicy(
            f"{path} was learnt from other observations than {', '.join(OBSERVED)}; learn again"
        )
    try:
        return Policy.of([(layer["weights"], layer["bias"]) for layer in content["layers"]])
    except (KeyError, TypeError):
        raise InvalidPolicy(f"{path} is no policy: it needs layers, each with weights and bias") from None
    except InvalidPolicy as error:
        raise InvalidPolicy(f"{path} is no policy: {error}") from None


def strategy_of(name: str, policy: Policy, summary: str = "bids as it has learnt") -> Strategy:
    """The bidding strategy of a policy, to be registered."""

    def bid(state: State, view: View) -> Orders:
        return orders(view, policy.decide(observe(state, view)))

    return Strategy(name, bid, summary, start=start, several_orders=policy.limits > 1, learn_own=remember)
