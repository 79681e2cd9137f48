"""The chain commands: show, verify, prove, check-proof, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kits.run_kit import Outcome, call, one_object, refused
from wattswap.results import RunResult

Capture = pytest.CaptureFixture[str]
INTERVAL = "2026-06-02T12:00Z"


def test_chain_show_tells_of_the_chain_and_of_one_block(finished: RunResult, capsys: Capture) -> None:
    assert "\nblocks           48\n" in call(capsys, "chain", "show", finished.path).out
    facts = one_object(call(capsys, "chain", "show", finished.path, "--json"))
    assert (facts["head"], facts["members"]) == (finished.manifest["chain"]["head"], 3)
    block = one_object(call(capsys, "chain", "show", finished.path, 48, "--json"))
    assert block["block_hash"] == facts["head"]
    assert f"block hash             {facts['head']}" in call(capsys, "chain", "show", finished.path, 48).out
    refused(call(capsys, "chain", "show", finished.path, 49), 2, "the chain has blocks 1 to 48")


def test_a_block_s_money_sums_to_zero(finished: RunResult, capsys: Capture) -> None:
    facts = one_object(call(capsys, "show", finished.path, "block", 12, "--json"))
    totals = [facts[f"{who}_total"] for who in ("members", "retailer", "grid_operator", "market_operator")]
    assert sum(totals) == pytest.approx(0, abs=1e-9)
    assert any(totals)


def test_chain_verify_counts_blocks_and_signatures(finished: RunResult, capsys: Capture) -> None:
    assert "ok: 48 blocks" in call(capsys, "chain", "verify", finished.path).out
    assert one_object(call(capsys, "chain", "verify", finished.path, "--json"))["blocks"] == 48


def test_a_proof_is_written_checked_offline_and_not_overwritten(
    finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    proof, genesis = tmp_path / "proof.json", tmp_path / "genesis.bin"
    genesis.write_bytes((finished.path / "genesis.bin").read_bytes())
    assert (
        call(capsys, "chain", "prove", finished.path, "home-2", INTERVAL, "--out", proof).out == f"{proof}\n"
    )
    facts = one_object(call(capsys, "chain", "check-proof", proof, "--genesis", genesis, "--json"))
    (row,) = [
        row
        for row in one_object(call(capsys, "show", finished.path, "why", "home-2", "--json"))["rows"]
        if row["interval_start"] == "2026-06-02T12:00:00+00:00"
    ]
    assert (facts["proven"], facts["account"], facts["interval"]) == (True, 1, INTERVAL)
    assert {name: facts[name] for name in row if name != "interval_start"} == {
        name: value for name, value in row.items() if name != "interval_start"
    }
    assert "proven             True" in call(capsys, "chain", "check-proof", proof, "--genesis", genesis).out
    before = proof.read_bytes()
    again = call(capsys, "chain", "prove", finished.path, "home-2", INTERVAL, "--out", proof)
    refused(again, 3, "exists already")
    assert proof.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["home-22", INTERVAL], "Did you mean 'home-2'?"),
        (["home-2", "2026-06-02T12:30Z"], "it has 48 from 2026-06-02T00:00Z on"),
        (["home-2", "2026-06-01T00:00Z"], "no interval"),
        (["home-2", "2026-06-04T00:00Z"], "no interval"),
        (["home-2", "today"], "is not a time"),
    ],
)
def test_a_proof_of_what_is_not_in_the_run_is_refused(
    arguments: list[str], phrase: str, finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    proof = tmp_path / "proof.json"
    refused(call(capsys, "chain", "prove", finished.path, *arguments, "--out", proof), 2, phrase)
    assert not proof.exists()


def test_a_proof_is_refused_with_the_code_that_says_whose_fault_it_is(
    finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    genesis = finished.path / "genesis.bin"
    good = call(capsys, "chain", "prove", finished.path, "home-2", INTERVAL).out
    bundle = json.loads(good)["bundle"]
    swapped = bundle[:400] + ("A" if bundle[400] != "A" else "B") + bundle[401:]
    files = {name: tmp_path / f"{name}.json" for name in ("good", "changed", "cut", "other")}
    files["good"].write_text(good)
    files["changed"].write_text(good.replace(bundle, swapped))
    files["cut"].write_text(good[:-20])
    files["other"].write_text("{}")
    (tmp_path / "genesis.bin").write_bytes(b"no genesis")

    def check(proof: Path, trusted: Path) -> Outcome:
        return call(capsys, "chain", "check-proof", proof, "--genesis", trusted)

    assert check(files["good"], genesis).code == 0
    refused(check(files["changed"], genesis), 5, str(files["changed"]))
    refused(check(files["cut"], genesis), 3, str(files["cut"]))
    refused(check(files["other"], genesis), 3, str(files["other"]))
    missing = check(tmp_path / "none.json", genesis)
    refused(missing, 3, f"{tmp_path / 'none.json'}: No such file or directory; ", "check the path")
    assert "Errno" not in missing.err
    refused(check(files["good"], tmp_path / "genesis.bin"), 3, "genesis.bin")
    refused(check(files["good"], tmp_path / "none.bin"), 3, "none.bin")


def test_a_proof_of_another_chain_is_refused(
    street: Path, finished: RunResult, tmp_path: Path, capsys: Capture
) -> None:
    other = one_object(call(capsys, "run", street, "--seed", 8, "--out", tmp_path, "--json", "-q"))["run"]
    proof = tmp_path / "proof.json"
    call(capsys, "chain", "prove", other, "home-2", INTERVAL, "--out", proof)
    outcome = call(capsys, "chain", "check-proof", proof, "--genesis", finished.path / "genesis.bin")
    refused(outcome, 5, "the proof is of chain")
