"""Spoiled cases for every rule of `wattswap clear`: as objects, and as a file whose text is damaged too."""

from __future__ import annotations

import json
import random
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.fuzz.mutate import mutated
from tests.kits.clear_cases import Case, spoiled, valid_cases
from wattswap.cases.contract import clear_case, clear_file
from wattswap.errors import exit_code_of, is_expected


def spoil_cases(rng: random.Random, count: int, folder: Path) -> Counter[str]:
    """Clear spoiled cases; return how often each exit code came.

    Raises:
        AssertionError: Names the rule and the case that showed a bug.
    """
    valid, seen = valid_cases(), Counter[str]()
    for _ in range(count):
        name, right = rng.choice(valid)
        case = spoiled(rng, deepcopy(right))
        seen[f"clear {_code(name, case)}"] += 1
        if rng.random() < 0.3:
            data = json.dumps(right, default=float).encode()
            for code in _codes_of_file(name, mutated(rng, data), folder):
                seen[f"clear file {code}"] += 1
    return seen


def _code(name: str, case: Any) -> int:
    try:
        clear_case(case, name)
    except Exception as error:
        if not is_expected(error):
            raise AssertionError(f"{name}: {type(error).__name__}: {error}; {case!r:.2000}") from error
        return int(exit_code_of(error))
    return 0


def _codes_of_file(name: str, data: bytes, folder: Path) -> list[int]:
    path = folder / "cases.jsonl"
    path.write_bytes(data)
    try:
        results: list[Case] = list(clear_file(path, name))
    except Exception as error:
        if not is_expected(error):
            raise AssertionError(f"{name}: {type(error).__name__}: {error}; {data!r:.2000}") from error
        return [int(exit_code_of(error))]
    return [result.get("error", {}).get("code", 0) for result in results]
