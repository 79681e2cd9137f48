"""Every known trap of meter data has a fixture that holds it: a file with the mark of the trap, and expected integers.

What is expected of a fixture is tried in test_fixtures.py; prices and weather have their own in the files named below.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

from tests.kits.fixture_kit import METERS, Fixture

ROOT = Path(__file__).parents[2]

TRAPS: dict[str, dict[str, str]] = {
    "1 kW where kWh is expected": {
        "e_redes": "Consumo registado, Ativa (kW)",
        "enedis_load_curve": ";W;",
        "fr_enedis_2025": "(en Kw)",
        "ie_esb_kw": "(kW)",
    },
    "2 cumulative registers": {
        "homewizard": "8350.274",
        "opsd_cossmic": "DE_KN_residential4_grid_import",
        "energie_manager_online": "0.001",
        "greenchoice": "StandNormaal",
        "nl_p1mon_2024": "VERBR_KWH_181",
        "dsmr_p1_v5": "1-0:1.8.1",
    },
    "2 a register that rolls over, and one of a new meter": {"plain_counter": "99999.750"},
    "2 a register that starts late": {"opsd_cossmic": "+0100,,0.000"},
    "3 export sign": {
        "zonneplan": "ElectricityProductionUsageKwh",
        "energie_manager_online": "-0.001",
        "engie_nl": "Teruglevering",
        "espi_three_directions": "flowDirection>19<",
        "espi_net_only": "flowDirection>4<",
        "pecan_street": ",-0.4,",
        "united_power": "-0.",
    },
    "4 end stamps": {
        "e_redes": "2024/09/14",
        "slimmemeterportal": "01-01-2023 00:00:00 +0100",
        "nem12_quality_ranges": "300,20040417",
        "ch_bkw": "01.01.2026 00:15",
    },
    "6 order and duplicates": {
        "shelly_em3": "2025-01-11 00:50,0.00,5.00\n2025-01-11 00:50,0.00,5.00",
        "plain_newest_first": "2023-10-29 03:30",
        "enedis_load_curve": "2022-10-30T02:30:00+02:00;62\n2022-10-30T02:30:00+02:00;62",
        "espi_conflict": "<value>",
        "nem12_day_twice": "300,2",
    },
    "7 empty is not zero, but where the format says so": {
        "fluvius_nl_2021": "Geen verbruik",
        "slimmemeterportal": "levering_laag",
        "octopus_2024": "01:30:00+01:00",
        "low_carbon_london": "Null",
    },
    "8 estimated flags": {
        "fluvius_nl_2021": "Geschat",
        "e_redes": "Estimada",
        "nem12_quality_ranges": "400,1,20,F14",
        "opsd_cossmic": "DE_KN_residential4_grid_export | ",
    },
    "9 broken homes": {"plain_broken_homes": "net_of_pv"},
    "10 local numbers": {
        "fluvius_en": "\ufeffFrom (date)",
        "enel_distribuzione": '"0,139"',
        "plain_sep_line": "sep=,",
        "sma_sunny_portal": "DD.MM.YYYY hh:mm:ss",
        "e_redes": "CPE",
        "zonneplan": "0.001",
    },
    "11 identity": {"ameren": "Account Number", "united_power": "For:", "e_redes": "PT0002"},
    "12 two energies in one row": {"ameren": "15min", "shelly_em3": "(A)", "homewizard": "T1 kWh"},
    "13 look-alikes": {
        "fluvius_peak": "Piekvermogen",
        "espi_gas": "uom>169<",
        "eiep3_gas": ",G,I",
        "enedis_daily": "Injection quotidienne",
        "home_assistant_csv_month": "2026-01-04T23:00",
    },
}
"""Fixtures by trap, and a text that they hold."""

CLOCKS: dict[str, dict[str, str]] = {
    "DSMR-reader: right both ways": {
        "dsmr_reader": "2024-03-31T03:00:00+02:00",
        "dsmr_reader_autumn": "2023-10-29T02:00:00+01:00",
    },
    "SlimmeMeterPortal: end stamps with offset": {"slimmemeterportal_autumn": "29-10-2023 02:00:00 +0100"},
    "Fluvius: 92 and 100 rows, pairwise": {
        "fluvius_en": "29/10/2023;02:00:00",
        "fluvius_spring": "31/03/2024;01:45:00;31/03/2024;03:00:00",
    },
    "E-REDES: local": {"e_redes_autumn": "2024/10/27", "e_redes_spring": "2024/03/31"},
    "Enphase: an hour missing, an hour doubled": {
        "enphase": "11/05/2023 01:00",
        "enphase_spring": "03/12/2023 03:00",
    },
    "SolarEdge: drops the first of the repeated hour": {"solaredge_october": "2024-10-27 02:00:00 CET+0100"},
    "Ausgrid: hides it": {"ausgrid": "0:00", "ausgrid_hides_change": "7/10/2012"},
    "HomeWizard: local without a zone": {
        "homewizard_autumn": "2023-10-29 02:00",
        "homewizard_no_zone": "2025-06-24 20:30",
    },
    "NEM12: UTC+10": {"nem12_quality_ranges": "300,20040417"},
    "Home Assistant and OPSD: UTC": {
        "opsd_cossmic": "2016-03-27T01:00:00Z",
        "home_assistant_csv_day": "T10:00:00.000Z",
    },
    "a clock of one offset all year": {"plain_standard_time": "2024-03-31 02:"},
}
"""What the clock of each source does."""

ELSEWHERE = {
    "SMARD: local": ("tests/data/test_price_files.py", "test_smard_writes_both_nights"),
    "AEMO: end stamps, UTC+10": ("tests/data/test_price_files.py", "aemo"),
    "TMY3: hour-ending local standard time": ("tests/data/test_weather_files.py", "test_tmy3_begins"),
    "Fontana: hides it": ("tests/data/formats/test_data_citylearn.py", "DROPPED_LINE"),
    "Home Assistant database: UTC": ("tests/data/formats/test_home_assistant.py", "SCHEMAS"),
    "SimBench: local without an offset": ("tests/data/test_data_samples.py", "simbench"),
}
"""Traps of what is no text of meter readings: the test, and a word of it."""

HELD = [
    pytest.param(name, mark, id=f"{trap.split(':')[0][:24]}-{name}")
    for trap, marks in (TRAPS | CLOCKS).items()
    for name, mark in marks.items()
]


def text_of(fixture: Fixture) -> str:
    """All text of its files; of a workbook every cell."""
    paths = sorted(fixture.path.iterdir()) if fixture.path.is_dir() else [fixture.path]
    if paths[0].suffix == ".xlsx":
        book = CalamineWorkbook.from_path(paths[0])
        return "\n".join(
            str(cell)
            for name in book.sheet_names
            for row in book.get_sheet_by_name(name).to_python()
            for cell in row
        )
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in paths).replace("\r\n", "\n")


@pytest.mark.parametrize(("name", "mark"), HELD)
def test_a_trap_has_a_fixture_that_holds_it(name: str, mark: str) -> None:
    fixture = Fixture(METERS / name)
    assert mark in text_of(fixture)
    assert {"expected", "refused", "asked"} & fixture.said.keys()


def test_all_thirteen_traps_are_there_and_have_integers() -> None:
    numbers = {trap.split()[0] for trap in TRAPS} | {"5"}  # the fifth is the table of clocks
    assert numbers == {str(number) for number in range(1, 14)}
    for trap, marks in (TRAPS | CLOCKS).items():
        said = [Fixture(METERS / name).said for name in marks]
        refusal = trap.startswith(("13", "a clock"))
        assert any(("refused" if refusal else "expected") in one for one in said), trap


@pytest.mark.parametrize(("path", "word"), ELSEWHERE.values(), ids=[trap.split(":")[0] for trap in ELSEWHERE])
def test_a_trap_of_other_files_has_its_test(path: str, word: str) -> None:
    assert word in (ROOT / path).read_text(encoding="utf-8").casefold() or word in (ROOT / path).read_text()
