"""Templates of scenarios, their reference page and their JSON Schema."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.kits.scenario_kit import KNOWN, read
from wattswap import errors
from wattswap.scenario.load import demo, from_resolved, json_schema, load, template_names, write_new
from wattswap.scenario.problems import key_paths

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("template", template_names())
def test_every_template_is_valid_with_all_its_cases_and_comes_back_from_resolved(
    tmp_path: Path, template: str
) -> None:
    written = write_new(tmp_path / "new", template)
    (tmp_path / "new" / "homes").mkdir()
    assert all(path.is_file() for path in written)
    cases = tomllib.loads(written[0].read_text(encoding="utf-8")).get("case", {})
    for case in (None, *cases):
        scenario = load(tmp_path / "new", case, known_mechanisms=KNOWN)
        assert scenario.warnings() == []
        assert from_resolved(scenario.resolved(), tmp_path / "new").digest() == scenario.digest()


def test_there_are_the_templates() -> None:
    assert template_names() == ["citylearn", "csv", "street", "street_grid", "thinking", "village"]


def test_every_key_in_the_comments_of_a_template_exists(tmp_path: Path) -> None:
    """A commented-out key is uncommented by a user, and must not be refused then."""
    last = {path.split(".")[-1] for path in key_paths()}
    for template in template_names():
        text = write_new(tmp_path / template, template)[0].read_text(encoding="utf-8")
        for key in re.findall(r"^# (\w+) = ", text, flags=re.MULTILINE):
            assert key in last, (template, key)


def test_the_meter_file_of_the_csv_template_has_two_weeks_and_a_day_in_which_homes_can_trade(
    tmp_path: Path,
) -> None:
    meter = write_new(tmp_path, "csv")[1].read_text(encoding="utf-8").splitlines()
    assert meter[0] == "timestamp,household,import_kwh,export_kwh"
    rows = [line.split(",") for line in meter[1:]]
    assert len(rows) == 3 * 15 * 24
    last_day = [row for row in rows if row[0] >= "2026-06-14T22:00Z"]
    assert len(last_day) == 3 * 24
    by_start = {start: [row for row in last_day if row[0] == start] for start, *_ in last_day}
    least = [
        min(max(float(row[column]) for row in there) for column in (2, 3)) for there in by_start.values()
    ]
    assert max(least) > 0, "one home needs what another has left"


def test_nothing_is_overwritten_and_nothing_written_when_one_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(errors.AlreadyExists, match=r"meter\.csv: exists already"):
        write_new(tmp_path, "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["meter.csv"]
    assert (tmp_path / "meter.csv").read_text(encoding="utf-8") == "mine"


def test_a_file_is_no_folder_for_a_template(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine", encoding="utf-8")
    with pytest.raises(errors.AlreadyExists):
        write_new(tmp_path / "a")


def test_an_unknown_template_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="did you mean 'village'"):
        write_new(tmp_path, "vilage")


def test_the_demo_is_a_week_of_the_street() -> None:
    scenario = demo()
    assert scenario.data.sample == "street"
    assert scenario.span(1_451_606_400, 15, 35_136).intervals == 7 * 96


def test_the_schema_for_editors_names_every_key_with_its_meaning() -> None:
    schema = json_schema()
    tables = {"": schema, **schema["$defs"]}
    described = {
        key
        for table in tables.values()
        for key, said in table["properties"].items()
        if said.get("description")
    }
    assert described == {path.split(".")[-1] for path in key_paths()} | {"case"}
    assert tables["Tariff"]["properties"]["grid_fee_local_per_kwh"]["type"] == "number"
    assert set(schema["required"]) == {"schema", "name", "currency", "data", "tariff"}


def test_the_reference_pages_name_every_key_and_no_other() -> None:
    pages = [DOCS / "reference" / name for name in ("scenario.md", "devices.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(r"^\| `([a-zA-Z_.]+)` \|", text, flags=re.MULTILINE))
    leaves = {path for path in key_paths() if not any(other.startswith(f"{path}.") for other in key_paths())}
    shared = {path for path in leaves if re.fullmatch(r"homes\.population\.\w+\.(?!share$)\w+", path)}
    windows = {path for path in leaves if path.startswith("tariff.other.NAME.time_of_use.")}
    as_of_all = {path.replace(".other.NAME", "") for path in windows}
    assert windows
    assert as_of_all <= named, "the windows of another retailer are those of [tariff]"
    assert named - {"tariff.time_of_use", "tariff.other.NAME.time_of_use"} == leaves - shared - windows
    as_of_one_home = {re.sub(r"\.population\.(\w+)\.", r".\1.NAME.", path) for path in shared}
    assert as_of_one_home <= named, "the keys of a share of homes are those of one home"


def test_the_smallest_scenario_of_the_reference_page_loads(tmp_path: Path) -> None:
    text = (DOCS / "reference" / "scenario.md").read_text(encoding="utf-8")
    smallest = text.split("```toml\n")[1].split("```")[0]
    assert read(tmp_path, smallest).name == "my-street"
