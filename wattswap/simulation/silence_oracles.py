"""What must hold of intervals that were settled without a reading, as pure functions of a simulated run's history."""

from __future__ import annotations

import numpy as np

from p2p.batches.batch import batches
from p2p.batches.blob import open_blob
from p2p.batches.later import check_later
from p2p.errors import RemoteError
from p2p.ledger.execution import replay
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.interval import registers
from wattswap.runs.interval import settled_interval
from wattswap.simulation.history import History
from wattswap.simulation.meter_oracles import Found


def versions(history: History) -> Found:
    """Each later version adds readings to the one before and follows from them, and the sums are of the newest."""
    checker = BatchChecker(history.setup, history.rotated)
    first = {args.interval_start: args for block, _ in history.chain for _, args in batches(block.txs)}
    totals = {start_s: args.rows for start_s, args in first.items()}
    for start_s, found in history.later.items():
        blob, number = history.blob_of(first[start_s]), 1
        for later in found:
            if later.version != number + 1:
                yield f"version {later.version} follows {number}", start_s, ""
            if blob is None or later.blob is None:
                yield "nobody has ever held the blob of a version", start_s, ""
                break
            try:
                check_later(later.blob, blob)
                checker.settled_again(later.args, later.blob, blob)
            except RemoteError as error:
                yield f"its version {later.version} is wrong: {error}", start_s, ""
            blob, number, totals[start_s] = later.blob, later.version, later.args.rows
    if history.chain and totals:
        wanted = [
            [sum(column) for column in zip(*rows, strict=True)] for rows in zip(*totals.values(), strict=True)
        ]
        if [list(row) for row in replay(history.chain, history.setup.genesis).state.totals] != wanted:
            yield "the sums of the chain are not those of the newest versions", -1, ""


def silence(history: History) -> Found:
    """No home is credited more for an interval that shows no reading of it than it would be with what it metered."""
    setup = history.setup
    for start_s, settled in history.settled.items():
        newest = history.later[start_s][-1].args if start_s in history.later else settled.args
        blob = history.blob_of(newest)
        if blob is None:
            continue
        try:
            content = open_blob(blob, setup.genesis, setup.member_list, history.rotated)
            record = BatchChecker(setup, history.rotated).recompute(blob).record
        except RemoteError:
            continue  # `money` and `versions` see it
        i = setup.index_of(start_s)
        book, clearing = record.book, record.clearing
        found = registers(setup, i, book, clearing, content.readings)
        credited = record.settled.postings.total_nano
        for home in np.flatnonzero(found.deemed).tolist():
            true, silent = history.base.metered[i], found.deemed.copy()
            imported, exported, silent[home] = found.import_wh.copy(), found.export_wh.copy(), False
            imported[home], exported[home] = true.import_wh[home], true.export_wh[home]
            honest = settled_interval(setup, i, book, clearing, imported, exported, {}, deemed=silent)
            if credited[home] > honest.settled.postings.total_nano[home]:
                yield "it pays less without its reading than with it", start_s, setup.roster[home]
