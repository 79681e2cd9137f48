"""Prices as lines of time|cent, times in UTC at the start of an hour."""

from decimal import Decimal

import numpy as np

from data.intake.claims import Claim
from data.intake.raw import labels, stamps
from data.prices import PRICE_FORMATS, PriceFormat
from data.prices.rows import PriceRows


def sniff(file):
    """Tell whether the first line is exactly ours."""
    sure = file.head.startswith(b"time|cent")
    return Claim(float(sure), ("the columns time and cent",) if sure else ())


def parse(file, column, log):
    """Read the whole file; a hundred cents are one of currency."""
    rows = [line.split("|") for line in file.path.read_text(encoding="utf-8").splitlines()[1:]]
    times, cents = zip(*rows, strict=True)
    line = np.arange(2, len(rows) + 2)
    return PriceRows(line, stamps(labels(list(times))), list(cents), "cent", per_kwh=Decimal(100))


PRICE_FORMATS.register(PriceFormat("cents", "time|cent, UTC", sniff, parse), contract=1)
