"""Every file of ../shared/data: what each holds by code that does not use the readers, or why it is not read."""

from __future__ import annotations

import csv
import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from data.errors import UnrecognisedFile
from data.formats import claims_on, read, recognise
from data.intake.claims import RECOGNISED
from data.intake.file import MeterFile
from data.intake.raw import Hints
from data.prices import claims_on as price_claims_on
from data.prices import load_price_series
from data.readings import MISSING, MeterData
from data.weather import claims_on as weather_claims_on
from data.weather import load_weather

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not beside the repository")

Cells = list[list[str]]


@dataclass(frozen=True)
class Holds:
    """Contents of a file.

    Args:
        start: Start of the first interval.
        minutes: Length of an interval. [min]
        intervals: From the first to the last.
        missing: Intervals without a reading, over all homes.
        import_wh, export_wh, pv_wh: Sums over all homes and intervals. [Wh]
        rounded: Columns whose values are no integers of Wh; each may differ by the rounding of its end.
    """

    start: datetime
    minutes: int
    intervals: int
    missing: int
    import_wh: Decimal
    export_wh: Decimal = Decimal()
    pv_wh: Decimal = Decimal()
    rounded: int = 0


def cells(path: Path, separator: str = ",") -> Cells:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row for row in csv.reader(file, delimiter=separator) if row]


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", ".") or "0")


def wh(rows: Cells, *columns: int) -> Decimal:
    """Sum of columns in kWh. [Wh]"""
    return 1000 * sum((number(row[c]) for row in rows for c in columns), Decimal())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def dsmr_reader(path: Path) -> Holds:
    rows = cells(path)[1:]
    first, last = at(rows[0][0]), at(rows[-1][0])
    hours = (last - first) // timedelta(hours=1) + 1
    return Holds(first, 60, hours, hours - len(rows), wh(rows, 1, 2), wh(rows, 3, 4))


def enel(path: Path) -> Holds:
    rows = cells(path, ";")[1:]
    return Holds(at("2024-09-01T00:00+02:00"), 15, 96 * len(rows), 0, wh(rows, *range(1, 97)))


def fluvius(path: Path) -> Holds:
    """Stacked registers: an interval has a volume in one of the two tariffs; a day has 96 rows of each direction."""
    rows = cells(path, ";")[1:]
    flows = {word: [row for row in rows if row[7].startswith(word)] for word in ("Offtake", "Injection")}
    without = {row[0] + row[1] for row in rows if not row[8]}
    intervals = len(flows["Offtake"])
    assert intervals == len(flows["Injection"])
    imported, exported = (wh(flow, 8) for flow in flows.values())
    return Holds(at("2023-10-22T00:00+02:00"), 15, intervals, len(without), imported, exported)


def homewizard(start: str, *registers: int) -> Callable[[Path], Holds]:
    """Counters without gaps: the last reading less the first; half of the columns are those of import."""

    def holds(path: Path) -> Holds:
        rows, half = cells(path)[1:], len(registers) // 2
        assert all(cell for row in rows for cell in row[: 1 + len(registers)])
        rise = [wh(rows[-1:], c) - wh(rows[:1], c) for c in registers]
        imported, exported = sum(rise[:half], Decimal()), sum(rise[half:], Decimal())
        return Holds(at(start), 15, len(rows) - 1, 0, imported, exported)

    return holds


def home_assistant(path: Path) -> Holds:
    """Sums of two tariffs each way, without gaps; the first row begins at 0."""
    rise = {"import": Decimal(), "export": Decimal()}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        for series, name in database.execute("SELECT id, statistic_id FROM statistics_meta").fetchall():
            query = "SELECT start_ts, sum FROM statistics WHERE metadata_id = ? ORDER BY start_ts"
            rows = database.execute(query, (series,)).fetchall()
            assert {b[0] - a[0] for a, b in pairwise(rows)} == {3600}
            flow = "import" if "import" in name else "export"
            rise[flow] += 1000 * (Decimal(str(rows[-1][1])) - Decimal(str(rows[0][1])))
    second = datetime.fromtimestamp(rows[1][0], UTC)
    rise = {flow: round(energy, 3) for flow, energy in rise.items()}  # binary fractions
    return Holds(second, 60, len(rows) - 1, 0, rise["import"], rise["export"])


def espi(path: Path) -> Holds:
    """Every reading of the feed, whose multiplier is 0 and whose unit is Wh."""
    readings = {}
    for reading in ET.parse(path).getroot().iter("{http://naesb.org/espi}IntervalReading"):
        begin = int(reading.findtext("*/{http://naesb.org/espi}start") or "")
        readings[begin] = int(reading.findtext("{http://naesb.org/espi}value") or "")
    hours = (max(readings) - min(readings)) // 3600 + 1
    start = datetime.fromtimestamp(min(readings), UTC)
    return Holds(start, 60, hours, hours - len(readings), Decimal(sum(readings.values())))


def nem12(path: Path) -> Holds:
    """Import and export of kWh channels, whose days are all there; market time is ten hours before UTC."""
    energy, days, minutes, kind = {"E": Decimal(), "B": Decimal()}, set(), 0, ""
    for row in cells(path):
        if row[0] == "200":
            kind = row[4][0] if row[7].lower() == "kwh" else ""
            minutes = int(row[8]) if kind else minutes
        elif row[0] == "300" and kind in energy:
            days.add(at(f"{row[1]}T000000+1000"))
            energy[kind] += wh([row], *range(2, 2 + 1440 // minutes))
    return Holds(min(days), minutes, len(days) * 1440 // minutes, 0, energy["E"], energy["B"])


def opsd(path: Path) -> Holds:
    """Counters: an interval counts where both ends were read; where a register was empty and then shows what it showed
    before, nothing went through. A home is missing while one of its meters is, but for a device before its first
    reading."""
    header, *rows = cells(path)
    sums, missing = {}, set()
    for c, name in enumerate(header[2:-1], start=2):
        column = [Decimal(row[c]) if row[c] else None for row in rows]
        sums[name.removeprefix("DE_KN_residential4_")] = 1000 * sum(
            (b - a for a, b in pairwise(column) if a is not None and b is not None), Decimal()
        )
        read = [t for t, value in enumerate(column) if value is not None]
        is_device = not name.endswith(("grid_import", "grid_export", "pv"))
        missing |= set() if is_device else set(range(read[0]))
        missing |= set(range(read[-1], len(rows) - 1))
        for t, later in pairwise(read):
            if later > t + 1 and column[t] != column[later]:
                missing |= set(range(t, later))
    flows = (sums["grid_import"], sums["grid_export"], sums["pv"])
    return Holds(at(rows[0][0]), 60, len(rows) - 1, len(missing), *flows)


def fontana(path: Path) -> Holds:
    """Load less production of each hour; PV is stated per kWp. One label of the night in spring does not exist, and
    that of the night in autumn stands for two hours."""
    buildings = json.loads(path.read_text())["buildings"].values()
    sums, rows_of = [Decimal()] * 3, []
    for building in buildings:
        table = cells(path.parent / building["energy_simulation"])
        rows_of.append([dict(zip(table[0], row, strict=True)) for row in table[1:]])
        kwp = Decimal(str(building["pv"]["attributes"]["nominal_power"]))
        hours = rows_of[-1]
        spring, autumn = 5357 - 2, 2332 - 2
        hours = [*hours[: autumn + 1], hours[autumn], *hours[autumn + 1 : spring], *hours[spring + 1 :]]
        for hour in hours:
            pv = Decimal(hour["solar_generation"]) * kwp
            net = 1000 * Decimal(hour["non_shiftable_load"]) - pv
            sums = [a + b for a, b in zip(sums, (max(net, Decimal()), max(-net, Decimal()), pv), strict=True)]
    start = at("2016-07-31T23:00-07:00")
    imported, exported, produced = sums
    return Holds(start, 60, len(hours), 0, imported, exported, produced, rounded=3 * len(rows_of))


NO_HINTS = Hints()
ZONE = Hints(zone="Europe/Amsterdam")
LARGE = Hints(fuse_w=60_000)


@dataclass(frozen=True)
class Meter:
    """A meter file.

    Args:
        format: What it is recognised as.
        holds: What it holds; None where it is not read.
        hints: What the user has to say; nothing, or the zone alone, is "right at the first try".
        refused: Codes of the errors, where it is not read.
        asks: Options that are asked for without the hints.
    """

    format: str
    holds: Callable[[Path], Holds] | None = None
    hints: Hints = NO_HINTS
    refused: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()


METERS = {
    "dsmr_p1/telegram_fluvius_v171.txt": Meter("dsmr_p1", refused=("single_reading",)),
    "dsmr_p1/telegram_v2_2.txt": Meter("dsmr_p1", refused=("no_time",)),
    "dsmr_p1/telegram_v4_2.txt": Meter("dsmr_p1", refused=("single_reading",)),
    "dsmr_p1/telegram_v5.txt": Meter("dsmr_p1", refused=("single_reading",)),
    "greenbutton_espi/Coastal_Multi_Family_Jan_1_2011_to_Jan_1_2012_RetailCustomer_5.xml": Meter(
        "espi", espi
    ),
    "greenbutton_espi/TestGBDataHourlyNineDaysBinnedDaily.xml": Meter("espi", espi),
    "greenbutton_espi/TestGBDataOneYearDailyBinnedMonthly.xml": Meter("espi", refused=("too_coarse",)),
    "greenbutton_espi/electric_containerized.xml": Meter("espi", espi),
    "greenbutton_espi/gas_direct.xml": Meter("espi", refused=("gas",)),
    "home_assistant/home-assistant_v2_statistics.db": Meter("home_assistant", home_assistant),
    "homes_fontana_ca/schema.json": Meter("citylearn", fontana),
    "meter_exports/dsmr_reader/dsmrreader-data-export-hour.csv": Meter("dsmr_reader", dsmr_reader),
    "meter_exports/enel_distribuzione/ExportData_settembre.csv": Meter("enel_distribuzione", enel),
    "meter_exports/enphase/9999999_custom_report.csv": Meter(
        "enphase", None, ZONE, ("no_register",), ("--zone",)
    ),
    "meter_exports/fluvius/Consumption_history_electricity_20231022_20250426_15 minute totals.csv": Meter(
        "fluvius", fluvius
    ),
    "meter_exports/greenchoice/meterstanden_stroom_2023.csv": Meter("greenchoice", refused=("too_coarse",)),
    "meter_exports/homewizard/15min_3_phase_kwh_meter-2025-3-1-2025-7-12.csv": Meter(
        "homewizard_total", homewizard("2025-06-24T20:30+02:00", 1, 2), ZONE, asks=("--zone",)
    ),
    "meter_exports/homewizard/homewizard_2022-09_15min_elec.csv": Meter(
        "homewizard", homewizard("2022-09-01T00:00+02:00", 1, 2, 3, 4), ZONE, asks=("--zone",)
    ),
    "meter_exports/solaredge/solaredge_2024_10.json": Meter("solaredge", refused=("no_register",)),
    "nem12_nem13/Example_NEM12_actual_interval.csv": Meter("nem12", nem12),
    "nem12_nem13/Example_NEM12_different_interval_length.csv": Meter("nem12", nem12),
    "nem12_nem13/Example_NEM12_month_solar.csv": Meter("nem12", nem12),
    # A shop: above the fuse of a home it is refused until its owner says so.
    "nem12_nem13/Example_NEM12_multiple_quality.csv": Meter("nem12", nem12, LARGE),
    "nem12_nem13/Example_NEM12_substituted_interval.csv": Meter("nem12", nem12),
    "nem12_nem13/Example_NEM13_consumption_data.csv": Meter("nem13", refused=("too_coarse",)),
    "nem12_nem13/Example_NEM13_forward_estimate.csv": Meter("nem13", refused=("too_coarse",)),
    "opsd_cossmic/household_data_60min_singleindex__res4_to_2016-09-30.csv": Meter("opsd_cossmic", opsd),
}
NOT_AT_FIRST_TRY = {"nem12_nem13/Example_NEM12_multiple_quality.csv"}

BESIDE = {
    **{f"homes_fontana_ca/Building_{home}.csv": "part of schema.json" for home in range(1, 11)},
    "homes_fontana_ca/carbon_intensity.csv": "no energy, price or weather",
}
"""Files beside meter files: none is one by itself."""


def smard(path: Path) -> list[Decimal]:
    return [1000 * number(row[3]) for row in cells(path, ";")[1:]]


def agile(path: Path) -> list[Decimal]:
    return [10_000 * Decimal(row[4]) for row in cells(path)]


def aemo(path: Path) -> list[Decimal]:
    return [1000 * Decimal(row[3]) for row in cells(path)[1:]]


def entsoe(path: Path) -> list[Decimal]:
    """Positions that are not there have the price before; the day has 96 quarter hours."""
    found: dict[int, Decimal] = {}
    for point in ET.parse(path).getroot().iter():
        if point.tag.endswith("}Point"):
            position, price = (child.text or "" for child in point)
            found[int(position)] = 1000 * Decimal(price)
    return [found[max(p for p in found if p <= position)] for position in range(1, 97)]


def time_of_use(path: Path) -> list[Decimal]:
    prices = [1_000_000 * Decimal(row[0]) for row in cells(path)[1:]]
    spring, autumn = 5357 - 2, 2332 - 2
    return [*prices[: autumn + 1], prices[autumn], *prices[autumn + 1 : spring], *prices[spring + 1 :]]


@dataclass(frozen=True)
class Price:
    """A price file: its layout, series, start, step and prices in millionths of a unit of money per kWh."""

    layout: str
    start: str
    minutes: int
    prices: Callable[[Path], list[Decimal]]
    column: str | None = None


PRICES = {
    "prices/aemo_price_demand_202501_NSW.csv": Price("aemo", "2025-01-01T00:00+10:00", 5, aemo),
    "prices/entsoe_A44_BE_2026-02-17_4points.xml": Price("entsoe", "2026-02-17T00:00+01:00", 15, entsoe),
    "prices/octopus_agile_A_Eastern_England_to_2019-12-31.csv": Price(
        "octopus_agile", "2018-02-19T00:00Z", 30, agile
    ),
    "prices/smard_Gro_handelspreise_2019-01_2019-06_Stunde.csv": Price(
        "smard", "2019-01-01T00:00+01:00", 60, smard, "Deutschland/Luxemburg"
    ),
    # On the clock of its buildings: a label that does not exist, and one that stands for two hours.
    "homes_fontana_ca/pricing.csv": Price("plain", "2016-07-31T23:00-07:00", 60, time_of_use),
}
WEATHER = {"weather/723170TYA.CSV": "tmy3", "homes_fontana_ca/weather.csv": "plain"}

METER = [pytest.param(name, meter, id=Path(name).stem) for name, meter in METERS.items()]


def in_folder() -> set[str]:
    """Every file that is no licence, description or network."""
    found = (path for path in SHARED.rglob("*") if path.is_file())
    return {
        path.relative_to(SHARED).as_posix()
        for path in found
        if not path.name.startswith("LICENSE") and path.name != "SOURCE.md" and "networks" not in path.parts
    }


@needs_shared
def test_every_file_of_the_folder_is_in_a_table() -> None:
    listed = [*METERS, *BESIDE, *PRICES, *WEATHER]
    assert sorted(set(listed)) == sorted(listed), "a file is in one table"
    assert in_folder() == set(listed)


@needs_shared
@pytest.mark.parametrize(("name", "meter"), METER)
def test_a_meter_file_holds_what_its_rows_add_up_to(name: str, meter: Meter) -> None:
    path = SHARED / name
    assert recognise(path).name == meter.format
    if meter.asks:
        asked = read(path, recognise(path), Hints())
        assert tuple(question.option for question in asked.questions) == meter.asks
    reading = read(path, recognise(path), meter.hints)
    errors = {finding.code for finding in reading.findings if finding.severity == "error"}
    assert errors == set(meter.refused)
    if meter.holds is None:
        assert reading.data is None
        return
    assert reading.data is not None
    assert_holds(meter.holds(path), reading.data)


def assert_holds(wanted: Holds, data: MeterData) -> None:
    found = (data.start_s, data.minutes, data.intervals, int((data.quality == MISSING).sum()))
    assert found == (int(wanted.start.timestamp()), wanted.minutes, wanted.intervals, wanted.missing)
    pv = data.sub_meters["pv"].sum() if "pv" in data.sub_meters else 0
    for energy, sum_wh in (
        (data.import_wh.sum(), wanted.import_wh),
        (data.export_wh.sum(), wanted.export_wh),
    ):
        assert abs(int(energy) - sum_wh) <= wanted.rounded
    assert abs(int(pv) - wanted.pv_wh) <= wanted.rounded
    assert wanted.import_wh + wanted.export_wh > 0


@needs_shared
def test_all_meter_files_but_one_need_no_option_but_the_zone() -> None:
    """What is refused for its reason needs no option either."""
    needs = {name for name, meter in METERS.items() if meter.hints not in (Hints(), ZONE)}
    assert needs == NOT_AT_FIRST_TRY


@needs_shared
@pytest.mark.parametrize("name", sorted(BESIDE))
def test_a_file_beside_meter_files_is_read_as_nothing(name: str) -> None:
    file = MeterFile(SHARED / name)
    for claims in (claims_on(file), price_claims_on(file), weather_claims_on(file)):
        assert not [layout for layout, claim in claims.items() if claim.confidence >= RECOGNISED]
    try:
        layout = recognise(file.path)
    except UnrecognisedFile:
        return
    assert read(file.path, layout, Hints(yes=True, zone="UTC")).data is None


@needs_shared
@pytest.mark.parametrize(("name", "price"), PRICES.items(), ids=[p.layout for p in PRICES.values()])
def test_a_price_file_gives_every_price(name: str, price: Price) -> None:
    path = SHARED / name
    sure = [layout for layout, claim in price_claims_on(MeterFile(path)).items() if claim.confidence > 0]
    assert sure == [price.layout]
    start_s, minutes, micro = load_price_series(path, price.column)
    assert (start_s, minutes) == (int(at(price.start).timestamp()), price.minutes)
    assert micro.tolist() == price.prices(path)
    assert len(micro) > 0


@needs_shared
def test_tmy3_gives_every_hour() -> None:
    pytest.importorskip("pvlib")
    path = SHARED / "weather/723170TYA.CSV"
    _, header, *rows = cells(path)
    found = load_weather(path, int(at("2023-01-01T00:00-05:00").timestamp()), 60, 8_760)
    for name, column in (
        ("temp_c", "Dry-bulb (C)"),
        ("ghi", "GHI (W/m^2)"),
        ("dni", "DNI (W/m^2)"),
        ("dhi", "DHI (W/m^2)"),
    ):
        assert found[name].tolist() == [float(row[header.index(column)]) for row in rows], name


@needs_shared
@pytest.mark.parametrize("name", [*PRICES, *WEATHER])
def test_no_price_or_weather_is_read_as_energy(name: str) -> None:
    """Whatever is proposed is taken, and the zone is said."""
    file = MeterFile(SHARED / name)
    claims = claims_on(file)
    assert not [layout for layout, claim in claims.items() if claim.confidence >= RECOGNISED]
    if any(claim.confidence > 0 for claim in claims.values()):
        assert read(file.path, recognise(file.path), Hints(yes=True, zone="UTC")).data is None
