"""Random programs over all modules: every refusal has a code and changes nothing, and a replay agrees."""

from __future__ import annotations

from collections import Counter

from tests.fuzz.programs import Program


def test_random_programs_keep_the_rules_of_the_chain() -> None:
    seen = Counter[str]()
    for seed in range(16):
        program = Program(seed)
        program.run(25)
        seen.update(program.seen)
    assert seen[""] > 100
    assert len(seen) > 20, f"too few rules were met: {seen}"
