"""Random tables, with both nights on which clocks change: the readers and second ones of tests/kits agree."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest

from data.formats import read, recognise
from data.intake.raw import Hints
from data.readings import ESTIMATED, MEASURED, MISSING
from tests.kits import second_readers as second
from tests.kits.sample_kit import sampled, some
from tests.kits.second_readers import Found
from tests.kits.workbook_kit import write_xlsx

QUALITY = {"m": MEASURED, "e": ESTIMATED, "x": MISSING}
NIGHTS = {
    "Europe": (datetime(2023, 10, 28, 21), datetime(2024, 3, 30, 21), datetime(2024, 6, 14, 21)),
    "America/New_York": (datetime(2023, 11, 5, 3), datetime(2024, 3, 10, 4), datetime(2024, 6, 15, 4)),
}
"""Hours of UTC from which a file is written: over the night in autumn, in spring, and over none."""


@dataclass(frozen=True)
class Interval:
    """A random interval: its times, and what a meter shows; `lost` where there is no row or no value."""

    start: datetime
    local: datetime
    until: datetime
    imported: int
    exported: int
    estimated: bool
    lost: bool

    def kwh(self, exported: bool = False, comma: bool = False) -> str:
        text = f"{(self.exported if exported else self.imported) / 1000:.3f}"
        return text.replace(".", ",") if comma else text


def intervals(
    rng: random.Random, begin: datetime, minutes: int, zone: str, step_wh: int = 1
) -> list[Interval]:
    """Eight to twelve hours; nothing is lost in the hours around a change, whose order tells the passes apart."""
    found, count = [], rng.randint(8 * 60 // minutes, 12 * 60 // minutes)
    for i in range(count):
        start = (begin + timedelta(minutes=minutes * i)).replace(tzinfo=UTC)
        local, until = (at.astimezone(ZoneInfo(zone)) for at in (start, start + timedelta(minutes=minutes)))
        inner = 0 < i < count - 1 and not 2 <= (i * minutes) // 60 <= 6
        given = rng.choice((0, 0, rng.randrange(2000)))
        taken = 0 if given else rng.randrange(0, 2000, step_wh)
        found.append(
            Interval(start, local, until, taken, given, rng.random() < 0.2, inner and rng.random() < 0.15)
        )
    return found


Writer = Callable[[random.Random, datetime], str | bytes]


def fluvius(rng: random.Random, begin: datetime) -> str:
    head = "From (date);From (time);Until (date);Until (time);EAN code;Meter;Meter type;Register;Volume;Unit;"
    order = sorted(
        intervals(rng, begin, 15, "Europe/Brussels"), key=lambda one: one.local.replace(tzinfo=None)
    )
    lines = [f"\ufeff{head}Validation status;Description"]
    for one in order:
        state = "No consumption" if one.lost else "Estimated" if one.estimated else "Read"
        tariff = "Day" if 7 <= one.local.hour < 22 else "Night"
        for register, volume in (("Offtake", one.kwh(comma=True)), ("Injection", one.kwh(True, comma=True))):
            times = f"{one.local:%d/%m/%Y;%H:%M:%S};{one.until:%d/%m/%Y;%H:%M:%S}"
            shown = "" if one.lost else volume
            lines.append(f'{times};="54144";1SAG;Digital meter;{register} {tariff};{shown};kWh;{state};')
    return "\r\n".join([*lines, ""])


def fluvius_open_data(rng: random.Random, begin: datetime) -> str:
    lines = [
        "EAN_ID,Datum,Datum_Startuur,Volume_Afname_KWh,Volume_Injectie_KWh,Warmtepomp_Indicator,"
        "Elektrisch_Voertuig_Indicator,PV_Installatie_Indicator,Contract_Categorie"
    ]
    for home in range(1, rng.randint(2, 4)):
        order = sorted(
            intervals(rng, begin, 15, "Europe/Brussels"), key=lambda one: one.local.replace(tzinfo=None)
        )
        lines += [
            f"{home},{one.local:%Y-%m-%d},{one.local:%Y-%m-%dT%H:%M:%S}.000Z,{one.kwh()},{one.kwh(True)},0,0,1,R"
            for one in order
            if not one.lost
        ]
    return "\n".join([*lines, ""])


def octopus_2020(rng: random.Random, begin: datetime) -> str:
    """Rows in disorder, some lost."""
    rows = [
        f"{one.kwh()}, {one.local.isoformat()}, {one.until.isoformat()}"
        for one in intervals(rng, begin, 30, "Europe/London")
        if not one.lost
    ]
    rng.shuffle(rows)
    return "\n".join([" Consumption (kwh), Start, End", *rows, ""])


def octopus_2024(rng: random.Random, begin: datetime) -> str:
    """Half hours of zero are left out."""
    rows = [
        f"{one.kwh()}000,1.0,1.12,{one.local.isoformat()},{one.until.isoformat()}"
        for one in intervals(rng, begin, 30, "Europe/London")
        if one.imported
    ]
    head = "Consumption (kwh), Estimated Cost Inc. Tax (p), Standing Charge Inc. Tax (p), Start, End"
    return "\n".join([head, *rows, ""])


def low_carbon_london(rng: random.Random, begin: datetime) -> str:
    """Missing values, some rows twice."""
    lines = ["LCLid,stdorToU,DateTime,KWH/hh (per half hour) "]
    for home in ("MAC000002", "MAC000003"):
        for one in intervals(rng, begin, 30, "UTC"):
            value = "Null" if one.lost else f" {one.kwh()} "
            row = f"{home},Std,{one.until:%Y-%m-%d %H:%M:%S}.0000000,{value}"
            lines += [row] * rng.choice((1, 1, 1, 2))
    return "\r\n".join([*lines, ""])


def ausgrid(rng: random.Random, _begin: datetime) -> str:
    columns = [f"{(i + 1) // 2 % 24}:{(i + 1) % 2 * 3}0" for i in range(48)]
    lines = [
        '"2012-2013 Solar home electricity data",' + "," * 52,
        "Customer,Generator Capacity,Postcode,Consumption Category,date,"
        + ",".join(columns)
        + ",Row Quality",
    ]
    for home in range(1, rng.randint(2, 4)):
        for day in (1, 2):
            for category in ("CL", "GC", "GG"):
                cells = ",".join(f"{rng.randrange(1500) / 1000:g}" for _ in range(48))
                lines.append(
                    f"{home},3.78,2076,{category},{day}/07/2012,{cells},{rng.choice(('', '', 'NA'))}"
                )
    return "\n".join([*lines, ""])


def enel_distribuzione(rng: random.Random, begin: datetime) -> str:
    """Whole days, of which one may have no second hour."""
    titles = [f"{q // 4:02}:{q % 4 * 15:02}-{(q + 1) // 4 % 24:02}:{(q + 1) % 4 * 15:02}" for q in range(96)]
    first = begin + timedelta(hours=3)
    first = first if first.month != 10 else datetime(2023, 9, 3)
    lines = ["Giorno;" + ";".join(titles)]
    for day in (first, first + timedelta(days=1)):
        spring = (day.month, day.day) == (3, 31)
        cells = [f"{rng.randrange(2000) / 1000:.3f}".replace(".", ",") for _ in range(96)]
        cells = ["" if spring and 8 <= q < 12 else cell for q, cell in enumerate(cells)]
        lines.append(f'"{day:%d/%m/%Y}";' + ";".join(f'"{cell}"' for cell in cells))
    return "\n".join([*lines, ""])


def homewizard(rng: random.Random, begin: datetime) -> str:
    lines, registers = (
        ["time,Import T1 kWh,Import T2 kWh,Export T1 kWh,Export T2 kWh"],
        [8_350_274, 4_650_277, 7, 9],
    )
    for one in intervals(rng, begin, 15, "Europe/Amsterdam"):
        if not one.lost:
            lines.append(f"{one.local:%Y-%m-%d %H:%M}," + ",".join(f"{wh / 1000:.3f}" for wh in registers))
        registers[rng.randrange(2)] += one.imported + 1
        registers[2 + rng.randrange(2)] += one.exported + 1
    return "\n".join([*lines, ""])


def dsmr_reader(rng: random.Random, begin: datetime) -> str:
    """Rows in disorder, some lost."""
    tariffs = "(Dutch Users: Low Tariff),Electricity 2{} (Dutch Users: Normal Tariff)"
    names = [f"Electricity 1{back} {tariffs.format(back)}" for back in ("", " Returned")]
    rows = []
    for one in intervals(rng, begin, 60, "Europe/Amsterdam"):
        part, back = rng.randint(0, one.imported), rng.randint(0, one.exported)
        cells = (part, one.imported - part, back, one.exported - back)
        if not one.lost:
            rows.append(f"{one.local.isoformat()}," + ",".join(f"{wh / 1000:g}" for wh in cells) + ",0.03")
    rng.shuffle(rows)
    return "\n".join([f"Hour Start,{names[0]},{names[1]},Gas", *rows, ""])


def e_redes(rng: random.Random, begin: datetime) -> bytes:
    rows = [
        ["0001", f"{one.until:%Y/%m/%d}", f"{one.until:%H:%M}", one.imported / 250, state]
        for one in intervals(rng, begin, 15, "Europe/Lisbon")
        if (state := "Estimada" if one.estimated else "Real") and not one.lost
    ]
    with TemporaryDirectory() as folder:
        sheets = {"Leituras": [["X"], ["CPE", "X"], [*E_REDES], *rows]}
        return write_xlsx(Path(folder) / "a.xlsx", sheets).read_bytes()


E_REDES = ("Contador", "Data", "Hora", "Consumo registado, Ativa (kW)", "Estado")


def enphase(rng: random.Random, begin: datetime) -> str:
    lines = [
        "Date/Time,Energy Produced (Wh),Energy Consumed (Wh),Exported to Grid (Wh),Imported from Grid (Wh)"
    ]
    for one in intervals(rng, begin, 60, "America/New_York"):
        produced = one.exported + rng.choice((0, rng.randrange(300)))
        used = produced - one.exported + one.imported
        if not one.lost:
            lines.append(f"{one.local:%m/%d/%Y %H:%M},{produced},{used},{one.exported},{one.imported}")
    return "\n".join([*lines, ""])


def datadis(rng: random.Random, begin: datetime) -> str:
    head = "cups;fecha;hora;consumo_kWh;metodoObtencion;energiaVertida_kWh;energiaGenerada_kWh;energiaAutoconsumida_kWh"
    lines = [head]
    for one in intervals(rng, begin, 60, "Europe/Madrid"):
        day, hour = (one.local, 24) if one.until.hour == 0 else (one.until, one.until.hour)
        method = "Estimada" if one.estimated else "Real"
        values = f"{one.kwh(comma=True)};{method};{one.kwh(True, comma=True)};;"
        if not one.lost:
            lines.append(f"ES1;{day:%Y/%m/%d};{hour:02}:00;{values}")
    return "\n".join([*lines, ""])


def eloverblik(rng: random.Random, begin: datetime) -> str:
    """Both registers, one below the other."""
    head = "MålepunktsID;Fra_dato;Til_dato;Mængde;Måleenhed;Kvalitet;Type;Målepunktstype_Kode;Målepunktstype"
    lines, found = [f"\ufeff{head}"], intervals(rng, begin, 15, "Europe/Copenhagen")
    for code, what in (("D07", "Forbrugt fra net"), ("D06", "Leveret til net")):
        for one in found:
            times = f"{one.local:%d-%m-%Y %H:%M:%S};{one.until:%d-%m-%Y %H:%M:%S}"
            quality = "Estimeret" if one.estimated else "Målt"
            if not one.lost:
                amount = one.kwh(code == "D06", comma=True)
                lines.append(f"57;{times};{amount};KWH;{quality};Tidsserie;{code};{what}")
    return "\n".join([*lines, ""])


def enedis(rng: random.Random, begin: datetime) -> str:
    """Rows that come four times, and values that are not there."""
    lines = [
        "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;Etape metier;"
        "Unite;Pas en minutes",
        "0;Courbe de charge;29/10/2022;31/10/2022;Energie active;Consommation;Comptage Brut;W;",
        "",
        "Horodate;Valeur",
    ]
    for one in intervals(rng, begin, 30, "Europe/Paris"):
        row = f"{one.local.isoformat()};{'' if one.lost else 2 * one.imported}"
        lines += [row] * rng.choice((1, 1, 4))
    return "\n".join([*lines, ""])


def solaredge(rng: random.Random, begin: datetime) -> str:
    """The first pass of the hour that comes twice is not there."""
    meters: dict[str, list[Mapping[str, object]]] = {"Purchased": [], "FeedIn": []}
    for one in intervals(rng, begin, 60, "Europe/Amsterdam"):
        later = one.local.replace(fold=1)
        if one.local.fold == 0 and later.utcoffset() != one.local.utcoffset():
            continue
        date = f"{one.local:%Y-%m-%d %H:%M:%S %Z%z}"
        meters["Purchased"].append({"date": date, "value": None if one.lost else one.imported})
        meters["FeedIn"].append({"date": date, "value": None if one.lost else one.exported})
    listed = [{"type": name, "values": values} for name, values in meters.items()]
    return json.dumps({"energyDetails": {"timeUnit": "HOUR", "unit": "Wh", "meters": listed}}, indent=1)


NONE = Hints()


@dataclass(frozen=True)
class Table:
    """A layout: how a random file of it is written, its second reader, and what the user says."""

    write: Writer
    second: Callable[..., Found]
    hints: Hints = NONE
    nights: str = "Europe"
    name: str = "file.csv"


IMPORT = {"Consumption (kwh)": "import"}
TABLES = {
    "fluvius": Table(fluvius, second.fluvius),
    "fluvius_open_data": Table(fluvius_open_data, second.fluvius_open_data),
    "octopus_2020": Table(octopus_2020, second.octopus, Hints(channels=IMPORT)),
    "octopus_2024": Table(octopus_2024, second.octopus, Hints(channels=IMPORT)),
    "low_carbon_london": Table(low_carbon_london, second.low_carbon_london, Hints(zone="UTC", stamp="end")),
    "ausgrid": Table(ausgrid, second.ausgrid),
    "enel_distribuzione": Table(enel_distribuzione, second.enel_distribuzione),
    "homewizard": Table(homewizard, second.homewizard, Hints(zone="Europe/Amsterdam")),
    "dsmr_reader": Table(dsmr_reader, second.dsmr_reader),
    "e_redes": Table(e_redes, second.e_redes, name="file.xlsx"),
    "enphase": Table(enphase, second.enphase, Hints(zone="America/New_York"), "America/New_York"),
    "es_datadis": Table(datadis, second.datadis),
    "dk_eloverblik": Table(eloverblik, second.eloverblik),
    "enedis_load_curve": Table(enedis, second.enedis, Hints(stamp="start")),
    "solaredge": Table(solaredge, second.solaredge, name="file.json"),
}


@sampled
@pytest.mark.parametrize("night", [0, 1, 2], ids=["autumn", "spring", "summer"])
@pytest.mark.parametrize("name", TABLES)
def test_a_second_reader_agrees(name: str, night: int, tmp_path: Path) -> None:
    table = TABLES[name]
    path = tmp_path / table.name
    for seed in range(some(12, 4)):
        rng = random.Random(f"{name} {night} {seed}")
        content = table.write(rng, NIGHTS[table.nights][night])
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert recognise(path).name == name
        reading = read(path, recognise(path), table.hints)
        assert reading.data is not None, (seed, [str(finding) for finding in reading.findings])
        found = table.second(content)
        assert any(flag != "x" for _, flag in found.values())
        homes, total = second.homes_of(found), 0
        data = reading.data
        assert len(data.households) == len(homes)
        flags: dict[tuple[int, int], int] = {}
        for (home, register, start), (wh, flag) in found.items():
            t, h = (int(start.timestamp()) - data.start_s) // (60 * data.minutes), homes.index(home)
            energy = data.import_wh if register == "import" else data.export_wh
            assert energy[t, h] == wh, (seed, start)
            flags[t, h] = max(flags.get((t, h), 0), QUALITY[flag])
            total += int(wh)
        for t in range(data.intervals):
            for h in range(len(homes)):
                unknown = MEASURED if name == "octopus_2024" else MISSING
                assert data.quality[t, h] == flags.get((t, h), unknown), (seed, t, h)
        assert data.import_wh.sum() + data.export_wh.sum() == total
