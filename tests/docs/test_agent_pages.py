"""The pages of mechanisms of agents: the cases worked by hand on them come out of the code, and prove what they say."""

from __future__ import annotations

import pytest

from tests.docs.test_mechanism_pages import PAGES, worked
from wattswap.cases.agents_proof import check_agents
from wattswap.cases.contract import clear_case
from wattswap.inputs.no_run import OF_AGENTS

PARAMETERS = {
    "bilateral": ("method", "tolerance", "max_iterations", "rho", "over_relaxation"),
    "community_manager": ("import_cost", "export_revenue", "external"),
}


@pytest.mark.parametrize("name", OF_AGENTS)
def test_the_worked_cases_come_out_of_the_code(name: str) -> None:
    cases = worked(name)
    assert len(cases) == 3
    for case, shown in cases:
        result = clear_case(case, name)
        assert result["objective"] == pytest.approx(shown.pop("objective", result["objective"]))
        assert {key: result[key] for key in shown} == shown
        proof = check_agents(case, result)
        assert proof.holds
        assert proof.gap < 1e-6


@pytest.mark.parametrize("name", OF_AGENTS)
def test_a_page_names_parameters_promises_and_the_source(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    for part in ("**Promises.**", "Source:", "## When to use", *(f"`{key}`" for key in PARAMETERS[name])):
        assert part in text
    assert f"[{name}]({name}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")


def test_the_negotiated_result_of_the_page_is_the_central_one() -> None:
    for case, shown in worked("bilateral"):
        result = clear_case({**case, "params": {"method": "admm"}}, "bilateral")
        assert [trade["quantity_kwh"] for trade in result["trades"]] == pytest.approx(
            [trade["quantity_kwh"] for trade in shown["trades"]], abs=0.002
        )
