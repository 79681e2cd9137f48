"""What must hold of the readings with which a simulated run is settled, as pure functions of its history."""

from __future__ import annotations

from collections.abc import Iterator

from wattswap.runs.interval import IntervalRecord
from wattswap.simulation.history import History, Settled

Found = Iterator[tuple[str, int, str]]
"""Text, start of the interval and victim of each violation."""


def meters(history: History) -> Found:
    """Each settled reading is what the meter counted, and each order what its home has to trade."""
    setup = history.setup
    for start_s, settled in history.settled.items():
        true = history.base.metered[setup.index_of(start_s)]
        for reading in settled.content.readings if settled.content is not None else ():
            home = setup.roster.index(reading.household)
            counted = int(true.import_wh[home]), int(true.export_wh[home])
            if (reading.import_wh, reading.export_wh) != counted:
                text = f"{reading.household} is settled with {reading.import_wh} and {reading.export_wh} Wh"
                yield (
                    f"{text}; its meter counted {counted[0]} and {counted[1]} Wh",
                    start_s,
                    reading.household,
                )
        wanted = history.base.ordered[setup.index_of(start_s)]
        for name in setup.roster:
            order = settled.said_by(name)
            if order is not None and order != wanted[name]:
                yield f"{name} is settled with other orders than its own", start_s, name


def as_reported(history: History, settled: Settled, record: IntervalRecord) -> Found:
    """Each home that has reported is settled by the registers that it reported.

    Args:
        record: The interval, recomputed.
    """
    for reading in settled.content.readings if settled.content is not None else ():
        home = history.setup.roster.index(reading.household)
        if (record.import_wh[home], record.export_wh[home]) != (reading.import_wh, reading.export_wh):
            text = f"{reading.household} is settled with other registers than it reported"
            yield text, settled.args.interval_start, reading.household


def capacity(history: History) -> Found:
    """No settled reading is above what the connection of its home carries."""
    members = history.setup.member_list
    for start_s, settled in history.settled.items():
        for reading in settled.content.readings if settled.content is not None else ():
            home = members.records[members.ids.index(reading.household)]
            carried = (home.import_capacity_w * reading.minutes, home.export_capacity_w * reading.minutes)
            for energy_wh, most_w_min in zip((reading.import_wh, reading.export_wh), carried, strict=True):
                # Up to a Wh more, to which devices round up.
                if (energy_wh - 1) * 60 >= most_w_min:
                    text = f"{reading.household} is settled with {energy_wh} Wh, above its connection"
                    yield text, start_s, reading.household
