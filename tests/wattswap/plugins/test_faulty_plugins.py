"""Whatever a third-party plug-in does, the user gets one sentence and the code of invalid input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.kits.plugin_kit import clean_registries, written
from tests.kits.run_kit import call, files_below, refused

__all__ = ["clean_registries"]
pytestmark = pytest.mark.usefixtures("clean_registries")
QUICK = ["--set", "time.intervals=2", "--set", "homes.strategy=truthful"]
"""Of the demo, without quantiles of forecasts."""

MECHANISM = """
from dataclasses import replace
from market.auctions.uniform import clear_exact
from market.mechanism import MECHANISMS, Mechanism, Promises
def clear(book, rules):
    base = clear_exact(book, rules)
    {body}
MECHANISMS.register(Mechanism("faulty", clear, Promises(source="a test")), contract=1)
"""
STRATEGY = """
from dataclasses import replace
from agents.bidding import STRATEGIES, Strategy, one_order_a_home
def bid(state, view):
    orders = one_order_a_home(view.net_wh, 1, 1)
    {body}
STRATEGIES.register(Strategy("faulty", bid, "a test"), contract=2)
"""
FORECASTER = """
import numpy as np
from agents.forecast import FORECASTERS, Forecast, Forecaster
def predict(model, horizon):
    net_wh = np.zeros((horizon.steps, horizon.known.net_wh.shape[1]), dtype=np.int64)
    {body}
FORECASTERS.register(Forecaster("faulty", lambda known: 1, predict, "a test"), contract=2)
"""
LEARNER = """
from agents.bidding import STRATEGIES, Strategy, one_order_a_home
def bid(state, view):
    return one_order_a_home(view.net_wh, view.prices.buy_cap_micro_per_kwh, view.prices.feed_in_micro_per_kwh)
def learn(state, outcome):
    {body}
    return state
STRATEGIES.register(Strategy("faulty", bid, "a test", learn=learn), contract=2)
"""
CONTROLLER = """
from agents.control import CONTROLLERS, Controller
def command(plan, moment, fleet, state, net_wh):
    {body}
CONTROLLERS.register(Controller("faulty", command, "a test"), contract=1)
"""
METRIC = """
import numpy as np
from market.metrics.table import metric
@metric(unit="kWh")
def faulty(result):
    {body}
"""


@pytest.mark.parametrize(
    ("text", "body", "phrase"),
    [
        (MECHANISM, "raise RuntimeError('bo\\nom')", "line 7 of faulty: runtimeerror: bo om"),
        (MECHANISM, "raise SystemExit(0)", "line 7 of faulty: systemexit: 0"),
        (MECHANISM, "raise BrokenPipeError", "line 7 of faulty: brokenpipeerror"),
        (MECHANISM, "class Unusual(BaseException): pass\n    raise Unusual", "line 8 of faulty: unusual"),
        (MECHANISM, "import numpy as np; return replace(base, node_price=np.zeros(2))", "node_price must be a tuple"),
        (STRATEGY, "view.net_wh[:] = 0", "line 6 of faulty: valueerror: assignment destination is read-only"),
        (STRATEGY, "view.words[:] = 0", "line 6 of faulty: valueerror: assignment destination is read-only"),
        (CONTROLLER, "net_wh[:] = 0; return 0 * net_wh", "valueerror: assignment destination is read-only"),
        (MECHANISM, "return None", "what faulty returns: infeasibleclearing: returns a nonetype; it must be"),
        (MECHANISM, "return replace(base, node_price=())", "a clearing without a node"),
        (MECHANISM, "return replace(base, accepted_wh=base.accepted_wh + 10**9)", "infeasibleclearing"),
        (MECHANISM, "book.energy_wh.flags.writeable = True; return base", "line 7 of faulty: valueerror: cannot set"),
        (MECHANISM, "class X(BaseException): pass\n    raise X", "line 8 of faulty: x"),
        (MECHANISM, "raise ValueError('\\x1b[31m' + 'a' * 400)", r"valueerror: \x1b[31m" + "a" * 292 + "...; correct"),
        (MECHANISM, "return replace(base, accepted_wh=base.accepted_wh * 1.0)", "accepted_wh is of type float64"),
        (MECHANISM, "return replace(base, welfare_nano=float('nan'))", "welfare_nano is of type float"),
        (MECHANISM, "return replace(base, node_price=('x',))", "a tuple of price intervals of ints"),
        (MECHANISM, "return replace(base, later_prices=(1,))", "a tuple of price intervals of ints"),
        (MECHANISM, "return replace(base, trades=7)", "trades is of type int"),
        (MECHANISM, "return replace(base, charge_nano=base.accepted_wh[:0])", "charge_nano has the shape (0,)"),
        (STRATEGY, "return replace(orders, side=orders.side * 5)", "a side that is neither 1 (buy) nor -1 (sell)"),
        (STRATEGY, "return replace(orders, energy_wh=orders.energy_wh - 10**9)", "negative energy"),
        (STRATEGY, "return replace(orders, energy_wh=orders.energy_wh.astype('u8'))", "not whole numbers"),
        (STRATEGY, "view.known.net_wh[:] = 0", "line 6 of faulty: valueerror: assignment destination is read-only"),
        (STRATEGY, "view.homes[:] = 0", "line 6 of faulty: valueerror: assignment destination is read-only"),
        (FORECASTER, "return Forecast((1, 500000), [net_wh[:1], net_wh])", "no whole number of wh per step and home"),
        (FORECASTER, "return Forecast((1,), net_wh[None])", "gives no median"),
        (METRIC, "result.bills['bought_wh'][:] = 0", "line 6 of faulty: valueerror: assignment destination is read-"),
        (STRATEGY, "raise SystemExit(0)", "bidding strategy 'faulty' fails in line 6 of faulty: systemexit"),
        (STRATEGY, "return None", "what faulty returns"),
        (STRATEGY, "return replace(orders, energy_wh=orders.energy_wh + 0.5)", "not whole numbers"),
        (FORECASTER, "raise SystemExit(0)", "forecaster 'faulty' fails in line 6 of faulty"),
        (FORECASTER, "return Forecast.point(net_wh[:, :1])", "no whole number of wh per step and home"),
        (FORECASTER, "return Forecast.point(net_wh * 0.5)", "no whole number of wh per step and home"),
        (METRIC, "return 1 / 0", "metric 'faulty' fails in line 6 of faulty: zerodivisionerror"),
        (METRIC, "return float('inf')", "inf is not a finite number"),
        (METRIC, "return 'words'", "'words' is not a finite number"),
        (METRIC, "raise SystemExit(0)", "line 6 of faulty: systemexit"),
    ],
)  # fmt: skip
def test_a_plugin_that_fails_in_a_run_is_told_in_one_sentence(
    text: str, body: str, phrase: str, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path, "faulty.py", text.format(body=body))
    chosen = {
        MECHANISM: "market.mechanism",
        STRATEGY: "homes.strategy",
        CONTROLLER: "homes.control",
        FORECASTER: "homes.forecast",
    }
    key = chosen.get(text)
    done = call(
        capsys, "run", street, "--module", module, *(["--set", f'{key}="faulty"'] if key else []),
        "--set", "time.intervals=2", "--quiet", "--out", tmp_path / "runs",
    )  # fmt: skip
    assert (done.code, done.out) == (3, ""), done.err
    assert phrase in done.err.lower()
    assert done.err.count("\n") == 1
    assert files_below(tmp_path / "runs") == []


def test_a_rule_of_ones_own_that_ends_the_program_is_a_plugin_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "from market.mechanism import MECHANISMS\nfrom optimizer.own_rule import own_rule\n"
    build = "def build(structure):\n    raise SystemExit(0)\n"
    rule = f"{head}{build}MECHANISMS.register(own_rule('faulty', build, 'a test'))\n"
    done = call(
        capsys, "run", "demo", "--module", written(tmp_path, "faulty.py", rule), "--mechanism", "faulty",
        *QUICK, "--quiet", "--out", tmp_path / "runs",
    )  # fmt: skip
    refused(done, 3, "mechanism 'faulty' fails in line 4 of faulty: systemexit: 0")


def test_what_a_device_says_of_its_keys_cannot_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """
from dataclasses import dataclass
from agents.devices import DEVICES, Device, Key
@dataclass
class Tank:
    volume_wh: int
    def __post_init__(self):
        raise ValueError("is\\n\\x1b[31mwrong.")
keys = (Key("volume_kwh", "volume_wh", "energy", "Heat, in kWh."),)
DEVICES.register(
    Device(name="tank", keys=keys, spec=Tank, fleet=lambda specs, minutes: None, summary="a test"), contract=1
)
"""
    module = written(tmp_path, "tank.py", text)
    done = call(
        capsys, "run", "demo", "--module", module, "--set", "homes.tank.home-01.volume_kwh=1", "-q",
        "--out", tmp_path / "runs",
    )  # fmt: skip
    refused(done, 3, r"is \x1b[31mwrong")
    assert "\x1b" not in done.err


def test_a_strategy_that_learns_cannot_change_the_clearing_of_a_mechanism(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The mechanism returns arrays that could be written, and they are settled after homes have learned."""
    text = MECHANISM.format(body="return replace(base, accepted_wh=base.accepted_wh.copy())")
    text += LEARNER.format(body="outcome.quotes.accepted_wh[:] = 0")
    done = call(
        capsys, "run", "demo", "--module", written(tmp_path, "faulty.py", text), "-m", "faulty",
        "--set", "homes.strategy=faulty", "--set", "time.intervals=2", "--quiet", "--out", tmp_path / "runs",
    )  # fmt: skip
    refused(done, 3, "bidding strategy 'faulty' fails in line", "assignment destination is read-only")


def test_clear_checks_what_a_mechanism_returns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = MECHANISM.format(body="return replace(base, accepted_wh=3 * book.energy_wh)")
    orders = [
        {"id": "b", "participant": "x", "side": "buy", "quantity_kwh": 1, "price_per_kwh": 0.3},
        {"id": "s", "participant": "y", "side": "sell", "quantity_kwh": 1, "price_per_kwh": 0.1},
    ]
    case = written(tmp_path, "case.json", json.dumps({"orders": orders}))
    done = call(capsys, "clear", case, "-m", "faulty", "--module", written(tmp_path, "faulty.py", text))
    assert done.code == 3
    assert "accepted outside 0..energy" in done.out + done.err


@pytest.mark.parametrize("ends", ["raise SystemExit(0)", "sys.exit()", "exit()"])
def test_a_command_that_a_plugin_ends_has_not_succeeded(
    ends: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outside of every check of plug-ins, as a function that replaces one of ours is."""
    text = f"import sys\ndef leave(*_):\n    {ends}\n" + MECHANISM.format(body="return base")
    module = written(tmp_path, "faulty.py", text)
    assert call(capsys, "list", "mechanisms", "--module", module).code == 0
    monkeypatch.setattr("wattswap.cli.output.print_json", sys.modules["faulty"].leave)
    done = call(capsys, "list", "mechanisms", "--json")
    assert done.code == 3
    assert "raises SystemExit" in done.out


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_metric_that_fails_in_a_comparison_leaves_nothing_behind(
    jobs: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path, "faulty.py", METRIC.format(body="return 1 / 0"))
    done = call(
        capsys, "compare", "demo", "--module", module, "-m", "pay_as_bid", *QUICK,
        "--jobs", jobs, "--quiet", "--out", tmp_path / "compared",
    )  # fmt: skip
    refused(done, 3, "metric 'faulty' fails in line 6 of faulty: zerodivisionerror")
    assert files_below(tmp_path / "compared") == []


def test_a_worker_that_ends_by_itself_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path, "faulty.py", MECHANISM.format(body="import os; os._exit(0)"))
    done = call(
        capsys, "compare", "demo", "--module", module, "-m", "faulty", *QUICK,
        "--jobs", 2, "--quiet", "--out", tmp_path / "compared",
    )  # fmt: skip
    refused(done, 3, "one of the processes has ended by itself", "--jobs 1")


def test_a_number_of_numpy_is_a_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = written(tmp_path, "faulty.py", METRIC.format(body="return np.int64(3)"))
    done = call(capsys, "run", "demo", "--module", module, *QUICK, "--json", "--out", tmp_path)
    assert done.code == 0, done.err
    assert '"faulty": 3' in done.out


@pytest.mark.parametrize(
    ("registered", "phrase"),
    [
        ("object()", "is of the class object, not Mechanism"),
        ("Mechanism(7, min, P)", "has no name"),
        ("Mechanism('../x', min, P)", "has no name"),
        ("Mechanism('a:k=1', min, P)", "has no name"),
        ("Mechanism('x', None, P)", "clear=None, which is no Callable"),
        ("Mechanism('x', min, None)", "promises=None, which is no Promises"),
        ("Mechanism('x', min, P, parameters=(7,))", "parameters=(7,), which is no tuple of Parameter"),
        ("Mechanism('x', min, P, order_kinds=7)", "order_kinds=7, which is no frozenset"),
        ("Mechanism('x', min, P, inputs='y')", "inputs='y', which is none of book, metered"),
        ("Mechanism('x', min, Promises(source=7))", "has a promise that has source=7, which is no str"),
        ("Mechanism('x', min, P, parameters=(parameter('y'),))", "has a parameter that has kind='y'"),
        (
            "Mechanism('x', min, P, parameters=(parameter('choice'),))",
            "default of the parameter 'p' is 0, which",
        ),
        ("Mechanism('x', min, P, parameters=(parameter('whole'),) * 2)", "two parameters of one name"),
        ("Mechanism('x' * 65, min, P)", "has no name of at most 64 letters"),
    ],
)
def test_what_is_no_plugin_is_refused_when_it_registers(
    registered: str, phrase: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "from market.mechanism import MECHANISMS, Mechanism, Promises\nP = Promises(source='a test')\n"
    text += "from market.parameters import Parameter\n"
    text += "def parameter(kind): return Parameter(name='p', field='p', kind=kind, default=0, summary='')\n"
    module = written(tmp_path, "faulty.py", f"{text}MECHANISMS.register({registered})\n")
    done = call(capsys, "list", "mechanisms", "--module", module)
    assert (done.code, done.out) == (3, "")
    assert phrase in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "what", ["raise GeneratorExit", "raise ValueError('a\\nb')", "import sys; sys.exit(0)"]
)
def test_a_file_that_ends_the_process_is_refused(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = call(capsys, "list", "mechanisms", "--module", written(tmp_path, "faulty.py", what))
    assert (done.code, done.out) == (3, "")
    assert "cannot be imported" in done.err
    assert done.err.count("\n") == 1
