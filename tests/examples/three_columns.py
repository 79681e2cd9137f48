"""Readings as meter;time;Wh, times in UTC at the start of an hour."""

import csv
import io

import numpy as np

from data.formats import FORMATS, Format
from data.intake.claims import NO_CLAIM, Claim
from data.intake.raw import Channel, RawReadings, labels, numbers, stamps

HEADER = "meter;time;Wh"


def sniff(file):
    """Tell whether the first line is exactly ours."""
    return Claim(1.0) if file.head.startswith(HEADER.encode()) else NO_CLAIM


def parse(file, hints, log):
    """Read the whole file as one chunk."""
    with io.TextIOWrapper(file.open(file.name), encoding="utf-8", newline="") as text:
        rows = list(csv.reader(text, delimiter=";"))[1:]
    meter, time, energy = zip(*rows, strict=True)
    yield RawReadings(
        line=np.arange(2, 2 + len(rows)),
        meter=labels(meter),
        stamp=stamps(labels(time)),
        values={
            Channel("import", "Wh", "interval", "Wh"): numbers(energy),
            Channel("export", "Wh", "interval", "Wh"): numbers(["0"] * len(rows)),
        },
    )


FORMATS.register(Format("three_columns", "meter;time;Wh", "Wh", sniff, parse, zone="UTC"), contract=3)
