"""Files that no format knows: what is concluded, what is asked, what is refused, and what their answers give."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.formats import FORMATS, FileReading, read
from data.formats.generic import CONFIDENCE
from data.intake.claims import PROPOSED, RECOGNISED
from data.intake.file import MeterFile
from data.intake.raw import Hints
from data.recipes.draft import draft
from data.recipes.infer import Inferred, NoTable
from data.recipes.infer_file import inferred
from data.recipes.infer_recipe import recipe_of
from data.recipes.toml import recipe_from_toml, recipe_to_toml
from tests.kits.unknown_kit import GERMAN, UNKNOWN, Unknown

NOTHING = Hints()
ALL = [pytest.param(unknown, id=unknown.name) for unknown in UNKNOWN]
READ = [pytest.param(unknown, id=unknown.name) for unknown in UNKNOWN if unknown.refused is None]


def found_in(folder: Path, text: str, hints: Hints = NOTHING, encoding: str = "utf-8") -> Inferred | NoTable:
    path = folder / "meter.csv"
    path.write_bytes(text.encode(encoding))
    return inferred(MeterFile(path), hints)


def known_of(folder: Path, text: str, hints: Hints = NOTHING, encoding: str = "utf-8") -> Inferred:
    found = found_in(folder, text, hints, encoding)
    assert isinstance(found, Inferred), found
    return found


def reading_of(folder: Path, text: str, hints: Hints, encoding: str = "utf-8") -> FileReading:
    path = folder / "meter.csv"
    path.write_bytes(text.encode(encoding))
    return read(path, FORMATS.get("generic"), hints)


def options(found: Inferred) -> tuple[str, ...]:
    return tuple(sorted(question.option.replace('"', "") for question in found.questions))


def channels(found: Inferred) -> dict[str, Any]:
    columns = {value.name: value.channel.value for value in found.values}
    return columns | {word: conclusion.value for word, conclusion in found.words.items()}


def said(found: Inferred) -> dict[str, Any]:
    """Conclusions by the names that `Unknown.said` has."""
    read_columns = found.read
    header, texts = found.table.header, found.texts
    return {
        "order": found.order,
        "ends": found.ends.value,
        "zone": found.zone.value,
        "decimal": found.decimal.sign,
        "thousands": found.decimal.thousands,
        "separator": found.grid.separator.value if found.grid.separator else None,
        "unit": read_columns[0].unit.value,
        "kind": read_columns[0].measures.value,
        "meter": header[texts.meter] if texts.meter is not None else None,
        "minutes": found.layout.minutes,
        "position": header[found.layout.position] if found.layout.position is not None else None,
        "quality": dict(texts.quality_words or {}),
        "footer": found.table.footer,
    }


@pytest.mark.parametrize("unknown", ALL)
def test_what_is_concluded_asked_and_refused(unknown: Unknown, tmp_path: Path) -> None:
    found = found_in(tmp_path, unknown.text, encoding=unknown.encoding)
    if unknown.refused is not None:
        codes = [found.code] if isinstance(found, NoTable) else [refusal.code for refusal in found.refusals]
        assert codes == [unknown.refused]
        return
    assert isinstance(found, Inferred)
    assert not found.refusals
    assert options(found) == tuple(sorted(unknown.asks))
    assert {name: channels(found)[name] for name in unknown.channels} == unknown.channels
    assert {name: said(found)[name] for name in unknown.said} == unknown.said


@pytest.mark.parametrize("unknown", READ)
def test_every_conclusion_has_a_reason_and_every_question_its_answers(
    unknown: Unknown, tmp_path: Path
) -> None:
    found = known_of(tmp_path, unknown.text, encoding=unknown.encoding)
    for value in found.values:
        assert all(c.why and 0 <= c.confidence <= 1 for c in (value.channel, value.unit, value.measures))
    for question in found.questions:
        assert question.asks
        assert question.choices or question.option in ("--zone", "--recipe FILE")
        assert question.proposal is None or question.proposal in question.choices
        assert question.proposal is None or (question.why and question.confidence > 0)


@pytest.mark.parametrize("unknown", ALL)
def test_it_is_claimed_far_below_recognition_and_read_by_nobody_without_answers(
    unknown: Unknown, tmp_path: Path
) -> None:
    reading = reading_of(tmp_path, unknown.text, Hints(), unknown.encoding)
    claim = FORMATS.get("generic").sniff(MeterFile(tmp_path / "meter.csv"))
    assert claim.confidence <= CONFIDENCE < RECOGNISED
    assert claim.why
    assert reading.data is None
    if unknown.refused is not None:
        assert [finding.code for finding in reading.findings] == [unknown.refused]


@pytest.mark.parametrize("unknown", READ)
def test_a_draft_is_a_recipe_once_its_open_lines_are_filled_in(unknown: Unknown, tmp_path: Path) -> None:
    found = known_of(tmp_path, unknown.text, encoding=unknown.encoding)
    text = draft(found, unknown.name)
    filled = text.replace('kind = "ASK"', 'kind = "interval"').replace('decimal = "ASK"', 'decimal = "."')
    filled = filled.replace('= "ASK" }', '= "import" }').replace(
        'format = "ASK"', 'format = "%d/%m/%Y %H:%M"'
    )
    recipe = recipe_from_toml(filled)
    assert recipe.columns == recipe_of(found, unknown.name).columns
    for question in found.questions:
        if question.option != "--recipe FILE":
            assert question.asks in " ".join(line.lstrip("# ") for line in text.splitlines()), question.option


def test_a_recipe_that_is_inferred_is_written_and_read_back_the_same(tmp_path: Path) -> None:
    for unknown in UNKNOWN:
        if unknown.refused is None:
            recipe = recipe_of(known_of(tmp_path, unknown.text, encoding=unknown.encoding), unknown.name)
            if unknown.name.startswith(
                "denmark"
            ):  # a word of its register is open, which no recipe may leave so
                continue
            assert recipe_from_toml(recipe_to_toml(recipe)) == recipe


def test_answers_give_the_energy(tmp_path: Path) -> None:
    hints = Hints(zone="Europe/Berlin", stamp="start")
    data = reading_of(tmp_path, GERMAN, hints).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [184, 201, 155, 149, 162]
    assert data.export_wh[:, 0].tolist() == [0] * 5
    assert data.households == ("home-1",)
    assert data.source.answers["zone"] == "Europe/Berlin"
    assert data.source.answers["stamp"] == "start"


def test_an_end_stamp_is_an_interval_earlier(tmp_path: Path) -> None:
    starts, ends = (
        reading_of(tmp_path, GERMAN, Hints(zone="Europe/Berlin", stamp=end)).data for end in ("start", "end")
    )
    assert starts is not None
    assert ends is not None
    assert starts.start_s - ends.start_s == 15 * 60


def test_counters_are_differenced_each_by_itself(tmp_path: Path) -> None:
    text = next(unknown.text for unknown in UNKNOWN if unknown.name.startswith("netherlands"))
    data = reading_of(tmp_path, text, Hints(zone="Europe/Amsterdam")).data
    assert data is not None
    assert set(data.import_wh[:, 0].tolist()) == {50}
    assert set(data.export_wh[:, 0].tolist()) == {10}


def test_words_choose_registers_and_flags_stay(tmp_path: Path) -> None:
    text = next(unknown.text for unknown in UNKNOWN if unknown.name.startswith("belgium"))
    data = reading_of(tmp_path, text, Hints(zone="Europe/Brussels", stamp="start")).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [200, 100, 150, 120]
    assert data.export_wh[:, 0].tolist() == [500, 600, 550, 400]
    assert data.quality[:, 0].tolist() == [0, 1, 0, 0]


def test_a_wide_file_with_a_row_for_each_register(tmp_path: Path) -> None:
    text = next(unknown.text for unknown in UNKNOWN if unknown.name.startswith("australia"))
    data = reading_of(tmp_path, text, Hints(zone="Australia/Brisbane")).data
    assert data is not None
    first = [(h * 5 + 13) % 9 * 100 for h in range(48)]
    assert data.minutes == 30
    assert data.import_wh[:48, 0].tolist() == first
    assert data.export_wh[:48, 0].tolist() == first
    assert data.start_s % 86_400 == 14 * 3600  # midnight at UTC+10


def test_a_sign_that_nobody_knows_is_asked_and_both_answers_are_read(tmp_path: Path) -> None:
    text = next(unknown.text for unknown in UNKNOWN if unknown.name.startswith("czech"))
    column = "Výkon sítě (W)"
    net = reading_of(tmp_path, text, Hints(zone="Europe/Prague", channels={column: "net"})).data
    turned = reading_of(tmp_path, text, Hints(zone="Europe/Prague", channels={column: "-net"})).data
    assert net is not None
    assert turned is not None
    assert net.export_wh[:, 0].tolist() == [375, 330, 0, 200] == turned.import_wh[:, 0].tolist()
    assert net.import_wh[:, 0].tolist() == [0, 0, 60, 0] == turned.export_wh[:, 0].tolist()


def dates_in(order: str, days: int = 4) -> str:
    """Half hours of the first days of a month, whose dates both orders can read."""
    rows = [
        f"{d:02}/02/2026 {h // 2:02}:{h % 2 * 30:02}"
        if order == "dmy"
        else f"02/{d:02}/2026 {h // 2:02}:{h % 2 * 30:02}"
        for d in range(1, days + 1)
        for h in range(48)
    ]
    return "Start,Grid import (kWh),Grid export (kWh)\n" + "".join(
        f"{stamp},0.{n * 7 % 10},0\n" for n, stamp in enumerate(rows)
    )


@pytest.mark.parametrize("order", ["dmy", "mdy"])
def test_days_without_gaps_propose_an_order_which_only_yes_takes_and_records(
    order: str, tmp_path: Path
) -> None:
    text = dates_in(order)
    found = known_of(tmp_path, text)
    question = next(question for question in found.questions if question.option == "--dates")
    assert (question.proposal, question.confidence >= PROPOSED) == (order, True)
    data = reading_of(tmp_path, text, Hints(zone="Europe/London", yes=True)).data
    assert data is not None
    assert data.source.answers["dates"].startswith(order)
    assert data.intervals == 4 * 48
    assert reading_of(tmp_path, text, Hints(zone="Europe/London")).data is None


def test_a_single_day_proposes_no_order(tmp_path: Path) -> None:
    found = known_of(tmp_path, dates_in("dmy", days=1))
    question = next(question for question in found.questions if question.option == "--dates")
    assert question.proposal is None


def test_yes_takes_no_proposal_that_could_be_wrong(tmp_path: Path) -> None:
    for unknown in UNKNOWN:
        if unknown.refused is None:
            open_ = known_of(tmp_path, unknown.text, encoding=unknown.encoding).questions
            still = known_of(tmp_path, unknown.text, Hints(yes=True), unknown.encoding).questions
            taken = [question for question in open_ if question not in still]
            assert all(question.confidence >= PROPOSED for question in taken), unknown.name


def long_file(late: str, rows: int = 70_000) -> str:
    """A file whose head shows one thing and whose row far below another."""
    lines = ["Start,Grid import (Wh),Grid export (Wh)"]
    for n in range(rows):
        day, quarter = divmod(n, 96)
        date = np.datetime64("2024-01-13") + day
        year, month, dom = str(date).split("-")
        lines.append(
            f"{dom}/{month}/{year} {quarter // 4:02}:{quarter % 4 * 15:02},{n * 237 % 500},{n * 11 % 7}"
        )
    lines.insert(len(lines) - 5, late)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("late", "code"),
    [
        ("01/31/2026 00:00,100,0", "bad_timestamp"),
        ("10/01/2026 00:00,1.250,0", "decimal_sign"),
        ("10/01/2026 00:00,-100,0", "negative"),
        ("10/01/2026 00:00,abc,0", "not_a_number"),
    ],
)
def test_a_row_far_below_the_head_that_contradicts_it_is_an_error_with_its_line(
    late: str, code: str, tmp_path: Path
) -> None:
    reading = reading_of(tmp_path, long_file(late), Hints(zone="Europe/London"))
    assert reading.data is None
    finding = next(finding for finding in reading.findings if finding.code == code)
    assert finding.line == 69_997 or "69997" in finding.message


def shuffled(text: str, separator: str, seed: int) -> str:
    """The same table with its columns in another order."""
    rows = list(csv.reader(io.StringIO(text), delimiter=separator))
    order = list(range(len(rows[0])))
    random.Random(seed).shuffle(order)
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\n")
    writer.writerows([[row[i] for i in order] for row in rows])
    return out.getvalue()


PLAIN = [
    unknown
    for unknown in UNKNOWN
    if unknown.name.split(",")[0]
    in ("germany", "belgium", "spain", "denmark", "portugal", "finland", "inverter", "energy manager")
    and "lines above" not in unknown.name
]


@pytest.mark.parametrize("unknown", [pytest.param(unknown, id=unknown.name) for unknown in PLAIN])
def test_the_order_of_columns_changes_no_conclusion(unknown: Unknown, tmp_path: Path) -> None:
    before = known_of(tmp_path, unknown.text)
    for seed in range(5):
        assert before.grid.separator is not None
        after = known_of(tmp_path, shuffled(unknown.text, before.grid.separator.value, seed))
        assert options(after) == options(before)
        assert channels(after) == channels(before)
        assert (after.order, after.ends.value, after.zone.value) == (
            before.order,
            before.ends.value,
            before.zone.value,
        )
        assert {v.name: (v.unit.value, v.measures.value) for v in after.values} == {
            v.name: (v.unit.value, v.measures.value) for v in before.values
        }


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_way_of_writing_changes_no_reading(
    separator: str, decimal: str, encoding: str, tmp_path: Path
) -> None:
    rows = [[cell.replace(",", decimal) for cell in line.split(";")] for line in GERMAN.splitlines()]
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\r\n").writerows(rows)
    hints = Hints(zone="Europe/Berlin", stamp="start")
    data = reading_of(tmp_path, out.getvalue(), hints, encoding).data
    assert data is not None
    assert data.import_wh[:, 0].tolist() == [184, 201, 155, 149, 162]


def test_names_of_homes_change_no_conclusion_and_are_not_kept(tmp_path: Path) -> None:
    text = next(unknown.text for unknown in UNKNOWN if unknown.name.startswith("belgium"))
    before = known_of(tmp_path, text)
    other = text.replace("541448800000000001", "Jansen, Dorpsstraat 1")
    assert options(known_of(tmp_path, other)) == options(before)
    reading = reading_of(tmp_path, other, Hints(zone="Europe/Brussels", stamp="start"))
    assert reading.data is not None
    assert "Jansen" not in f"{reading.data.households}{reading.data.source}{reading.findings}"


ANSWERED = Hints(zone="Europe/Berlin", stamp="start")


def mutations() -> dict[str, str]:
    """Changes to GERMAN that change what it says, or leave it open."""
    return {
        "unit dropped": GERMAN.replace(" [kWh]", ""),
        "unit of gas": GERMAN.replace("[kWh]", "[m3]"),
        "sign of the import turned": GERMAN.replace(";0,", ";-0,"),
        "both signs": GERMAN.replace(";0,155", ";-0,155"),
        "day and month both possible": GERMAN.replace("30.01.", "01.02.").replace("31.01.", "02.02."),
        "direction dropped": GERMAN.replace("Netzbezug", "Wert 1"),
        "both columns named alike": GERMAN.replace("Netzeinspeisung", "Netzbezug"),
        "header dropped": GERMAN.split("\n", 1)[1],
        "points between thousands": GERMAN.replace(";0,", ";1."),
        "an hour of two days repeated": GERMAN + GERMAN.split("\n", 1)[1].replace("0,1", "0,2"),
        "midnight with the date of the day before": GERMAN.replace("31.01.2026;00:00", "30.01.2026;00:00"),
        "energy and power of one thing": "\n".join(
            f"{line};{end}"
            for line, end in zip(GERMAN.splitlines(), ["Netzbezug 2 [kW]", *"12345"], strict=True)
        ),
        "the same column twice": "\n".join(f"{line};{line.split(';')[2]}" for line in GERMAN.splitlines()),
        "texts in half of the export": GERMAN.replace(";0\n", ";x\n", 2),
        "a letter in a number": GERMAN.replace("0,155", "0,l55"),
        "a sum below": GERMAN + "Summe;;0,851;0\n",
        "costs in the place of the export": GERMAN.replace("Netzeinspeisung [kWh]", "Kosten [EUR]"),
        "peaks of power": GERMAN.replace("Netzbezug [kWh]", "Netzbezug Max [kW]").replace(
            "Netzeinspeisung [kWh]", "x [V]"
        ),
    }


@pytest.mark.parametrize("name", mutations())
def test_a_mutation_is_right_asked_or_refused(name: str, tmp_path: Path) -> None:
    reading = reading_of(tmp_path, mutations()[name], ANSWERED)
    if reading.data is None:
        assert reading.questions or [finding for finding in reading.findings if finding.severity == "error"]
        return
    assert name in ("a sum below", "costs in the place of the export")
    assert reading.data.import_wh[:, 0].tolist() == [184, 201, 155, 149, 162]
    assert not reading.data.export_wh.any()


def test_an_answer_that_is_no_channel_leaves_the_question(tmp_path: Path) -> None:
    text = GERMAN.replace("Netzbezug", "Wert")
    hints = replace(ANSWERED, channels={"Wert [kWh]": "IMPORT!"})
    assert "--channel Wert [kWh]" in options(known_of(tmp_path, text, hints))
    answered = replace(ANSWERED, channels={"wert  [KWH]": "import"})
    assert not known_of(tmp_path, text, answered).questions
