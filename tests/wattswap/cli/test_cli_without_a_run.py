"""Commands that need no run: new, validate, list, doctor, data check and clear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kits.run_kit import call, files_below, one_object, refused, write_street
from wattswap.catalogue import KINDS
from wattswap.scenario.load import template_names

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("template", template_names())
def test_a_new_scenario_is_valid_once_its_data_are_there(
    template: str, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "mine"
    outcome = call(capsys, "new", folder, "--template", template)
    assert (outcome.code, outcome.err) == (0, f"Next: wattswap run {folder}\n")
    first, *others = outcome.out.splitlines()
    assert first == str(folder / "scenario.toml")
    assert sorted([first, *others]) == [str(folder / name) for name in files_below(folder)]
    outcome = call(capsys, "validate", folder)
    if template == "citylearn":  # the homes are the user's own
        refused(outcome, 3, "homes")
    else:
        assert (outcome.code, outcome.err) == (0, "")
        assert "is valid" in outcome.out
        assert one_object(call(capsys, "validate", folder, "--json"))["homes"] >= 2


def test_new_overwrites_nothing(tmp_path: Path, capsys: Capture) -> None:
    call(capsys, "new", tmp_path / "mine")
    refused(call(capsys, "new", tmp_path / "mine"), 3, "scenario.toml: exists already")
    refused(call(capsys, "new", tmp_path / "other", "-t", "stret"), 2, "did you mean 'street'?")
    assert not (tmp_path / "other").exists()


def test_validate_lists_every_mistake_with_its_line(tmp_path: Path, capsys: Capture) -> None:
    street = write_street(tmp_path, more='solvr = "highs"\nk = 2\n')
    outcome = call(capsys, "validate", street)
    refused(outcome, 3, "Error: 2 problems", "did you mean 'solver'", "the largest is 1")
    lines = (street / "scenario.toml").read_text(encoding="utf-8").splitlines()
    for key in ("solvr", "k"):
        number = next(n for n, line in enumerate(lines, 1) if line.startswith(f"{key} ="))
        assert f"scenario.toml:{number}: market.{key}" in outcome.err
    error = one_object(call(capsys, "validate", street, "--json"))["error"]
    assert [problem["key"] for problem in error["problems"]] == ["market.solvr", "market.k"]


@pytest.mark.parametrize("kind", KINDS)
def test_list_names_everything_of_a_kind_with_a_line_on_each(kind: str, capsys: Capture) -> None:
    entries = one_object(call(capsys, "list", kind, "--json"))[kind]
    lines = call(capsys, "list", kind).out.splitlines()
    heads = [
        i for i, line in enumerate(lines) if not line.startswith(" ")
    ]  # the rest of an entry is indented
    assert len(heads) == len(entries) > 0
    for entry, first, end in zip(entries, heads, [*heads[1:], len(lines)], strict=True):
        words = " ".join(" ".join(lines[first:end]).split())
        assert len(entry["summary"]) > 10
        parts = (
            entry["name"],
            entry["summary"],
            entry.get("parameters"),
            kind == "formats" and entry.get("source") and f"source: {entry['source']}",
            entry.get("from") and f"from {entry['from']}",
        )
        assert words == " ".join(" ".join(part.split()) for part in parts if part)


def test_list_of_an_unknown_kind_suggests_the_nearest(capsys: Capture) -> None:
    refused(call(capsys, "list", "mechanism"), 2, "Did you mean 'mechanisms'?")


def test_the_doctor_finds_this_installation_sound(capsys: Capture) -> None:
    outcome = call(capsys, "doctor", "--json")
    report = one_object(outcome)
    assert (outcome.code, report["ok"]) == (0, True)
    assert {"python", "package names", "HiGHS clears", "libp2p imports"} <= {
        c["what"] for c in report["checks"]
    }
    assert "FAIL" not in call(capsys, "doctor").out


def test_the_doctor_names_what_is_broken_and_exits_with_6(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattswap import doctor

    monkeypatch.setattr(
        doctor, "_samples", lambda: iter([doctor.Check("samples", False, "gone", "reinstall")])
    )
    outcome = call(capsys, "doctor")
    assert outcome.code == 6
    assert "FAIL  samples" in outcome.out
    assert "1 of " in outcome.err
    outcome = call(capsys, "doctor", "--json")
    assert (outcome.code, one_object(outcome)["ok"], outcome.err) == (6, False, "")


def test_data_check_tells_what_a_file_holds(street: Path, capsys: Capture) -> None:
    outcome = call(capsys, "data", "check", street / "meter.csv")
    assert (outcome.code, outcome.err) == (0, "")
    for phrase in ("format     plain", "step       60 min", "homes      3: home-1, home-2, home-3"):
        assert phrase in outcome.out
    facts = one_object(call(capsys, "data", "check", street / "meter.csv", "--json"))
    assert (facts["ok"], facts["rows"]) == (True, 216)


@pytest.mark.parametrize(
    ("zone", "span", "gap"),
    [
        (
            ["--zone", "Asia/Kolkata"],
            "Mon 01 Jun 2026 05:30 to Thu 04 Jun 2026 04:30 (Asia/Kolkata)",
            "2026-06-01 12:30 (Asia/Kolkata)",
        ),
        (
            [],
            "Mon 01 Jun 2026 00:00 to Wed 03 Jun 2026 23:00 (UTC: no zone is known, and --zone names one)",
            "2026-06-01T07:00Z",
        ),
    ],
)
def test_data_check_speaks_local_time(
    zone: list[str], span: str, gap: str, street: Path, tmp_path: Path, capsys: Capture
) -> None:
    lines = (street / "meter.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith("2026-06-01T07:00:00Z,home-2,")]
    assert len(kept) == len(lines) - 1
    file = tmp_path / "gap.csv"
    file.write_text("\n".join(kept) + "\n", encoding="utf-8")
    said = call(capsys, "data", "check", file, *zone).out
    assert f"span       {span}\n" in said
    assert f"1 interval from {gap} has no row" in said
    facts = one_object(call(capsys, "data", "check", file, *zone, "--json"))
    assert (facts["first"], facts["last"]) == ("2026-06-01T00:00Z", "2026-06-03T23:00Z")
    assert facts["local_zone"] == (zone[1] if zone else None)


def test_data_check_names_the_bad_lines_and_exits_with_3(
    street: Path, tmp_path: Path, capsys: Capture
) -> None:
    lines = (street / "meter.csv").read_text(encoding="utf-8").splitlines()
    lines[10] = lines[10].rsplit(",", 2)[0] + ",abc,0"
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = call(capsys, "data", "check", bad)
    assert outcome.code == 3
    assert "11" in outcome.out
    assert "1 error" in outcome.err
    outcome = call(capsys, "data", "check", bad, "--json")
    assert (outcome.code, one_object(outcome)["ok"]) == (3, False)
    refused(call(capsys, "data", "check", tmp_path / "none.csv"), 3, "none.csv")
    refused(call(capsys, "data", "check", bad, "--format", "plainn"), 2, "plain")


BOOK = {
    "orders": [
        {"id": "b", "participant": "ann", "side": "buy", "quantity_kwh": 2, "price_per_kwh": 0.3},
        {"id": "s", "participant": "bob", "side": "sell", "quantity_kwh": 1, "price_per_kwh": 0.1},
    ]
}


def test_clear_clears_a_book_from_a_file(tmp_path: Path, capsys: Capture) -> None:
    case = tmp_path / "book.json"
    case.write_text(json.dumps(BOOK))
    outcome = call(capsys, "clear", case, "-m", "uniform_price", "--json")
    result = one_object(outcome)
    assert (outcome.code, result["price"], result["price_interval"]) == (0, 0.3, [0.3, 0.3])
    assert [order["accepted_kwh"] for order in result["orders"]] == [1, 1]
    assert call(capsys, "clear", case, "-m", "uniform_price").code == 0


def test_clear_names_what_is_wrong_with_a_book(tmp_path: Path, capsys: Capture) -> None:
    case = tmp_path / "book.json"
    case.write_text(json.dumps(BOOK).replace("0.3", "-x-".join(['"', '"'])))
    outcome = call(capsys, "clear", case, "-m", "uniform_price", "--json")
    assert (outcome.code, one_object(outcome)["error"]["code"]) == (3, 3)
    refused(call(capsys, "clear", tmp_path / "none.json", "-m", "uniform_price"), 3, "none.json")
    refused(call(capsys, "clear", case, "-m", "uniform_prise"), 2, "uniform_price")
