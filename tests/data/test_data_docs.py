"""The user's page explains every finding that the code can report."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "meter-files.md").read_text(encoding="utf-8")


def codes_in(source: str) -> set[str]:
    """Strings that follow a severity in a call or a tuple, or occur in a call of `report`."""
    codes: set[str] = set()
    for made in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Tuple)):
        for severity, code in pairwise(
            one.value if isinstance(one, ast.Constant) else None for one in made.elts
        ):
            if severity == "warning" and isinstance(code, str):
                codes.add(code)
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        texts = [arg.value if isinstance(arg, ast.Constant) else None for arg in call.args]
        for severity, code in pairwise(texts):
            if severity in ("error", "warning") and isinstance(code, str):
                codes.add(code)
        if isinstance(call.func, ast.Name) and call.func.id in ("_report", "report"):
            codes.update(text for text in texts if isinstance(text, str))
        if isinstance(call.func, ast.Attribute) and call.func.attr == "_error" and isinstance(texts[0], str):
            codes.add(texts[0])
    return codes


def test_each_finding_has_a_row_on_the_page_and_the_other_way_round() -> None:
    # Files of grids are no meter files: their findings are sentences of `wattswap grid check`.
    files = [file for file in (ROOT / "data").rglob("*.py") if "grids" not in file.parts]
    used = set().union(*(codes_in(file.read_text(encoding="utf-8")) for file in files))
    findings = PAGE[PAGE.index("## Findings about the file") : PAGE.index("## In Python")]
    explained = set(re.findall(r"^\| `(\w+)`(?: \(warning\))? \|", findings, flags=re.MULTILINE))
    assert len(used) > 25
    assert used == explained


def test_the_example_of_the_page_loads_as_it_stands(tmp_path: Path) -> None:
    from data import formats

    example = re.search(r"```\n(timestamp,.*?)```", PAGE, flags=re.DOTALL)
    assert example is not None
    path = tmp_path / "meter.csv"
    path.write_text(example[1])
    assert formats.load(path).import_wh.tolist() == [[263, 88], [190, 91]]
