"""The report of a run: every section, nothing fetched, nothing overwritten, names that cannot break out of the page."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from tests.kits.report_kit import NASTY, NASTY_ATTRIBUTE, story
from tests.kits.run_kit import call, write_street
from wattswap.report.page import csv_uri, table
from wattswap.report.write import html_of, story_of
from wattswap.results import RunResult

SECTIONS = [
    "verdict",
    "comparison",
    "price",
    "curve",
    "flows",
    "bills",
    "fairness",
    "grid",
    "properties",
    "time",
]
SECTIONS += ["chain", "provenance"]
DASH = "–"


class Page(HTMLParser):
    """The elements of a page as a browser without scripts sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self._section = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "section":
            self._section = str(dict(attrs)["id"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        self.text[self._section] = self.text.get(self._section, "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(finished: RunResult) -> str:
    return html_of(story_of(finished.path))


@pytest.fixture(scope="module")
def compared() -> str:
    return html_of(story())


def without_plotly(html: str) -> str:
    from plotly.offline import get_plotlyjs

    assert html.count(get_plotlyjs()) == 1
    return html.replace(get_plotlyjs(), "")


def downloads(html: str) -> dict[str, pd.DataFrame]:
    found = re.findall(r'download="([\w-]+)\.csv" href="data:text/csv;charset=utf-8;base64,([^"]+)"', html)
    return {name: pd.read_csv(io.StringIO(base64.b64decode(data).decode())) for name, data in found}


@pytest.mark.parametrize("which", ["html", "compared"])
def test_every_section_has_a_heading_a_reason_and_a_link(which: str, request: pytest.FixtureRequest) -> None:
    html = request.getfixturevalue(which)
    page = Page(html)
    assert [s["id"] for s in page.all("section")] == SECTIONS
    assert [a["href"] for a in page.all("a")][1 : len(SECTIONS) + 1] == [f"#{s}" for s in SECTIONS]
    for section in SECTIONS:
        assert len(re.findall(rf'<h2 id="{section}-title">[^<]+</h2>\n<p class="why">[^<]+\.</p>', html)) == 1


@pytest.mark.parametrize("which", ["html", "compared"])
def test_nothing_in_the_page_leads_to_another_host(which: str, request: pytest.FixtureRequest) -> None:
    html = request.getfixturevalue(which)
    assert "://" not in without_plotly(html)
    page = Page(html)
    assert "default-src 'none'" in str(page.all("meta")[1]["content"])
    assert not [name for name, _ in page.elements if name in ("link", "iframe", "img", "object", "embed")]
    assert not [attributes for attributes in page.all("script") if "src" in attributes]
    for link in page.all("a"):
        assert str(link["href"]).startswith(("#", "data:"))


@pytest.mark.parametrize("which", ["html", "compared"])
def test_every_figure_has_words_and_data_beside_it(which: str, request: pytest.FixtureRequest) -> None:
    html = request.getfixturevalue(which)
    page = Page(html)
    drawn = {str(a["data-figure"]) for a in page.all("script") if "data-figure" in a}
    places = {str(a["id"]).removeprefix("figure-"): a for a in page.all("div") if a.get("role") == "img"}
    assert drawn == set(places)
    assert {"prices", "order-book", "energy-flows", "bills", "savings", "grid-import"} <= drawn
    assert drawn <= set(downloads(html))
    assert all(len(str(a["aria-label"])) > 40 for a in places.values())
    assert len(page.all("figcaption")) == len(page.all("figure")) == len(drawn)
    assert len(page.all("caption")) == len(page.all("table"))


def test_the_verdict_says_the_money_of_the_bills_and_names_the_worst_off_home(
    finished: RunResult, html: str
) -> None:
    bills = finished.table("bills")
    money = bills[["trade_nano", "imbalance_nano", "retail_nano", "grid_fee_nano"]].sum(axis=1)
    saving = (money - bills["baseline_nano"]) / 1e9
    text = Page(html).text["verdict"]
    assert f"{abs(-money.sum() / 1e9):.2f} EUR" in text
    metrics = finished.metrics
    assert metrics["saving_by_mechanism"] + metrics["saving_by_imbalance_rule"] == pytest.approx(saving.sum())
    said = re.search(r"The mechanism saves ([\d.]+) EUR", text)
    assert said is not None
    assert abs(float(said[1]) - metrics["saving_by_mechanism"]) < 0.01  # a cent may go to the other part
    assert f"of at most {metrics['saving_bound']:.2f}" in text
    assert "What these figures rest on" in text
    assert str(bills["household"][saving.argmin()]) in text


def test_the_bills_of_the_page_add_up(html: str) -> None:
    (body,) = re.findall(r"<caption>Bills with .*?</tfoot>", html, re.S)
    lines = [re.findall(r'<td class="number">([^<]+)</td>', row) for row in body.split("<tr>")[2:]]
    *homes, total = [[round(100 * float(cell.replace(",", ""))) for cell in line] for line in lines]
    assert len(homes) == 3
    assert [sum(column) for column in zip(*homes, strict=True)] == total
    assert all(without - saving == paid for without, paid, saving in (*homes, total))


def test_the_csv_of_the_bills_holds_the_bills(finished: RunResult, html: str) -> None:
    csv = downloads(html)["bills"].set_index("home")
    bills = finished.bills()
    pd.testing.assert_frame_equal(csv.loc[bills.index], bills, check_names=False, check_exact=False)


def test_the_csv_of_the_prices_has_every_interval_and_gaps_where_nothing_was_traded(
    finished: RunResult, html: str
) -> None:
    csv, intervals = downloads(html)["prices"], finished.table("intervals")
    assert len(csv) == len(intervals) == 48
    assert csv["uniform_price"].isna().tolist() == (intervals["traded_wh"] == 0).tolist()
    assert csv["uniform_price"].isna().any()


def test_a_missing_value_is_a_dash_with_a_sentence_and_never_0(street: Path, tmp_path: Path) -> None:
    scenario = ws.load(street, overrides=["market.mechanism=retailer_only"])
    html = html_of(story_of(ws.run(scenario, out=tmp_path).path))
    text = Page(html).text
    assert "Nothing was traded with retailer_only, so there is no price" in text["verdict"]
    assert (
        f"{DASH} stands for average price of no market, retailer_only: nothing was traded."
        in text["comparison"]
    )
    assert "nothing was traded, so there is no price" in text["curve"]
    assert downloads(html)["prices"]["retailer_only"].isna().all()


def test_names_cannot_break_out_of_the_page(compared: str) -> None:
    page = Page(compared)
    scripts = page.all("script")
    figures = sum("data-figure" in a for a in scripts)
    assert len(scripts) == figures + 2
    assert not page.all("img")
    for name in (NASTY, NASTY_ATTRIBUTE):
        assert name not in without_plotly(compared)
        assert name in page.text["bills"]
    assert NASTY in page.text["provenance"]
    assert not [a for _, a in page.elements if any(str(key).startswith("on") for key in a)]


def test_names_of_a_scenario_are_shown_and_do_nothing(tmp_path: Path) -> None:
    folder = write_street(tmp_path / "street", days=1)
    readings = (folder / "meter.csv").read_text().replace("home-2", NASTY)
    (folder / "meter.csv").write_text(readings)
    html = html_of(story_of(ws.run(folder, out=tmp_path).path))
    assert NASTY not in without_plotly(html)
    assert NASTY in Page(html).text["bills"]


def test_no_cell_of_a_csv_is_a_formula() -> None:
    frame = pd.DataFrame(
        {"value": ["=1+1", "-2", "plain", None], "number": [-1.0, 2.0, 3.0, None]}, index=list("abcd")
    )
    text = base64.b64decode(csv_uri(frame).partition(",")[2]).decode()
    assert text.splitlines() == ["index,value,number", "a,'=1+1,-1", "b,'-2,2", "c,plain,3", "d,,"]


def test_a_long_table_shows_its_first_rows_and_the_csv_has_all() -> None:
    from wattswap.report.page import data_beside

    frame = pd.DataFrame({"n": range(1_500)})
    html = data_beside("long", "Many rows.", frame)
    assert len(Page(html).all("tr")) == 1_001
    assert "The first 1000 rows; the CSV file has all 1500." in html
    assert len(downloads(html)["long"]) == 1_500


def test_cells_of_a_table_are_written_for_people() -> None:
    frame = pd.DataFrame({"a": [1234, None], "b": ["<b>", 0.0]}, index=["x", "y"], dtype=object)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", table("Words.", frame))
    assert cells == ["1,234", "&lt;b&gt;", DASH, "0.0000"]


def test_a_report_is_not_overwritten_without_force(finished: RunResult, tmp_path: Path) -> None:
    from wattswap.errors import AlreadyExists

    path = tmp_path / "mine.html"
    assert finished.report(path) == path
    path.write_text("mine")
    with pytest.raises(AlreadyExists, match="exists already"):
        finished.report(path)
    assert path.read_text() == "mine"
    assert finished.report(path, force=True).stat().st_size > 1_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["mine.html"]


def test_a_report_in_the_folder_of_a_run_leaves_the_run_verifiable(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ws.run(street, out=tmp_path)
    done = call(capsys, "report", run.path)
    assert (done.code, done.out.strip()) == (0, str(run.path / "report.html"))
    assert ws.verify(run.path)["ok"]


def test_the_chain_is_verified_before_it_is_said_to_hold(html: str, finished: RunResult) -> None:
    text = Page(html).text["chain"]
    assert "all 48 blocks" in text
    assert finished.manifest["chain"]["head"] in text
    assert "wattswap run SCENARIO --mechanism" in Page(html_of(story())).text["chain"]


@pytest.mark.parametrize(
    ("zone", "last"),
    [("Asia/Kolkata", "Thu 04 Jun 2026 04:30 (Asia/Kolkata)"), (None, "Wed 03 Jun 2026 23:00 (UTC)")],
)
def test_the_chain_has_local_times(zone: str | None, last: str, finished: RunResult) -> None:
    told = story_of(finished.path)
    told = replace(told, scenario={**told.scenario, "time": {**told.scenario["time"], "zone": zone}})
    assert f"last settled interval{last} bytes" in " ".join(Page(html_of(told)).text["chain"].split())


def test_the_report_of_a_week_of_the_street_stays_small(tmp_path: Path) -> None:
    result = ws.run(ws.demo(), out=tmp_path)
    assert result.report().stat().st_size < 6_000_000
