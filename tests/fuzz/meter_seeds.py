"""Right files of every reader of meter, price and weather data and of recipes, as bytes to make wrong ones of."""

from __future__ import annotations

import io
import sqlite3
import tempfile
import zipfile
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.kits.fixture_kit import fixtures
from tests.kits.workbook_kit import Cell, write_xlsx

BEGIN = datetime(2026, 6, 1)
VENDORS = Path(__file__).parents[2] / "data" / "recipes" / "vendors"


@dataclass(frozen=True, slots=True)
class Seed:
    """A right file.

    Args:
        name: Of the file.
        kind: "meter", "price", "weather" or "recipe".
        content: Its bytes.
        zone: What has to be said of it, or None.
    """

    name: str
    kind: str
    content: bytes
    zone: str | None = None


def seeds() -> list[Seed]:
    """All of them, always in the same order."""
    meters = [
        Seed(one.path.name, "meter", one.path.read_bytes(), one.hints.zone)
        for one in fixtures()
        if one.path.is_file() and one.path.stat().st_size < 200_000
    ]
    recipes = [Seed(path.name, "recipe", path.read_bytes()) for path in sorted(VENDORS.glob("*.toml"))]
    with tempfile.TemporaryDirectory() as folder:
        made = _made(Path(folder))
    return [*meters, *made, *_texts("price", PRICES), *_texts("weather", WEATHER), *recipes]


def _made(folder: Path) -> list[Seed]:
    rows: list[list[Cell]] = [["Timestamp", "Import kWh", "Export kWh"]]
    rows += [[BEGIN + timedelta(minutes=15 * i), 0.1 * (i % 7), 0.0] for i in range(96)]
    write_xlsx(folder / "book.xlsx", {"Readings": rows})
    _parquet(folder / "meter.parquet")
    _home_assistant(folder / "home-assistant_v2.db")
    (folder / "book.ods").write_bytes(ods(rows))
    return [Seed(path.name, "meter", path.read_bytes(), "UTC") for path in sorted(folder.iterdir())]


def _parquet(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    count = 96
    stamps = [f"{BEGIN + timedelta(minutes=15 * i):%Y-%m-%dT%H:%M:%SZ}" for i in range(count)]
    columns = {"timestamp": stamps, "household": ["a"] * count, "import_kwh": [0.1] * count}
    parquet.write_table(pa.table({**columns, "export_kwh": [0.0] * count}), path)


def _home_assistant(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE statistics_meta (id INTEGER PRIMARY KEY, statistic_id TEXT, source TEXT,"
            " unit_of_measurement TEXT, has_mean BOOLEAN, has_sum BOOLEAN, name TEXT, mean_type INTEGER);"
            "CREATE TABLE statistics (id INTEGER PRIMARY KEY, created DATETIME, metadata_id INTEGER, mean FLOAT,"
            " state FLOAT, sum FLOAT, start DATETIME, start_ts FLOAT);"
            "INSERT INTO statistics_meta VALUES (1, 'sensor.p1_meter_energy_import', 'recorder', 'kWh', 0, 1, NULL, 0)"
        )
        rows = [(hour, 0.25 * hour, 1_767_258_000.0 + 3_600 * hour) for hour in range(48)]
        database.executemany(
            "INSERT INTO statistics (metadata_id, state, sum, start_ts) VALUES (1, ?, ?, ?)", rows
        )
        database.commit()


def ods(rows: list[list[Cell]]) -> bytes:
    """An OpenDocument sheet of texts and numbers."""
    cells = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="float" office:value="{cell}"/>'
            if isinstance(cell, float)
            else f'<table:table-cell office:value-type="string"><text:p>{cell}</text:p></table:table-cell>'
            for cell in row
        )
        + "</table:table-row>"
        for row in rows
    )
    of = "urn:oasis:names:tc:opendocument:xmlns:"
    spaces = f'xmlns:office="{of}office:1.0" xmlns:table="{of}table:1.0" xmlns:text="{of}text:1.0"'
    content = (
        f"<office:document-content {spaces}><office:body><office:spreadsheet>"
        f'<table:table table:name="Readings">{cells}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"),
            ("content.xml", content),
        ):
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


def _texts(kind: str, texts: dict[str, str]) -> list[Seed]:
    return [Seed(name, kind, text.encode("utf-8")) for name, text in texts.items()]


_HOURS = [BEGIN + timedelta(hours=hour) for hour in range(48)]
_TYPICAL = [datetime(2001, 1, 1) + timedelta(hours=hour) for hour in range(8_760)]

PRICES = {
    "aemo.csv": "REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE\n"
    + "".join(f"NSW1,{at + timedelta(hours=1):%Y/%m/%d %H:%M:%S},7251.07,138.03,TRADE\n" for at in _HOURS),
    "agile.csv": "".join(f"{at:%Y-%m-%dT%H:%M:%SZ},{at:%H:%M},A,Eastern_England,9.2715\n" for at in _HOURS),
    "nord_pool.csv": "Delivery Start (CET);Delivery End (CET);SE3 Price (EUR)\n"
    + "".join(f"{at:%d.%m.%Y %H:%M:%S};{at + timedelta(hours=1):%d.%m.%Y %H:%M:%S};29.56\n" for at in _HOURS),
    "plain_prices.csv": "timestamp,price_per_kwh\n"
    + "".join(f"{at:%Y-%m-%dT%H:%MZ},0.2831\n" for at in _HOURS),
    "smard.csv": "Datum;Anfang;Ende;Deutschland/Luxemburg [€/MWh] Originalauflösungen\n"
    + "".join(f"{at:%d.%m.%Y;%H:%M};{at + timedelta(hours=1):%H:%M};28,32\n" for at in _HOURS),
    "entsoe.xml": '<Publication_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3">\n'
    "<type>A44</type><TimeSeries><currency_Unit.name>EUR</currency_Unit.name><price_Measure_Unit.name>MWH"
    "</price_Measure_Unit.name><curveType>A03</curveType><Period><timeInterval><start>2026-06-01T00:00Z</start>"
    "<end>2026-06-01T04:00Z</end></timeInterval><resolution>PT60M</resolution><Point><position>1</position>"
    "<price.amount>50</price.amount></Point><Point><position>3</position><price.amount>60</price.amount></Point>"
    "</Period></TimeSeries></Publication_MarketDocument>",
}
WEATHER = {
    "plain_weather.csv": "time,temp_c,ghi,dni,dhi\n"
    + "".join(f"{at:%Y-%m-%dT%H:%MZ},14.2,0,0,0\n" for at in _HOURS),
    "epw.epw": "LOCATION,Nowhere,-,DEU,Source,1,52.0,13.0,1.0,49.0\nDESIGN CONDITIONS,0\n"
    "TYPICAL/EXTREME PERIODS,0\nGROUND TEMPERATURES,0\nHOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0\nCOMMENTS 1,-\n"
    "COMMENTS 2,-\nDATA PERIODS,1,1,Data,Sunday, 1/ 1,12/31\n"
    + "".join(
        f"2001,{at.month},{at.day},{at.hour + 1},60,?9?9,12.5,3,50,101000,0,0,300,0,100,60,50"
        + ",0" * 18
        + "\n"
        for at in _TYPICAL
    ),
    "tmy3.csv": '723170,"GREENSBORO",NC,-5.0,36.100,-79.950,273\nDate (MM/DD/YYYY),Time (HH:MM),ETR (W/m^2),'
    "GHI (W/m^2),DNI (W/m^2),DHI (W/m^2),Dry-bulb (C)\n"
    + "".join(f"{at:%m/%d/%Y},{at.hour + 1:02}:00,0,0,0,0,12.5\n" for at in _TYPICAL),
    "pvgis.csv": "Latitude (decimal degrees): 45.000\nLongitude (decimal degrees): 8.000\nElevation (m): 250\n"
    "time(UTC),T2m,RH,G(h),Gb(n),Gd(h),IR(h),WS10m,WD10m,SP\n"
    + "".join(f"{at:%Y%m%d:%H%M},1.5,80,0.0,0.0,0.0,250,1.2,200,98000\n" for at in _TYPICAL),
}
