"""What the privacy page says of the tape: who has the scenario's seed computes from it which home each row is of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import wattswap as ws
from market.random import interval_seed
from p2p.roles.exchange.tape import TapeReader
from p2p.wire.messages import VERSION, OrderMessage, order_line
from tests.kits.run_kit import write_street
from wattswap.nodes.interval import next_round
from wattswap.runs.books import arrival_order
from wattswap.runs.prepare import prepare
from wattswap.runs.rounds import Rounds

HOMES, ROUNDS, PRICE = 6, 3, 200_000


def test_the_seed_names_the_home_of_every_row_where_all_homes_order(tmp_path: Path) -> None:
    street = write_street(tmp_path, homes=HOMES)
    setup = prepare(ws.load(street, overrides=("market.mechanism=continuous", f"market.rounds={ROUNDS}")))
    i, genesis = 10, setup.genesis
    start_s, market = setup.start_of(i), Rounds(setup, i)
    reader, everybody = TapeReader(genesis.chain_id, genesis.params.limits, HOMES), np.arange(HOMES)
    for number in range(ROUNDS):
        head = (VERSION, genesis.chain_id, start_s, setup.minutes)
        # The energy gives the home away to this test alone.
        messages = tuple(
            OrderMessage(*head, name, number, number, (order_line(1, 100 + home, PRICE),))
            for home, name in enumerate(setup.roster)
        )
        _, (page,) = next_round(setup, start_s, market, messages)
        tape = reader.read(page, start_s, number, 0)
        seed = interval_seed(setup.seed, number) if number else setup.seed
        drawn = np.argsort(arrival_order(seed, start_s, everybody)).tolist()
        assert [wh - 100 for wh in tape.energy_wh[-HOMES:]] == drawn
    assert drawn != sorted(drawn), "the order of the roster is no draw"
