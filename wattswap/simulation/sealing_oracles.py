"""What must hold of sealed orders in a simulated run, as a pure function of its history."""

from __future__ import annotations

from collections.abc import Iterator

from p2p.ledger.closed import BARRED_AFTER, BARRED_INTERVALS
from wattswap.simulation.history import History

Found = Iterator[tuple[str, int, str]]
"""Text, start of the interval and victim of each violation."""


def sealing(history: History) -> Found:
    """Each envelope of an honest home is opened to what it has said, none is barred, and barred homes do not order."""
    setup, barred = history.setup, dict[str, int]()
    for start_s in sorted(history.settled):
        settled = history.settled[start_s]
        if settled.content is None or settled.content.closed is None:
            continue
        wanted = history.base.ordered[setup.index_of(start_s)]
        for message in settled.content.closed.messages:
            home = message.household
            is_honest = history.node_of_home(home) not in history.byzantine
            if is_honest and settled.said_by(home) != wanted[home]:
                yield f"the envelope of {home} was not opened to what it has said", start_s, home
            since_s = barred.get(home)
            step_s = setup.minutes * 60
            if (
                since_s is not None
                and BARRED_AFTER <= (start_s - since_s) // step_s < BARRED_AFTER + BARRED_INTERVALS
            ):
                yield f"{home} has ordered, which is barred", start_s, home
        for place in settled.args.unopened:
            home = setup.roster[place]
            barred.setdefault(home, start_s)
            if history.node_of_home(home) not in history.byzantine:
                yield f"{home} is barred, which is honest", start_s, home
