"""False alarms of the checks of meter files on the bundled homes, whose readings are sound.

`python -m benchmarks.meter_checks [FOLDER ..]` also looks at meter files or folders that are named. Each count is of
findings, which are 0 where a check raises no false alarm.
"""

from __future__ import annotations

import sys
from zoneinfo import ZoneInfo

from data import formats, samples
from data.intake.counters import look_like_counters
from data.intake.raw import IntakeLog
from data.intake.sun import check_sun
from data.readings import MeterData

DAYS = (1, 2, 3, 7, 366)


def counters(data: MeterData) -> dict[int, tuple[int, int]]:
    """Columns taken for a counter, and columns looked at, by the length of the stretch. [days]"""
    per_day = 24 * 60 // data.minutes
    columns = [data.import_wh, data.export_wh, *data.sub_meters.values()]
    found = {}
    for days in DAYS:
        parts = [c[i : i + days * per_day] for c in columns for i in range(0, len(c), days * per_day)]
        found[days] = sum(int(look_like_counters(p).sum()) for p in parts), sum(p.shape[1] for p in parts)
    return found


def sun(data: MeterData, zone: str) -> dict[str, int]:
    """Findings of the checks by the sun, by code."""
    log = IntakeLog()
    check_sun(data, ZoneInfo(zone), log)
    codes = [finding.code for finding in log.findings()]
    return {code: codes.count(code) for code in ("clock_jump", "clock_shift")}


def main() -> None:
    """Print the counts."""
    sets = [(name, samples.load(name), "Europe/Berlin") for name in ("street", "village")]
    for path in sys.argv[1:]:
        data = formats.load(path)
        sets.append((path, data, data.source.answers.get("zone", "UTC")))
    for name, data, zone in sets:
        print(f"{name}: {len(data.households)} homes, {data.intervals} intervals")
        for days, (alarms, looked) in counters(data).items():
            print(f"  counters, stretches of {days} days: {alarms} of {looked}")
        for code, count in sun(data, zone).items():
            print(f"  {code}: {count}")


if __name__ == "__main__":
    main()
