"""What must hold in every simulated run, as pure functions of its history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from market.errors import MarketError
from market.settlement.accounts import COLUMN_INDEX, MONEY_COLUMNS, check_balanced
from p2p.batches.blob import IntervalContent, blob_hash
from p2p.batches.closings import MAX_BROKEN_BYTES, BrokenPromise, check_broken_promise
from p2p.batches.receipts import MAX_OMISSION_BYTES, Omission, check_omission
from p2p.blocks.block import ZERO_HASH
from p2p.consensus.evidence import check_evidence
from p2p.errors import RemoteError
from p2p.ledger.store import ChainStore
from p2p.ledger.verify import verify_chain
from p2p.transports.base import REQUEST_TIMEOUT_S
from p2p.wire.codec import decode
from p2p.wire.messages import (
    PROMISES,
    Kind,
    ReadingMessage,
    SealedMessage,
    household_of,
    message_id,
    open_message,
)
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.interval import recompute
from wattswap.runs.layout import CHAIN
from wattswap.runs.solutions import Solutions
from wattswap.simulation.history import History
from wattswap.simulation.meter_oracles import Found, as_reported, capacity, meters
from wattswap.simulation.plan import PATIENCE_PACES, STRANGER, Plan
from wattswap.simulation.sealing_oracles import sealing
from wattswap.simulation.silence_oracles import silence, versions
from wattswap.simulation.truth import Receipt

DISK_MAX_BYTES: Final = 32 * 1024 * 1024
"""Most that a node may hold on its disk: SQLite's logs take up to 8 MiB a file. [B]"""
FILES_MAX: Final = 64
"""Most files of a node after the few intervals of a simulated run."""
PROMISES_MAX: Final = 8
"""Most promises a home in a collector's journal: order and reading, each replaced once, of two intervals."""
MESSAGES_MAX_PER_S: Final = 40
"""Most messages of a node on average. [1/s]"""
_HELD_MAX: Final = {"bytes on disk": DISK_MAX_BYTES, "files": FILES_MAX}
PROMPT: Final = 0.2
"""Share of a pace in which a home has spoken in time for certain."""


class Violation(NamedTuple):
    """Something that must not happen.

    Args:
        oracle: Its name in `ORACLES`.
        text: What happened, a sentence without a full stop.
        start_s: Of the interval it is about; -1 for none. [s since 1970, UTC]
        who: The node or home it happened to; empty for none.
    """

    oracle: str
    text: str
    start_s: int = -1
    who: str = ""


def no_node_ends(history: History) -> Found:
    """No honest node ends by an error, whatever others do; only its own disk may end it."""
    for name, error in history.truth.ended:
        if name not in history.byzantine:
            yield f"{name} ended: {type(error).__name__}: {error}", -1, name


def agreement(history: History) -> Found:
    """Blocks of equal height are the same at all honest nodes, the longest chain verifies, and nobody votes twice."""
    longest, genesis = history.chain, history.setup.genesis
    headers = {block.header.height: block.header for block, _ in longest}
    for name, blocks in history.chains.items():
        for block, _ in blocks:
            if block.header != headers.get(block.header.height, block.header):
                yield f"{name} holds another block {block.header.height}", -1, name
                break
    for (name, kind, height, number), hashes in history.truth.votes.items():
        if len(hashes) > 1 and name not in history.byzantine:
            text = f"{name} signed {len(hashes)} votes of kind {kind} in round {number} of height {height}"
            yield text, -1, name
    for name, blocks in history.chains.items():
        if blocks is longest:
            with ChainStore.open(history.folders[name] / CHAIN, genesis) as store:
                report = verify_chain(store, genesis)
            if not report.ok:
                yield f"the chain of {name} does not verify: {report.finding}", -1, name
            return


def accepted(history: History) -> Found:
    """Each message that its settler, or f + 1 validators, promised to include is settled, or somebody is convicted.

    Of sealed orders the promise of the settler alone binds nobody: another collector may have closed them.

    A reading that says what the line of its home has without it, as of one that neither trades nor meters anything, is
    no loss. A promise of another collector alone binds nobody: a home that reaches fewer validators counts as without
    a message.
    """
    convicted = {where for _, where in _convictions(history)}
    validators = set(history.base.of_role("validator"))
    enough = (len(validators) - 1) // 3 + 1
    promised: dict[bytes, set[str]] = {}
    for receipt in history.truth.receipts:
        if receipt.code in PROMISES and _is_signed(history, receipt):
            promised.setdefault(receipt.name, set()).add(receipt.collector)
    for name, by in promised.items():
        message = history.truth.spoken[name].message
        start_s, home = message.interval_start, message.household
        settled = history.settled.get(start_s)
        if settled is None or settled.content is None:
            continue  # `liveness` looks at it
        by_settler = history.name_of(settled.sender) in by and not isinstance(message, SealedMessage)
        if len(by & validators) < enough and not by_settler:
            continue
        kind = ReadingMessage if isinstance(message, ReadingMessage) else object
        number = 0 if isinstance(message, ReadingMessage) else message.round
        there = settled.message_of(home, kind, number)
        if there is not None and (message_id(there) == name or there.nonce > message.nonce):
            continue
        if isinstance(message, ReadingMessage) and _shows(history, settled.content, message):
            continue
        if (start_s, home) not in convicted:
            what = "reading" if isinstance(message, ReadingMessage) else "order"
            text = f"the {what} of {home}, promised by {', '.join(sorted(by))}, is not settled"
            yield f"{text}, and nobody is convicted", start_s, home


def _shows(history: History, content: IntervalContent, reading: ReadingMessage) -> bool:
    """Whether the line of a home has the registers of a reading that was left out: then it misses nothing."""
    record = recompute(history.setup, content, ZERO_HASH, Solutions(None)).record
    home = history.setup.roster.index(reading.household)
    return (record.import_wh[home], record.export_wh[home]) == (reading.import_wh, reading.export_wh)


def _is_signed(history: History, receipt: Receipt) -> bool:
    """Whether a receipt is one of who gave it, and no lie."""
    genesis = history.setup.genesis
    try:
        open_message(
            receipt.signed[0],
            chain_id=genesis.chain_id,
            kinds=(Kind.RECEIPT,),
            key_of=history.setup.member_list.keys_with(history.rotated),
            collector_keys=(history.base.key(receipt.collector).public_key,),
            limits=genesis.params.limits,
        )
    except RemoteError:
        return False
    return True


def _convictions(history: History) -> Iterator[tuple[str, tuple[int, str]]]:
    """Who is convicted by each proof that checks, and of which interval and by which home."""
    for _, proof in history.omissions:
        name, start_s, home = _convicted(history, proof)
        if name:
            yield name, (start_s, home)


def _convicted(history: History, proof: bytes) -> tuple[str, int, str]:
    """Who is convicted by a proof, of which interval and by which home; nobody where it does not check."""
    genesis = history.setup.genesis
    try:
        key, start_s = check_omission(proof, genesis, history.rotated)
        message = decode(Omission, proof, max_bytes=MAX_OMISSION_BYTES).message
    except RemoteError:
        try:
            key, start_s = check_broken_promise(proof, genesis, history.rotated)
            message = decode(BrokenPromise, proof, max_bytes=MAX_BROKEN_BYTES).message
        except RemoteError:
            return "", -1, ""
    return history.name_of(key), start_s, household_of(message)


def shut_out(history: History) -> Found:
    """A home that was up and spoke early, and could reach f + 1 honest validators, is in the batch, or has a proof.

    Who lies to it does not matter: it counts what it really sent.
    """
    convicted = {where for _, where in _convictions(history)}
    pace_s = history.plan.shape.pace_s
    for spoken in history.truth.spoken.values():
        message = spoken.message
        start_s, home = message.interval_start, message.household
        opens_s = history.plan.opens_s(history.setup.index_of(start_s))
        node = history.node_of_home(home)
        if isinstance(message, ReadingMessage) or start_s not in history.settled or node in history.byzantine:
            continue
        if spoken.at_s > opens_s + PROMPT * pace_s or (start_s, home) in convicted:
            continue
        if history.settled[start_s].content is None or _is_touched(history, node, opens_s, opens_s + pace_s):
            continue
        if not _reaches_enough(history, message_id(message), node, opens_s):
            continue
        if history.settled[start_s].message_of(home, object, message.round) is None:
            yield f"{home} spoke in time and is not in the interval that was settled", start_s, home


LEGS: Final = 8
"""Ways over the network until a home has promises of enough validators, connections included, one of them in vain."""


def _reaches_enough(history: History, name: bytes, node: str, opens_s: float) -> bool:
    """Whether f + 1 honest validators with a right clock were up and connected while an interval was traded.

    Where the network is so slow that its time may not be enough, only if it sent its message to them in time; where it
    loses messages, nobody knows what has arrived, and `accepted` counts what was answered.
    """
    plan, validators = history.plan, history.base.of_role("validator")
    enough = (len(validators) - 1) // 3 + 1
    apart = {name for act in plan.acts if act.kind in ("skew", "jump") for name in act.who}
    free = {
        name
        for name in validators
        if name not in history.byzantine | history.gone | apart
        and not _is_touched(history, name, opens_s, opens_s + plan.shape.pace_s)
    }
    if opens_s < plan.calm_s and plan.weather.loss:
        return False
    gate_s, way_s = history.base.configs[node].clock.gate_s, plan.weather.delay_max_s
    is_calm = opens_s >= plan.calm_s or LEGS * way_s < gate_s
    asked = history.truth.asked.get(name, {})
    in_time = {name for name, at_s in asked.items() if at_s + way_s < opens_s + gate_s}
    return len(free if is_calm else free & in_time) >= enough


def _is_touched(history: History, node: str, begin_s: float, end_s: float) -> bool:
    """Whether an act at a node, or a cut, may have kept it from speaking between two moments."""
    for at_s, act in history.acted:
        if (
            at_s < end_s
            and at_s + max(act.for_s, 0.0) + 1.0 > begin_s
            and (node in act.who or act.kind in _APART)
        ):
            return True
    return False


_APART: Final = frozenset({"cut", "one_way"})


def _at_rest_s(plan: Plan) -> float:
    """When what went wrong before the calm is over for certain. [s after the begin]"""
    return plan.calm_s + max(2 * plan.shape.pace_s, REQUEST_TIMEOUT_S)


def _left_out(history: History) -> Found:
    """Intervals for which a home that has finished never spoke, not even late."""
    spoken = {
        (one.message.household, one.message.interval_start)
        for one in history.truth.spoken.values()
        if not isinstance(one.message, ReadingMessage)
    }
    for i, start_s in enumerate(history.starts()):
        for home, is_member in zip(history.setup.roster, history.setup.takes_part(i), strict=True):
            node = history.node_of_home(home)
            if not is_member or node in history.byzantine | history.gone or node in history.unfinished:
                continue
            if (home, start_s) not in spoken:
                yield f"{home} never spoke for it, not even late", start_s, home


def _unproven(history: History) -> Found:
    """Intervals well after the calm of which a home has not checked its own line."""
    at_rest_s, excepted = _at_rest_s(history.plan), history.byzantine | history.gone
    for i, start_s in enumerate(history.starts()):
        if history.plan.opens_s(i) < at_rest_s or start_s not in history.settled:
            continue  # `liveness` looks at what is not settled, and at homes that do not finish
        for name in history.base.of_role("household", "gateway"):
            homes = len(history.base.configs[name].households)
            proofs = history.proofs.get((name, start_s), homes)
            if name not in excepted and proofs < homes:
                text = f"{name} has checked the lines of {proofs} of its {homes} homes, in the calm"
                yield text, start_s, name


def takes_part(history: History) -> Found:
    """In each interval that opens well after the calm, order and reading of each home are settled, and proven to it.

    Nothing is wrong then any more, so it holds whatever was wrong before. A home that is gone for good is excepted,
    and one whose own proof convicts somebody. Whatever is wrong, no home leaves out an interval.
    """
    convicted = {where for _, where in _convictions(history)}
    yield from _left_out(history)
    yield from _unproven(history)
    for i, start_s in enumerate(history.starts()):
        settled = history.settled.get(start_s)
        if history.plan.opens_s(i) < _at_rest_s(history.plan) or settled is None or settled.content is None:
            continue  # `liveness` and `money` look at it
        for home, is_member in zip(history.setup.roster, history.setup.takes_part(i), strict=True):
            node = history.node_of_home(home)
            if not is_member or node in history.byzantine | history.gone or (start_s, home) in convicted:
                continue
            for what, kind in (("order", object), ("reading", ReadingMessage)):
                if settled.message_of(home, kind) is None:
                    yield f"the {what} of {home} is not settled, in the calm", start_s, home


def no_honest_convicted(history: History) -> Found:
    """No proof that anybody holds convicts an honest key, and those that honest homes hold check."""
    for height, data in history.evidence():
        validators = history.setup.genesis.authorities
        try:
            offence = check_evidence(data, validators, history.setup.genesis.chain_id)
        except RemoteError as error:
            yield f"evidence in block {height} does not check: {error}", -1, ""
            continue
        name = history.name_of(offence.authority)
        if name not in history.byzantine:
            yield f"block {height} convicts {name}, which is honest", -1, name
    for height, key in history.convicted():
        name = history.name_of(key)
        if name not in history.byzantine:
            yield f"block {height} takes the office of {name}, which is honest", -1, name
    for holder, proof in history.omissions:
        name, start_s, _ = _convicted(history, proof)
        if not name and holder not in history.byzantine:
            yield f"{holder} has kept a proof that does not check", -1, holder
        if name and name not in history.byzantine:
            yield f"a proof convicts {name}, which is honest", start_s, name


def dates(history: History) -> Found:
    """No interval is settled before it has opened, and no order is in a batch that was made before it was spoken."""
    ahead_s = _apart_s(history.plan)
    for start_s, settled in history.settled.items():
        opens_s = history.plan.opens_s(history.setup.index_of(start_s))
        if settled.made_s < opens_s - ahead_s:
            yield f"settled {opens_s - settled.made_s:.1f} s before it opened", start_s, ""
        if settled.content is None:
            continue
        content = settled.content
        for message in content.messages:
            spoken = history.truth.spoken.get(message_id(message))
            if spoken is None:
                yield (
                    f"a message of {message.household} is settled that it never sent",
                    start_s,
                    message.household,
                )
            elif settled.at_s is not None and spoken.at_s > settled.at_s:
                yield (
                    f"a message of {message.household} is settled that was sent later",
                    start_s,
                    message.household,
                )


def _apart_s(plan: Plan) -> float:
    """How far the clocks of two nodes may be apart at most, or one and the right one. [s]"""
    ahead: dict[str, float] = {}
    behind: dict[str, float] = {}
    for act in plan.acts:
        if act.kind in ("skew", "jump"):
            for name in act.who:
                ahead[name] = ahead.get(name, 0.0) + max(act.amount, 0.0)
                behind[name] = behind.get(name, 0.0) + max(-act.amount, 0.0)
    return max(ahead.values(), default=0.0) + max(behind.values(), default=0.0)


def liveness(history: History) -> Found:
    """Each interval is settled within three paces of its opening, or of the calm where that is later; homes finish.

    A pace counts as long as a request may take at least: one that was lost before the calm is given up after that.
    Two paces and such a request after the calm, one pace is enough, and every honest node has followed; where several
    collectors are gone or byzantine, a takeover more for each but the first.
    """
    plan = history.plan
    at_rest_s = _at_rest_s(plan)
    for i, start_s in enumerate(history.starts()):
        due_s = max(plan.opens_s(i), plan.calm_s) + PATIENCE_PACES * max(plan.shape.pace_s, REQUEST_TIMEOUT_S)
        if plan.opens_s(i) >= at_rest_s:
            due_s = plan.opens_s(i) + plan.shape.pace_s + _takeovers_s(history)
        settled = history.settled.get(start_s)
        if settled is None:
            yield "is never settled", start_s, ""
        elif settled.at_s is None or settled.at_s > due_s:
            when = "by no collector's account" if settled.at_s is None else f"at {settled.at_s:.1f} s"
            yield f"is settled {when}; it was due at {due_s:.1f} s", start_s, ""
    for name in history.unfinished:
        if name not in history.byzantine:
            yield f"{name} did not finish its intervals", -1, name
    yield from _behind(history)


def _takeovers_s(history: History) -> float:
    """Time of the takeovers beyond the first, where several collectors are gone or byzantine. [s]"""
    bad = [
        name
        for name in history.base.of_role("operator", "validator")
        if name in history.gone | history.byzantine
    ]
    takeover_s = history.base.configs["operator-0"].clock.takeover_s
    return max(len(bad) - 1, 0) * takeover_s


def _behind(history: History) -> Found:
    """Nodes that did not follow the chain to the last interval but one, or cast no vote in the calm.

    One vote in the calm is asked for, not one in each interval: a quorum decides without a validator whose blob comes
    some 0.1 s later than to the others, which with more than four validators can happen twice in a row.
    """
    plan = history.plan
    i = plan.shape.intervals - 2
    at_rest = plan.opens_s(i) >= _at_rest_s(plan)
    heights = history.settlements.get(history.setup.start_of(i)) if at_rest else None
    if not heights:
        return
    calm = next(k for k in range(plan.shape.intervals) if plan.opens_s(k) >= plan.calm_s)
    first = history.settlements.get(history.setup.start_of(calm), heights)
    for name in sorted(set(history.base.of_role("operator", "validator")) - history.byzantine - history.gone):
        blocks = history.chains.get(name, [])
        if not blocks or blocks[-1][0].header.height < heights[0]:
            yield (
                f"{name} has not followed the chain to interval {i}, in the calm",
                history.setup.start_of(i),
                name,
            )
        voted = max((height for who, _, height, _ in history.truth.votes if who == name), default=0)
        if name in history.base.of_role("validator") and voted < first[0]:
            yield f"{name} has not voted since height {voted}, in the calm", history.setup.start_of(i), name


def money(history: History) -> Found:
    """Each interval is settled once, its batch follows from its messages, and its money and energy add up."""
    checker, truth = BatchChecker(history.setup, history.rotated), history.truth
    blobs = {
        blob_hash(data): data for name, data in truth.blobs.items() if truth.holders[name] - history.byzantine
    }
    for start_s, heights in history.settlements.items():
        if len(heights) > 1:
            yield f"is settled {len(heights)} times", start_s, ""
    blob: bytes | None = None
    for start_s, settled in sorted(history.settled.items()):
        before, blob = blob, blobs.get(settled.args.blob_hash)
        if blob is None:
            yield "no honest node has ever held the blob of its batch", start_s, ""
            continue
        try:
            record = checker.settled(settled.args, blob, before).record
            postings = record.settled.postings
            check_balanced(postings)
        except (RemoteError, MarketError) as error:
            yield f"its batch is wrong: {error}", start_s, ""
            continue
        yield from as_reported(history, settled, record)
        for name in MONEY_COLUMNS:
            total = sum(int(line[COLUMN_INDEX[name]]) for line in postings.lines)
            if total:
                yield f"its {name} sums to {total} nano over all accounts", start_s, ""


def bounded(history: History) -> Found:
    """No honest node holds more than a bound on its disk, or says more than a bound."""
    truth = history.truth
    limits = _HELD_MAX | {"promises": PROMISES_MAX * len(history.setup.roster)}
    for (name, what), most in truth.held.items():
        limit = limits[what]
        if name not in history.byzantine and most > limit:
            yield f"{name} held {most} {what}; the bound is {limit}", -1, name
    for name, number in truth.sent.items():
        limit = round(MESSAGES_MAX_PER_S * max(truth.end_s, 10.0))
        if name not in history.byzantine | {STRANGER} and number > limit:
            yield f"{name} sent {number} messages; the bound is {limit}", -1, name


ORACLES: Final[Mapping[str, Callable[[History], Found]]] = {
    oracle.__name__: oracle
    for oracle in (
        no_node_ends,
        agreement,
        accepted,
        shut_out,
        takes_part,
        no_honest_convicted,
        dates,
        liveness,
        money,
        meters,
        capacity,
        sealing,
        versions,
        silence,
        bounded,
    )
}


def judge(history: History) -> list[Violation]:
    """All violations of a run, in the order of the oracles."""
    return [Violation(name, *found) for name, oracle in ORACLES.items() for found in oracle(history)]
