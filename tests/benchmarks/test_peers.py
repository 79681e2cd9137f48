"""What the comparison with pymarket says about results, on results written by hand."""

from __future__ import annotations

import copy
import subprocess
from typing import Any

import numpy as np
import pytest

from benchmarks.peers import environment
from benchmarks.peers.__main__ import main
from benchmarks.peers.compare import (
    BOTH_HALVES,
    EQUAL,
    OTHER_PRICE,
    OUTSIDE,
    UNEXPLAINED,
    compare,
    pays_too_much_out,
)
from benchmarks.peers.ours import Row, made_up


def order(participant: int, side: str, price: float) -> Row:
    return {"participant": participant, "side": side, "quantity_kwh": 1.0, "price_per_kwh": price}


# Left: 0.4 for 0.1. Right: 0.36 for 0.14, and 0.2 for 0.3, which is refused. Each half trades at the other's price.
ROWS = [
    order(0, "buy", 0.4),
    order(1, "sell", 0.1),
    order(2, "buy", 0.36),
    order(3, "sell", 0.14),
    order(4, "buy", 0.2),
    order(5, "sell", 0.3),
]


def cleared(left_price: float, right_price: float) -> dict[str, Any]:
    """What pymarket states where the halves have these prices."""
    return {
        "accepted_kwh": [1.0, 1.0, 1.0, 1.0, 0.0, 0.0],
        "price_per_kwh": [right_price, right_price, left_price, left_price, None, None],
        "profits": {"player_bid": [0.15, 0.15, 0.11, 0.11, 0.0, 0.0], "market": 0.0},
        "extra": {
            "left": [0.0, 1.0],
            "right": [2.0, 3.0, 4.0, 5.0],
            "price_left": left_price,
            "price_right": right_price,
            "fees": [0.0] * 6,
        },
    }


def test_the_same_energies_prices_and_fees_are_equal() -> None:
    # The interval of the right half is 0.2 to 0.3, that of the left 0.1 to 0.4: both have the middle 0.25.
    assert compare(ROWS, "muda", cleared(0.25, 0.25)) == EQUAL


def test_a_price_outside_the_interval_of_its_half_is_said() -> None:
    assert compare(ROWS, "muda", cleared(0.25, 0.19)) == OUTSIDE
    assert compare(ROWS, "muda", cleared(0.05, 0.25)) == OUTSIDE


def test_the_middle_of_the_marginal_pair_is_told_from_any_other_price() -> None:
    rows = [*ROWS[:3], order(3, "sell", 0.18), *ROWS[4:]]  # the pair's middle is 0.27
    assert compare(rows, "muda", cleared(0.25, 0.27)) == OTHER_PRICE
    assert compare(rows, "muda", cleared(0.25, 0.26)) == UNEXPLAINED


@pytest.mark.parametrize("field", ["accepted_kwh", "fees", "price_per_kwh"])
def test_a_difference_in_any_field_is_not_equal(field: str) -> None:
    theirs = copy.deepcopy(cleared(0.25, 0.25))
    place = theirs["extra"] if field == "fees" else theirs
    place[field][0] += 0.01
    assert compare(ROWS, "muda", theirs) == UNEXPLAINED


def test_a_participant_in_both_halves_is_said_first() -> None:
    rows = [*ROWS[:5], order(0, "sell", 0.3)]
    assert compare(rows, "muda", cleared(0.25, 0.25)) == BOTH_HALVES


def test_profits_that_pass_the_gain_from_trade_are_found() -> None:
    right = cleared(0.25, 0.25)
    assert not pays_too_much_out(ROWS, right)
    right["profits"]["market"] = 0.05
    assert pays_too_much_out(ROWS, right)


def test_made_up_books_have_distinct_limits_and_participants_without_gaps() -> None:
    rows = made_up(np.random.default_rng(0), 50, participants=7)
    assert len({row["price_per_kwh"] for row in rows}) == 50
    assert {row["participant"] for row in rows} == set(range(7))


def test_without_the_peer_the_benchmark_says_so_and_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    def refuse(command: list[str], **options: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="warning\nno matching distribution found")

    monkeypatch.setattr(environment.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(environment.subprocess, "run", refuse)
    main([])
    said = capsys.readouterr().out
    assert said == (
        "pymarket cannot be installed here, so nothing is compared: no matching distribution found\n"
    )
