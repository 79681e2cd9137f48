"""A node starts, trades and settles without the packages of reports, frames and models."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.kits.run_kit import python
from tests.kits.sample_kit import sample_of

ROOT = Path(__file__).parents[3]
LEFT_OUT = {"pandas", "plotly", "pyomo", "joblib"}

IN_MEMORY = """
import json, sys
from pathlib import Path

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {left_out}:
            raise ModuleNotFoundError(f"{{name}} is not part of the slim install")

sys.meta_path.insert(0, Refuse())

from tests.kits.town_kit import play_in_memory
from wattswap.cli import main
from wattswap.nodes.config import load_config
from wattswap.nodes.live import Topology
from wattswap.nodes.stats import read_stats

folder = Path({folder!r})
settings = [*("--set", "time.intervals=4"), *("--pace-seconds", "2"), *("--begin", "1970-01-01T00:00Z")]
try:
    main(["node", "init", {street!r}, str(folder), *settings])
except SystemExit as end:
    assert end.code == 0
configs = [load_config(place) for place in sorted(folder.iterdir())]
configs.sort(key=lambda config: config.role != "validator")
play_in_memory(configs, Topology(), 4, None)
lines = list(read_stats(config.data_path for config in configs))
print(json.dumps(sorted({{line["interval_start"] for line in lines if line.get("what") == "settled"}})))
"""
STARTED = """
import json, sys
from wattswap.nodes import service

async def run_node(config, keys, world):
    from wattswap.nodes.roles import prepared
    setup = prepared(config)
    for home in config.households:
        setup.community(setup.roster.index(home))
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))

service.run_node = run_node
from wattswap.cli import main
main(["node", "run", {folder!r}])
"""


def test_a_network_settles_without_them(street: Path, tmp_path: Path) -> None:
    done = python(IN_MEMORY.format(left_out=LEFT_OUT, folder=str(tmp_path / "net"), street=str(street)))
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])) == 4


@pytest.mark.parametrize("role", sample_of(["validator-0", "operator-0", "gateway-0"], ["operator-0"]))
def test_a_node_that_starts_imports_none_of_them(role: str, street: Path, tmp_path: Path) -> None:
    made = python(
        f"from wattswap.cli import main; main(['node', 'init', {str(street)!r}, 'net', '--gateways', '1'])",
        tmp_path,
        PYTHONPATH=str(ROOT),
    )
    assert made.returncode == 0, made.stderr
    started = python(STARTED.format(folder=str(tmp_path / "net" / role)))
    assert started.returncode == 0, started.stderr
    imported = set(json.loads(started.stdout.splitlines()[-1]))
    assert "trio" in imported
    assert not LEFT_OUT & imported


def test_the_short_requirements_are_those_of_the_project_without_them() -> None:
    text = (ROOT / "requirements-node.txt").read_text(encoding="utf-8")
    short = {line for line in text.splitlines() if not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert short == {line for line in project if Requirement(line).name not in LEFT_OUT}
