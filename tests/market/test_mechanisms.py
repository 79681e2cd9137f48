"""Every registered mechanism, third-party ones included, is held to what it promises on 500 random books."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import Order, Side
from market.checking.check import check_mechanism
from market.checking.properties import PROPERTIES
from market.checking.random_books import named
from market.checking.trial import attempt
from market.clearing import check_feasible
from market.errors import DuplicateName, InvalidRules, UnknownName
from market.mechanism import MECHANISMS, Mechanism
from market.parameters import rules_with
from market.rules import MarketRules

ALL = [*MECHANISMS.all().values()]
RULES = [m for m in ALL if not m.promises.needs_places]

BOOKS, SAMPLE = 500, 150
"""Random books of a rule in `make slow` and in `make test`."""
every_mechanism = pytest.mark.parametrize("mechanism", RULES, ids=lambda m: m.name)


@pytest.mark.parametrize(
    ("mechanism", "books"),
    [
        *(pytest.param(m, SAMPLE, id=m.name) for m in ALL),
        *(pytest.param(m, BOOKS, id=f"{m.name}-{BOOKS}", marks=pytest.mark.slow) for m in ALL),
    ],
)
def test_every_promise_holds_on_random_books(mechanism: Mechanism, books: int) -> None:
    verdict = check_mechanism(mechanism, books)
    broken = [f"{f.name}: {f.counterexample}" for f in verdict.findings if f.promised and f.broken]
    assert not broken, f"`wattswap check mechanism {mechanism.name}` shows the books"
    assert len(verdict.refused) < 100


def test_another_process_clears_the_same_books_in_the_same_way() -> None:
    """With other hashes of strings: nothing may hang on the order of a set."""
    program = (
        "import json; from tests.market.test_mechanisms import ALL as RULES;"
        "from market.checking.check import fingerprints;"
        "print(json.dumps({m.name: fingerprints(m, 40, 0) for m in RULES}))"
    )
    found = []
    for hashes in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(json.loads(done.stdout))
    assert set(found[0]) == {m.name for m in ALL}
    assert found[0] == found[1]


@st.composite
def books(draw: st.DrawFn) -> list[Order]:
    """Small books full of ties; each participant may hold two orders of one side."""
    orders = []
    for participant in range(draw(st.integers(0, 7))):
        side = draw(st.sampled_from(list(Side)))
        for _ in range(draw(st.integers(1, 2))):
            energy, limit = draw(st.integers(0, 4)), draw(st.integers(0, 8))
            orders.append(Order("", participant, side, energy, 5 * limit, len(orders)))
    return orders


@every_mechanism
@given(orders=books())
def test_no_book_that_can_be_thought_of_breaks_a_promise(mechanism: Mechanism, orders: list[Order]) -> None:
    """Hypothesis looks for books in another way than the kit, and remembers what failed."""
    rules = MarketRules(retail_micro_per_kwh=40, feed_in_micro_per_kwh=0)
    for parameter in mechanism.parameters:
        if parameter.kind == "energy":
            rules = rules_with(rules, {parameter.field: 1})
    try:
        trial = attempt(mechanism, named(orders), rules)
    except InvalidRules:
        return
    if mechanism.promises.individually_rational:
        check_feasible(trial.book, trial.clearing)
    for one in PROPERTIES:
        if one.promised(mechanism.promises):
            assert one.fault(trial) is None


def test_the_mechanisms_of_both_folders_are_registered() -> None:
    assert {"retailer_only", "uniform_price"} <= set(MECHANISMS.all())


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'uniform_price'"):
        MECHANISMS.get("uniform_prize")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(DuplicateName, match="retailer_only"):
        MECHANISMS.register(MECHANISMS.get("retailer_only"))
