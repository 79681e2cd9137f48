"""docs/tutorials/walk.md: every number on the page is what the code gives, and some are computed by hand."""

from __future__ import annotations

import hashlib
import re
import struct
from importlib import import_module
from pathlib import Path

import pytest

from tests.kits.docs_kit import Shown, differs, fenced, run_page

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "walk.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    return run_page(PAGE, tmp_path_factory.mktemp("walk"))


def outputs(shown: list[Shown]) -> str:
    return "\n".join(line for one in shown for line in one.actual)


def column(shown: list[Shown], name: str) -> list[int]:
    """The numbers behind a label in the outputs."""
    found = re.search(rf"^{name} +(-?\d[-\d ]*)", outputs(shown), re.MULTILINE)
    assert found is not None, name
    return [int(word) for word in found[1].split()]


def digest(shown: list[Shown], label: str) -> str:
    """The hash behind a label in the outputs."""
    found = re.search(rf"^{label} +([0-9a-f]{{32,64}})$", outputs(shown), re.MULTILINE)
    assert found is not None, label
    return found[1]


def test_every_output_on_the_page_is_what_the_code_prints(shown: list[Shown]) -> None:
    wrong = [
        f"line {one.first + 1}: {difference}"
        for one in shown
        if (difference := differs(one.expected or [], one.actual))
    ]
    assert not wrong, "\n".join(
        [*wrong, "python -m tests.kits.docs_kit docs/tutorials/walk.md writes the page again"]
    )


def test_every_number_in_the_text_comes_out_of_the_code(shown: list[Shown]) -> None:
    """Numbers of prose and overview occur in an output, or are an input in the page's Python."""
    blocks = fenced(TEXT.splitlines())
    inside = {block.first + n for block in blocks if block.language for n in range(-1, len(block.lines))}
    prose = " ".join(line for n, line in enumerate(TEXT.splitlines()) if n not in inside)
    known = outputs(shown) + " ".join(one.what for one in shown).replace("_", "")
    numbers = set(re.findall(r"(?<![\w./-])\d{3,}(?![\w/-]|\.\d)", prose))
    assert len(numbers) > 15
    # The beginning of a hash may have digits alone.
    assert not [
        n for n in sorted(numbers) if not re.search(rf"(?<!\d){n}(?!\d)|\b{n}[0-9a-f]{{24,56}}\b", known)
    ]
    bills = re.findall(r"(0\.\d{4,}) GBP", prose)
    assert bills
    assert not [bill for bill in bills if str(round(float(bill) * 10**9)) not in known]
    roots = set(re.findall(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{8,}\b", prose))
    roots |= set(re.findall(r"-> block ([0-9a-f]{8})\b", prose))
    assert len(roots) >= 5
    assert not [root for root in sorted(roots) if root not in known]


def test_every_function_named_in_a_heading_exists() -> None:
    names = re.findall(r"^## .*$", TEXT, re.MULTILINE)
    dotted = [name for heading in names for name in re.findall(r"`([a-z0-9_]+(?:\.\w+)+)`", heading)]
    assert len(dotted) >= 11
    for name in dotted:
        parts = name.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            try:
                thing: object = import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            break
        for part in parts[cut:]:
            thing = getattr(thing, part)
        assert callable(thing), name


def test_the_order_follows_from_the_meter_rows_by_hand(shown: list[Shown]) -> None:
    assert column(shown, "row 97")[0] == (226 + 254) // 2
    # 120 Wh out of the battery, twice: the draw is rounded up to a whole uWh each time.
    draw_uwh = -(-120 * 10**12 // 950_000)
    assert column(shown, "stored")[1] == 1_000_000_000 - 2 * draw_uwh
    assert "house-2 1 240 231000" in outputs(shown)
    assert 231_000 == 211_000 + 40_000 - 20_000


def test_the_postings_can_be_done_on_paper(shown: list[Shown]) -> None:
    price = (95_000 + 231_000) // 2
    assert column(shown, "trade_nano") == [-240 * price, 0, 240 * price, 0, 0, 0]
    # 95 half hours before 13 June, 00:00 in London, of which the last is not yet known.
    weight_wh = [95 * 200 + 26 + 54, 95 * 120, 95 * 240]
    gain_nano = 10 * (231_000 - 95_000)
    share_nano = [round(gain_nano * weight / sum(weight_wh)) for weight in weight_wh]
    assert sum(share_nano) == gain_nano
    paid_nano = [-10 * 231_000, 0, 10 * 95_000]
    assert column(shown, "weight_wh") == weight_wh
    assert column(shown, "imbalance_nano") == [
        *(paid + share for paid, share in zip(paid_nano, share_nano, strict=True)),
        0,
        0,
        0,
    ]
    assert column(shown, "retail_nano") == [-13 * 211_000, 0, 0, 13 * 211_000, 0, 0]
    fee = 250 * 20_000 + 13 * 40_000
    assert column(shown, "grid_fee_nano") == [-fee, 0, 0, 0, fee, 0]


def test_the_leaf_is_a_plain_hash_of_the_printed_numbers(shown: list[Shown]) -> None:
    """The layout of docs/reference/protocol/chain-format.md, section 4.3, without any code of ours."""
    names = (
        "import_wh export_wh bought_wh sold_wh local_wh retail_import_wh retail_export_wh loss_wh"
        " trade_nano imbalance_nano retail_nano grid_fee_nano"
    ).split()
    salt = bytes.fromhex(digest(shown, "salt of house-2"))
    entry = struct.pack(">I12q", 0, *(column(shown, name)[0] for name in names))
    assert hashlib.sha256(b"\x00\x07" + salt + entry).hexdigest() == digest(shown, "leaf of house-2")


def test_the_book_root_is_a_plain_hash_of_the_printed_orders(shown: list[Shown]) -> None:
    """Section 4.1 of docs/reference/protocol/chain-format.md: two leaves and one node."""
    orders = re.findall(r"^(house-\d) (BUY|SELL) (\d+) (\d+) sequence (\d+)$", outputs(shown), re.MULTILINE)
    leaves = []
    for home, side, energy, limit, sequence in orders:
        name = hashlib.sha256(b"wattswap/household/1\0" + home.encode()).digest()
        numbers = (1_781_307_000, int(sequence), 1 if side == "BUY" else -1, int(energy), int(limit), 0)
        leaves.append(hashlib.sha256(b"\x00\x02" + name + struct.pack(">6q", *numbers)).digest())
    assert len(leaves) == 2
    assert hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).hexdigest() == digest(shown, "book root")
