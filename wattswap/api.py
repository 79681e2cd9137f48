"""The Python API: run a scenario, clear a book, register a mechanism."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from market.book import Order, OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises, clear_checked
from market.rules import MarketRules
from wattswap.errors import InvalidScenario
from wattswap.runs import engine
from wattswap.runs.checked import with_later_faults
from wattswap.runs.layout import COMPARISON, COMPARISONS, RUNS

if TYPE_CHECKING:
    import pandas as pd

    from wattswap.comparison.plan import Point
    from wattswap.comparison.runner import OnCell
    from wattswap.results import BatterySizes, Comparison, RunResult
    from wattswap.scenario.load import Scenario
    from wattswap.sizing.study import OnStep

Clear = Callable[[OrderBook, MarketRules], Clearing]


def run(
    scenario: Scenario | Path | str,
    *,
    meter: pd.DataFrame | None = None,
    out: Path | str = RUNS,
    on_progress: engine.OnProgress | None = None,
) -> RunResult:
    """Run a scenario, or the scenario file at this path, in this process.

    Args:
        scenario: What to run.
        meter: Readings instead of the scenario's own: see `wattswap.inputs.frame.write_frame`. They are kept in a
            file in `out`, from which the run can be verified.
        out: Folder under which the run's own folder is made.
        on_progress: Called after each interval with the number done, the total number and the last price.

    Raises:
        WattswapError: All errors of scenario and data, at once.
    """
    loaded = _loaded(scenario, meter, out)
    return _result(engine.run(loaded, out=out, on_progress=on_progress).path)


def resume(path: Path | str, *, on_progress: engine.OnProgress | None = None) -> RunResult:
    """Continue a run that was interrupted or killed, to the same hashes as if it had not been.

    Raises:
        RunNotFound: The folder is not an unfinished run.
        RunBusy: Another process is working on it.
        VerificationFailed: The meter data have changed since the run began.
    """
    return _result(engine.resume(path, on_progress=on_progress).path)


def _loaded(
    scenario: Scenario | Path | str, meter: pd.DataFrame | None, out: Path | str, *, in_common: bool = True
) -> Scenario:
    """A scenario, with the readings of a frame where one is given."""
    from wattswap.scenario.load import load

    try:
        loaded = load(scenario) if isinstance(scenario, Path | str) else scenario
    except InvalidScenario as error:
        raise error if meter is not None else with_later_faults(error, in_common=in_common) from None
    if meter is None:
        return loaded
    from wattswap.inputs.frame import write_frame

    file = write_frame(meter, Path(out)).resolve()
    data = loaded.data.model_copy(update={"sample": None, "path": str(file), "format": "plain"})
    return loaded.model_copy(update={"data": data})


def _result(folder: Path) -> RunResult:
    from wattswap.results import RunResult

    return RunResult(folder)


def compare(
    scenario: Scenario | Path | str,
    mechanisms: Sequence[str] | str = (),
    *,
    meter: pd.DataFrame | None = None,
    seeds: Iterable[int] | int | None = None,
    jobs: int = 1,
    resample: str | None = None,
    out: Path | str = COMPARISONS,
    on_cell: OnCell | None = None,
) -> Comparison:
    """Compare mechanisms on the same homes, forecasts and seeds; finished cells are not recomputed.

    Args:
        scenario: A scenario, or the path of its file.
        mechanisms: Names, or NAME:parameter=value; every registered one when left out. The baseline `retailer_only` and
            the upper bound `welfare_optimum` are always included.
        meter: Readings instead of the scenario's own, as `run` takes them.
        seeds: Seeds of all random draws, or their number from the scenario's own upwards; the scenario's when left out.
        jobs: Number of processes.
        resample: What the intervals of `.frame` and `.differences` cover: "weeks", "homes" or "homes:N"; the seeds
            when left out. Drawn homes are runs of their own, 20 or N for each.
        out: Folder under which the comparison's own folder is made or extended.
        on_cell: Called for each finished cell.

    Raises:
        WattswapError: All errors of mechanisms, scenario and data, at once.
    """
    from wattswap.comparison.plan import BASE, Point

    loaded = _loaded(scenario, meter, out)
    return _compared([Point(BASE, {}, loaded)], mechanisms, seeds, jobs, out, resample, on_cell)


def sweep(
    scenario: Scenario | Path | str,
    vary: Mapping[str, Iterable[object] | str],
    mechanisms: Sequence[str] | str = (),
    *,
    meter: pd.DataFrame | None = None,
    seeds: Iterable[int] | int | None = None,
    jobs: int = 1,
    resample: str | None = None,
    out: Path | str = COMPARISONS,
    on_cell: OnCell | None = None,
) -> Comparison:
    """Compare mechanisms over a grid of settings: one row a point and mechanism in `.frame`, drawn by `.plot.sweep()`.

    ws.sweep("street.toml", {"homes.battery_kwh": "0:20:5", "tariff.feed_in_per_kwh": [0.04, 0.08]}, "uniform_price")

    Args:
        scenario: A scenario, or the path of its file.
        vary: By key of the scenario its values, or a text as `--vary` takes it; the key "case" takes names of cases.
        mechanisms: As `compare` takes them.
        meter: Readings instead of the scenario's own, as `run` takes them.
        seeds: As `compare` takes them.
        jobs: Number of processes.
        resample: As `compare` takes it.
        out: Folder under which the comparison's own folder is made or extended.
        on_cell: Called for each finished cell.

    Raises:
        WattswapError: All errors of the grid, mechanisms, scenarios and data, at once.
    """
    from wattswap.comparison.grid import axes_of, points_of
    from wattswap.scenario.load import changed, load

    base = _loaded(scenario, meter, out)

    def at(case: str | None, extra: list[str], typed: Mapping[str, str]) -> Scenario:
        if case is None:
            return changed(base, extra, typed)
        return load(base.source.file, case, [*base.source.overrides, *extra], typed=typed)

    points = points_of(axes_of(vary), at)
    return _compared(points, mechanisms, seeds, jobs, out, resample, on_cell)


def _compared(
    points: Sequence[Point],
    mechanisms: Sequence[str] | str,
    seeds: Iterable[int] | int | None,
    jobs: int,
    out: Path | str,
    resample: str | None,
    on_cell: OnCell | None,
) -> Comparison:
    """Run what is missing of a comparison, and of the draws for its intervals."""
    from wattswap.comparison import runner
    from wattswap.comparison.again import drawn_plan
    from wattswap.comparison.plan import make_plan
    from wattswap.comparison.resample import read_resample
    from wattswap.results import Comparison
    from wattswap.selection import read_choices

    asked, first = read_resample(resample), points[0].scenario.seed
    if isinstance(seeds, int):
        seeds = range(first, first + seeds)
    chosen = [first] if seeds is None else list(seeds)
    choices = read_choices([mechanisms] if isinstance(mechanisms, str) else list(mechanisms))
    plan = make_plan(points, choices, chosen)
    again, labels = drawn_plan(plan, asked), [choice.label for choice in choices]
    folder = runner.compare(plan, Path(out), jobs=jobs, on_cell=on_cell)
    drawn = None
    if again is not None:
        drawn = Comparison(runner.compare(again, Path(out), jobs=jobs, on_cell=on_cell), labels, chosen)
    return Comparison(folder, labels, chosen, asked, drawn)


def size_battery(
    scenario: Scenario | Path | str,
    sizes: str | Iterable[float] | None = None,
    *,
    meter: pd.DataFrame | None = None,
    power_per_kwh: float | None = None,
    goal: str | None = None,
    share_at: float | None = None,
    plan: bool = False,
    samples: int = 1_000,
    on_step: OnStep | None = None,
) -> BatterySizes:
    """Study sizes of a battery that the homes of a scenario have in common.

    ws.size_battery("street.toml", "0:60:10").frame

    Args:
        scenario: A scenario, or the path of its file; its [community.battery] says what the battery costs.
        sizes: LOW:HIGH:STEP, sizes separated by commas, or numbers; 0:60:10 when left out. [kWh]
        meter: Readings instead of the scenario's own, as `run` takes them.
        power_per_kwh: Power of each kWh of capacity; the scenario's when left out, or 0.5. [kW]
        goal: "welfare", "peak" or "self_consumption"; the scenario's when left out.
        share_at: The size whose saving is shared among the homes; the scenario's when left out, or that which nets most
            by rule. [kWh]
        plan: Whether each size is also run by plans from forecasts, day by day.
        samples: Orders of arrival drawn for Shapley shares where there are too many homes for all groups.
        on_step: Called with what is being done, and how much of how much is done.

    Raises:
        WattswapError: All errors of arguments, scenario and data, at once.
    """
    from wattswap.results import BatterySizes
    from wattswap.sizing.study import study_of

    loaded = _loaded(scenario, meter, RUNS, in_common=False)
    return study_of(
        BatterySizes,
        loaded,
        sizes,
        power_per_kwh=power_per_kwh,
        goal=goal,
        share_at=share_at,
        plan=plan,
        samples=samples,
        on_step=on_step,
    )


def verify(folder: Path | str, *, on_progress: engine.OnProgress | None = None) -> dict[str, Any]:
    """Verify a run or a comparison: check the stored files, then recompute all of it from the scenario.

    Raises:
        VerificationFailed: Names what does not fit.
        RunNotFound: The folder is neither.
    """
    from wattswap.comparison import runner
    from wattswap.verification.run import verify_run

    if (Path(folder) / COMPARISON).is_file():
        return {"ok": True, **runner.verify(Path(folder))}
    return verify_run(folder, on_progress=on_progress)


@overload
def clear(
    orders: dict[str, Any] | pd.DataFrame, mechanism: str, rules: MarketRules | None = None
) -> dict[str, Any]: ...
@overload
def clear(
    orders: OrderBook | Iterable[Order], mechanism: str, rules: MarketRules | None = None
) -> Clearing: ...
def clear(
    orders: OrderBook | Iterable[Order] | dict[str, Any] | pd.DataFrame,
    mechanism: str,
    rules: MarketRules | None = None,
) -> Clearing | dict[str, Any]:
    """Clear a book by a registered mechanism.

    Args:
        orders: A book or a list of orders; or, in decimal numbers, a case as docs/reference/mechanisms describe it,
            or a frame with one row per order and the columns of a case's orders. For these a result dict comes back.
        mechanism: Name of the mechanism.
        rules: Market rules for a book or orders; a case carries its own params, a frame has the defaults.

    Raises:
        UnknownName: Names the nearest match.
        InvalidBook: Lists every broken rule of the orders.
        InvalidCase: Lists everything that is wrong with a case or a frame.
    """
    if hasattr(orders, "to_dict"):
        orders = {"orders": orders.to_dict("records")}
    if isinstance(orders, dict):
        from wattswap.cases.contract import clear_case

        return clear_case(orders, mechanism)
    book = orders if isinstance(orders, OrderBook) else OrderBook.from_orders(orders)
    return clear_checked(MECHANISMS.get(mechanism), book, rules or MarketRules())


def mechanism(name: str, *, budget_balanced: bool | None = None, **promises: Any) -> Callable[[Clear], Clear]:
    """Register a clearing function under a name.

    @ws.mechanism("mine", source="my thesis, section 3", budget_balance="weak")
    def clear(book, rules): ...

    Args:
        name: What scenarios and the command line call it.
        budget_balanced: Shorthand for budget_balance "strong" (True) or "deficit" (False: the operator may pay).
        promises: The fields of `market.mechanism.Promises`; without a source the function's own docstring is it.
    """

    def register(clear_function: Clear) -> Clear:
        if budget_balanced is not None:
            promises.setdefault("budget_balance", "strong" if budget_balanced else "deficit")
        described = (clear_function.__doc__ or "").strip().partition("\n")[0]
        promises.setdefault("source", described or f"a function of {clear_function.__module__}")
        module = clear_function.__module__
        if name in MECHANISMS.all() and module == MECHANISMS.origin(name) == "__main__":
            MECHANISMS.forget(name)  # a notebook cell was run again
        MECHANISMS.register(Mechanism(name, clear_function, Promises(**promises)), origin=module)
        return clear_function

    return register
