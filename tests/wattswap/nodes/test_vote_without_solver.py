"""Validators check what a solver found from the blob, before they vote, without one."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

import wattswap as ws
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from p2p.batches.batch import BatchArgs, batches
from p2p.batches.blob import blob_hash, open_blob, pack_solutions, unpack_solutions, with_solution
from p2p.errors import RemoteError
from p2p.ledger.store import ChainStore
from p2p.wire.codec import encode
from tests.kits.run_kit import FIRST
from tests.kits.town_kit import playing
from tests.wattswap.runs.test_grid_runs import street
from wattswap.nodes.batch_checker import BadBatch, BatchChecker
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.runs import engine
from wattswap.runs.folder import RunFolder, stored_scenario
from wattswap.runs.layout import BLOBS, CHAIN
from wattswap.runs.prepare import Setup, prepare

NOON_S = int(FIRST.timestamp()) + 86_400 + 10 * 3_600
INTERVALS = 3
NO_SOLVER = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "highspy":
            raise ImportError("highspy is blocked")
sys.meta_path.insert(0, Blocked())
"""
VOTE = (
    NO_SOLVER
    + """
from pathlib import Path
import wattswap as ws
from tests.wattswap.nodes.test_vote_without_solver import settled
from p2p.batches.blob import with_solution
from wattswap.nodes.batch_checker import BadBatch, BatchChecker
from wattswap.runs.folder import stored_scenario
from wattswap.runs.prepare import prepare
run = Path(sys.argv[1])
setup = prepare(stored_scenario(run))
votes = BatchChecker(setup)
for args, blob in settled(setup, run):
    votes(args, blob)
    print("voted", args.interval_start)
    try:
        votes.recompute(with_solution(blob, b""))
    except BadBatch as refusal:
        print(refusal)
found = ws.verify(run)
print("verified", found["ok"], found["checks"]["messages"], found["checks"]["again"])
assert "highspy" not in sys.modules
"""
)


def settled(setup: Setup, run: Path) -> list[tuple[BatchArgs, bytes]]:
    """The batches on the chain of a run, and their blobs."""
    with ChainStore.open(run / CHAIN, setup.genesis, read_only=True) as store:
        found = [args for block, _ in store.blocks() for _, args in batches(block.txs)]
    blobs = {
        blob_hash(path.read_bytes()): path.read_bytes() for path in (run / BLOBS).rglob("*") if path.is_file()
    }
    return [(args, blobs[args.blob_hash]) for args in found]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Three intervals on a grid, of which some are congested."""
    folder = tmp_path_factory.mktemp("grid")
    return run_live(
        ws.load(street(folder, 0.1), overrides=["homes.strategy=truthful"]),
        topology=Topology(pace_s=2.0),
        intervals=INTERVALS,
        start_s=NOON_S,
        out=folder / "live",
        run_nodes=playing(),
    )


@pytest.fixture(scope="module")
def run(result: RunFolder) -> Path:
    return result.path


@pytest.fixture(scope="module")
def setup(run: Path) -> Setup:
    return prepare(stored_scenario(run))


@pytest.fixture(scope="module")
def congested(run: Path, setup: Setup) -> tuple[BatchArgs, bytes]:
    """A batch whose clearing a solver found."""
    return next(pair for pair in settled(setup, run) if any(_held(setup, pair[1])))


def _held(setup: Setup, blob: bytes) -> tuple[bytes, ...]:
    return unpack_solutions(open_blob(blob, setup.genesis, setup.member_list).solution)


def test_every_blob_holds_a_solution_and_the_roots_are_those_of_a_run_in_process(
    result: RunFolder, setup: Setup, tmp_path: Path
) -> None:
    held = [_held(setup, blob) for _, blob in settled(setup, result.path)]
    assert [len(one) for one in held] == [1] * INTERVALS
    assert any(one[0] for one in held)
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == INTERVALS


def test_a_process_without_a_solver_votes_and_verifies(run: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", VOTE, str(run)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("voted") == INTERVALS
    assert "is computed with a solver, which is not installed here" in done.stdout
    assert f"verified True {INTERVALS} intervals, tables and metrics follow" in done.stdout
    assert "left out: no solver is installed" in done.stdout


def test_a_blob_without_its_solution_gets_no_vote_and_still_verifies(
    setup: Setup, congested: tuple[BatchArgs, bytes]
) -> None:
    """Older chains have none."""
    args, blob = congested
    bare = with_solution(blob, b"")
    args = replace(args, blob_hash=blob_hash(bare))
    checker = BatchChecker(setup)
    with pytest.raises(BadBatch, match="holds no solution, though"):
        checker(args, bare)
    assert checker.settled(args, bare).args == args
    assert checker.complete(bare)[0] == blob


def mutants(right: bytes) -> dict[str, bytes]:
    """Other bytes in the place of a solution."""
    return {
        "an empty list": pack_solutions(()),
        "two solutions": pack_solutions((right, right)),
        "one solution too many": pack_solutions((right, b"")),
        "nothing in the list": pack_solutions((b"",)),
        "not in the list": right,
        "a number for bytes": encode((1,)),
        "a list in another form": b"\xdc\x00\x01" + pack_solutions((right,))[1:],
        "no list": b"\x00",
        "cut": pack_solutions((right,))[:-1],
        "a byte more": pack_solutions((right,)) + b"\x00",
        "halves": pack_solutions((right[: len(right) // 2], right[len(right) // 2 :])),
        "not a number": pack_solutions((b"\xff" * len(right),)),
        "another allocation": pack_solutions((bytes(len(right)),)),
        "megabytes of zeros": pack_solutions((bytes(8 << 20),)),
        "megabytes of empty solutions": pack_solutions((b"",) * (1 << 20)),
    }


def test_a_forged_solution_gets_no_vote(setup: Setup, congested: tuple[BatchArgs, bytes]) -> None:
    args, blob = congested
    checker = BatchChecker(setup)
    checker(args, blob)
    for name, solution in mutants(_held(setup, blob)[0]).items():
        forged = with_solution(blob, solution)
        begun = time.process_time()
        with pytest.raises(RemoteError) as refusal:
            checker(replace(args, blob_hash=blob_hash(forged)), forged)
        assert refusal.value.code in ("bad_batch", "malformed", "non_canonical"), name
        assert time.process_time() - begun < 2, name
        assert len(str(refusal.value)) < 300, name


def test_where_no_solver_is_needed_a_solution_gets_no_vote(tmp_path: Path) -> None:
    folder = tmp_path / "street"
    folder.mkdir()
    scenario = ws.load(
        street(folder, 0.1), overrides=["market.mechanism=uniform_price", "homes.strategy=truthful"]
    )
    result = run_live(
        scenario,
        intervals=1,
        start_s=NOON_S,
        out=tmp_path / "live",
        run_nodes=playing(),
        topology=Topology(pace_s=2.0),
    )
    setup = prepare(stored_scenario(result.path))
    [(args, blob)] = settled(setup, result.path)
    checker = BatchChecker(setup)
    checker(args, blob)
    forged = with_solution(blob, pack_solutions((b"",)))
    with pytest.raises(BadBatch, match="the clearing is recomputed from the messages"):
        checker(replace(args, blob_hash=blob_hash(forged)), forged)


def test_an_interval_whose_own_solution_is_refused_is_agreed_without_one(
    setup: Setup, congested: tuple[BatchArgs, bytes]
) -> None:
    """Else no collector could ever settle it."""

    def refused(*given: object) -> Clearing:
        raise InfeasibleClearing("the solution is none that this proof takes")

    witness = setup.mechanism.witness
    assert witness is not None
    picky = dataclasses.replace(setup.mechanism, witness=dataclasses.replace(witness, derive=refused))
    checks = dataclasses.replace(setup, mechanism=picky)
    blob, recomputed = BatchChecker(checks).complete(with_solution(congested[1], b""))
    assert open_blob(blob, setup.genesis, setup.member_list).solution == b""
    BatchChecker(checks)(recomputed.args, blob)
    with pytest.raises(BadBatch, match="none that this proof takes"):
        BatchChecker(checks)(*congested)
    with pytest.raises(BadBatch, match="holds no solution"):
        BatchChecker(setup)(recomputed.args, blob)
    assert recomputed.args.clearing_root == congested[0].clearing_root
