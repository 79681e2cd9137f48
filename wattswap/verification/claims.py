"""What the manifest of a run says: no entry that a run does not write, and who signed and what the chain is."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec

from wattswap.canonical_json import canonical_json
from wattswap.errors import Problem, VerificationFailed
from wattswap.runs.folder import read_object
from wattswap.runs.layout import CHAIN, IN_PROCESS, LIVE, MANIFEST, hashed_files
from wattswap.runs.manifest import EXTRAS, SCHEMA, VERSIONED
from wattswap.runs.stored import CURE, Count, Seconds, check_form
from wattswap.scenario.load import Scenario


class _Source(msgspec.Struct, forbid_unknown_fields=True):
    commit: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}([0-9a-f]{24})?$")]
    dirty: bool


class _Percentiles(msgspec.Struct, forbid_unknown_fields=True):
    p50: Seconds | None
    p95: Seconds | None
    max: Seconds | None


class _Network(msgspec.Struct, forbid_unknown_fields=True):
    nodes: Count
    roles: dict[str, Count]
    interval_s: _Percentiles
    gate_s: _Percentiles
    work_s: _Percentiles
    finality_s: _Percentiles
    receipt_s: _Percentiles
    result_s: _Percentiles
    cpu_s_per_interval: _Percentiles
    frames_sent_per_interval: _Percentiles
    bytes_sent_per_interval: _Percentiles
    frames_received_per_interval: _Percentiles
    bytes_received_per_interval: _Percentiles
    gossip_sent_per_interval: _Percentiles
    gossip_received_per_interval: _Percentiles
    signed_receipts: Count
    late: Count
    results_by_gossip: Count
    results_by_request: Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
    proofs_checked: Count
    missed: Count
    broken_promises: Count
    later_rounds: Count
    refused: dict[str, Count]
    silent: list[str]
    restarts: dict[str, Count]


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """Every entry that a run writes; those of type Any are compared with what is recomputed."""

    schema: Any
    name: Any
    currency: Any
    mechanism: Any
    homes: Any
    start: Any
    intervals: Any
    interval_minutes: Any
    seed: Any
    driver: Any
    signed: Any
    forecast: Any
    quantities: Any
    imbalance: Any
    scenario_sha256: Any
    data: Any
    chain: Any
    replay_sha256: Any
    files: dict[str, str]
    source: _Source | None
    versions: dict[str, str | None]
    platform: str
    started: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$")]
    wall_s: Seconds
    clear_ms: Seconds | None
    modules: Any = None
    network: _Network | msgspec.UnsetType = msgspec.UNSET


def check_claims(folder: Path, manifest: dict[str, Any]) -> None:
    """Check that the manifest has every entry that a run writes, and no other, on every level.

    Raises:
        VerificationFailed: Names the entry.
        InvalidData: The same, in a folder that another version of wattswap wrote.
    """
    check_form(folder / MANIFEST, manifest, _Written)
    programs = {"python", *VERSIONED}
    found = set(manifest["versions"])
    for name in sorted(programs - found | found - programs - set(EXTRAS)):
        what = "is missing" if name in programs else "is no program of which a run notes the version"
        raise VerificationFailed.of(str(folder / MANIFEST), f"versions.{name} {what}", CURE)


def check_chain_facts(folder: Path, facts: dict[str, Any], stated: dict[str, Any]) -> None:
    """Compare what the manifest says of the chain with the chain.

    Args:
        facts: As `verified_chain` returns them.
        stated: The manifest's.

    Raises:
        VerificationFailed: Names every entry that differs.
    """
    if facts["head"] != stated.get("head"):
        raise VerificationFailed.of(str(folder / CHAIN), "its head is not the one of the manifest", CURE)
    found = {"id": facts["chain_id"], **{name: facts[name] for name in ("blocks", "head", "authorities")}}
    # As text: True is not 1, and an entry that is null is not one that is absent.
    says, musts = ({name: json.dumps(value) for name, value in one.items()} for one in (stated, found))
    wrong = [
        f"says chain.{name} = {says.get(name, 'nothing')}, it must be {musts.get(name, 'left out')}"
        for name in sorted(says.keys() | musts.keys())
        if says.get(name) != musts.get(name)
    ]
    if wrong:
        raise VerificationFailed(*(Problem(str(folder / MANIFEST), what, CURE) for what in wrong))


def check_provenance(folder: Path, scenario: Scenario, manifest: dict[str, Any]) -> None:
    """Check the manifest's fields that a second run does not cover: who signed, and its format."""
    live = manifest.get("driver") == LIVE
    expected = {
        "schema": SCHEMA,
        "driver": LIVE if live else IN_PROCESS,
        "signed": live or scenario.chain.sign_orders,
    }
    found = {name: manifest.get(name) for name in expected}
    problems = [
        Problem(str(folder / MANIFEST), f"says {name} = {found[name]}, it must be {expected[name]}", CURE)
        for name in expected
        if json.dumps(found[name]) != json.dumps(expected[name])  # True is not 1
    ]
    files = set(hashed_files(LIVE if live and "network" in manifest else IN_PROCESS))
    for name in sorted(files ^ set(manifest.get("files", {}))):
        what = f"does not name {name}" if name in files else f"names {name}, which is no file of such a run"
        problems.append(Problem(str(folder / MANIFEST), what, CURE))
    if ("network" in manifest) != live:
        what = (
            "names no network, but a live run has one"
            if live
            else "describes a network, but this run used none"
        )
        problems.append(Problem(str(folder / MANIFEST), what, CURE))
    if problems:
        raise VerificationFailed(*problems)


def check_scenario(path: Path, manifest: dict[str, Any]) -> None:
    """Compare the digest with the manifest before the scenario is parsed, which may fail for other reasons."""
    resolved = read_object(path).get("resolved")
    if sha256(canonical_json(resolved).encode()).hexdigest() != manifest.get("scenario_sha256"):
        raise VerificationFailed.of(str(path), "is not the scenario that the manifest names", CURE)
