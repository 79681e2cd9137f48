"""Price files of markets and retailers: each against sums that do not use the reader, and every trap of its layout."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from data.errors import InvalidPriceFile
from data.intake.file import MeterFile
from data.prices import PRICE_FORMATS, claims_on, load_price_series

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "prices"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared price files are not there")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def write(folder: Path, text: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def codes(path: Path, column: str | None = None) -> set[str]:
    with pytest.raises(InvalidPriceFile) as caught:
        load_price_series(path, column)
    return {finding.code for finding in caught.value.findings}


@needs_shared
def test_smard_gives_the_prices_of_each_zone() -> None:
    path = next(SHARED.glob("smard*"))
    rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))
    wanted = [Decimal(row[3].replace(",", ".")) * 1000 for row in rows[1:]]
    start_s, minutes, micro = load_price_series(path, "Deutschland/Luxemburg")
    assert (start_s, minutes, len(micro)) == (at("2018-12-31T23:00Z"), 60, 4_343)
    assert micro.tolist() == wanted
    assert int((micro < 0).sum()) == 142
    assert codes(path) == {"which_price"}
    assert codes(path, "Polen") == {"not_a_number"}, "a zone without prices is no zone of zeros"


def smard(*rows: str, header: str = "Datum von;Datum bis;Belgien [€/MWh] Originalauflösungen") -> str:
    return "\ufeff" + "\n".join([header, *rows]) + "\n"


def test_smard_changes_from_hours_to_quarters(tmp_path: Path) -> None:
    hours = [f"30.09.2025 {h:02}:00;30.09.2025 {h:02}:59;{h},5" for h in range(24)]
    quarters = [f"01.10.2025 {q // 4:02}:{q % 4 * 15:02};01.10.2025 00:00;-{q}" for q in range(40)]
    start_s, minutes, micro = load_price_series(write(tmp_path, smard(*hours, *quarters)))
    assert (start_s, minutes) == (at("2025-09-30T00:00+02:00"), 15)
    assert micro.tolist() == [500 + 1000 * h for h in range(24) for _ in range(4)] + [
        -1000 * q for q in range(40)
    ]


def test_smard_writes_both_nights_on_the_clock_of_germany(tmp_path: Path) -> None:
    spring = [f"31.03.2019;{h:02}:00;{h + 1:02}:00;{h}" for h in range(6) if h != 2]
    header = "Datum;Anfang;Ende;Belgien [€/MWh] Originalauflösungen"
    start_s, minutes, micro = load_price_series(write(tmp_path, smard(*spring, header=header)))
    assert (start_s, minutes) == (at("2019-03-31T00:00+01:00"), 60)
    assert micro.tolist() == [0, 1000, 3000, 4000, 5000]
    autumn = [f"27.10.2019;{h:02}:00;00:00;{n}" for n, h in enumerate([0, 1, 2, 2, 3])]
    assert load_price_series(write(tmp_path, smard(*autumn, header=header)))[2].tolist() == [
        0,
        1000,
        2000,
        3000,
        4000,
    ]


def test_a_lost_quarter_is_a_gap_and_no_longer_interval(tmp_path: Path) -> None:
    rows = [f"01.10.2025 {q // 4:02}:{q % 4 * 15:02};x;{q}" for q in range(40) if q != 17]
    assert codes(write(tmp_path, smard(*rows))) == {"gap"}


def test_nord_pool_csv_and_answer_agree(tmp_path: Path) -> None:
    header = "Delivery Start (CET);Delivery End (CET);SE3 Price (EUR);NO1 Price (EUR)"
    rows = [f"01.01.2024 {h:02}:00:00;01.01.2024 {h + 1:02}:00:00;{h}.25;-{h}.5" for h in range(4)]
    path = write(tmp_path, "\n".join([header, *rows]))
    starts = ["2023-12-31T23:00:00Z", *(f"2024-01-01T0{h}:00:00Z" for h in range(3))]
    entries = [
        {"deliveryStart": start, "entryPerArea": {"SE3": h + 0.25, "NO1": -(h + 0.5)}}
        for h, start in enumerate(starts)
    ]
    answer = write(tmp_path, json.dumps({"multiAreaEntries": entries}), "prices.json")
    for area, wanted in (("SE3", [250, 1_250, 2_250, 3_250]), ("NO1", [-500, -1_500, -2_500, -3_500])):
        for one in (path, answer):
            start_s, minutes, micro = load_price_series(one, area)
            assert (start_s, minutes, micro.tolist()) == (at("2024-01-01T00:00+01:00"), 60, wanted)
    assert codes(path) == codes(answer) == {"which_price"}


def test_agile_answers_come_newest_first(tmp_path: Path) -> None:
    results = [
        {
            "value_exc_vat": 1,
            "value_inc_vat": 10.5 + q,
            "valid_from": f"2024-01-01T0{q // 2}:{q % 2 * 3}0:00Z",
        }
        for q in range(6)
    ]
    path = write(tmp_path, json.dumps({"count": 6, "results": results[::-1]}), "agile.json")
    start_s, minutes, micro = load_price_series(path)
    assert (start_s, minutes) == (at("2024-01-01T00:00Z"), 30)
    assert micro.tolist() == [105_000 + 10_000 * q for q in range(6)]


def document(*series: str) -> str:
    return (
        '<?xml version="1.0"?>'
        '<Publication_MarketDocument xmlns="urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3">'
        f"<type>A44</type>{''.join(series)}</Publication_MarketDocument>"
    )


def one_series(
    points: str, resolution: str = "PT60M", curve: str = "A03", sequence: int | None = None
) -> str:
    order = (
        f"<classificationSequence_AttributeInstanceComponent.position>{sequence}"
        "</classificationSequence_AttributeInstanceComponent.position>"
        if sequence
        else ""
    )
    return (
        f"<TimeSeries>{order}<in_Domain.mRID>10YAT</in_Domain.mRID><price_Measure_Unit.name>MWH</price_Measure_Unit.name>"
        f"<curveType>{curve}</curveType><Period><timeInterval><start>2025-01-01T23:00Z</start><end>2025-01-02T03:00Z</end>"
        f"</timeInterval><resolution>{resolution}</resolution>{points}</Period></TimeSeries>"
    )


def points(*prices: tuple[int, str]) -> str:
    return "".join(
        f"<Point><position>{n}</position><price.amount>{p}</price.amount></Point>" for n, p in prices
    )


def test_entsoe_asks_which_resolution_and_sequence(tmp_path: Path) -> None:
    hours, quarters = points((1, "10"), (3, "-30.5")), points((1, "1"), (16, "2"))
    path = write(
        tmp_path,
        document(one_series(hours), one_series(quarters, "PT15M"), one_series(points((1, "7")), sequence=2)),
        "a44.xml",
    )
    with pytest.raises(
        InvalidPriceFile, match="10YAT 60 min sequence 1, 10YAT 15 min sequence 1, 10YAT 60 min sequence 2"
    ):
        load_price_series(path)
    assert load_price_series(path, "10YAT 60 min sequence 1")[2].tolist() == [
        10_000,
        10_000,
        -30_500,
        -30_500,
    ]
    assert load_price_series(path, "10YAT 15 min sequence 1")[2].tolist() == [1_000] * 15 + [2_000]


def test_entsoe_leaves_out_no_position_under_a01(tmp_path: Path) -> None:
    path = write(tmp_path, document(one_series(points((1, "10"), (3, "30")), curve="A01")), "a44.xml")
    assert codes(path) == {"gap"}


@pytest.mark.parametrize(
    "text",
    [
        document(one_series(points((2, "10")))),
        document(one_series(points((1, "10"), (5, "1")))),
        document(one_series(points((1, "x")))),
        document(one_series(points((1, "10")), resolution="P1D")),
        document(one_series(points((1, "10"))))[:-30],
        document().replace("<type>", '<!DOCTYPE a [<!ENTITY b "c">]><type>'),
        document(),
    ],
)
def test_a_bad_document_is_refused(text: str, tmp_path: Path) -> None:
    assert codes(write(tmp_path, text, "a44.xml"))


def test_every_layout_claims_its_own_sample_alone(tmp_path: Path) -> None:
    for name, layout in PRICE_FORMATS.all().items():
        claims = claims_on(MeterFile(write(tmp_path, layout.sample)))
        assert [other for other, claim in claims.items() if claim.confidence > 0] == [name]
        assert layout.source
        assert claims[name].why


def test_aemo_of_two_regions_is_asked_about(tmp_path: Path) -> None:
    header = "REGION,SETTLEMENTDATE,TOTALDEMAND,RRP,PERIODTYPE"
    rows = [
        f"{region},2025/01/01 00:{5 * n:02}:00,1,{n}{sign}0,{kind}"
        for region, sign in (("NSW1", "."), ("VIC1", ".5"))
        for n, kind in ((1, "TRADE"), (2, "TRADE"), (3, "PREDISPATCH"))
    ]
    path = write(tmp_path, "\n".join([header, *rows]))
    assert codes(path) == {"which_price"}
    start_s, minutes, micro = load_price_series(path, "NSW1")
    assert (start_s, minutes, micro.tolist()) == (at("2025-01-01T00:00+10:00"), 5, [1000, 2000])
