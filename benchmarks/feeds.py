"""Green Button feeds of any size, for benchmarks."""

from __future__ import annotations

from collections.abc import Iterator

FEED_BEGIN_S = 1_293_868_800
FEED_DAYS = 3_650


def feed(days: int = FEED_DAYS, homes: int = 1) -> Iterator[str]:
    """A Green Button feed of homes by the hour, indented as utilities do, a day in each block."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">\n'
    points = [f"/User/1/UsagePoint/{home}" for home in range(1, homes + 1)]
    for own in points:
        yield (
            f'<entry><link rel="self" href="{own}"/><link rel="related" href="{own}/MeterReading"/><content>'
            '<UsagePoint xmlns="http://naesb.org/espi"><ServiceCategory><kind>0</kind></ServiceCategory></UsagePoint>'
            f'</content></entry>\n<entry><link rel="self" href="{own}/MeterReading/1"/>'
            '<link rel="related" href="/ReadingType/1"/>'
            '<content><MeterReading xmlns="http://naesb.org/espi"/></content></entry>\n'
        )
    yield (
        '<entry><link rel="self" href="/ReadingType/1"/><content><ReadingType xmlns="http://naesb.org/espi">'
        "<accumulationBehaviour>4</accumulationBehaviour><flowDirection>1</flowDirection>"
        "<intervalLength>3600</intervalLength><powerOfTenMultiplier>0</powerOfTenMultiplier><uom>72</uom>"
        "</ReadingType></content></entry>\n"
    )
    for own in points:
        for day in range(days):
            yield _block(own, day)
    yield "</feed>\n"


def _block(own: str, day: int) -> str:
    readings = "".join(
        "        <IntervalReading>\n          <timePeriod>\n            <duration>3600</duration>\n"
        f"            <start>{FEED_BEGIN_S + (day * 24 + hour) * 3600}</start>\n          </timePeriod>\n"
        f"          <value>{(day * 7 + hour * 31) % 2_000}</value>\n        </IntervalReading>\n"
        for hour in range(24)
    )
    return (
        f'  <entry>\n    <link rel="self" href="{own}/MeterReading/1/IntervalBlock/{day}"/>\n'
        f'    <link rel="up" href="{own}/MeterReading/1/IntervalBlock"/>\n    <content>\n'
        '      <IntervalBlock xmlns="http://naesb.org/espi">\n'
        "        <interval>\n          <duration>86400</duration>\n"
        f"          <start>{FEED_BEGIN_S + day * 86_400}</start>\n        </interval>\n{readings}"
        "      </IntervalBlock>\n    </content>\n    <updated>2026-01-05T00:00:00Z</updated>\n  </entry>\n"
    )
