"""The ledger behind the money, or how to get one."""

from __future__ import annotations

from html import escape

from wattswap.report.page import Section, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.scenario.basis import moment


@section("chain", 110)
def chain(story: Story) -> Section:
    """The ledger behind the money, or how to get one."""
    import pandas as pd

    why = "What can be proved to others without trusting the operator of this run."
    facts = story.chain
    if facts is None:
        body = paragraph("The cells of a comparison run without a chain. A run of one mechanism has one:")
        body += f"<p><code>wattswap run SCENARIO --mechanism {escape(story.focus)}</code></p>"
        return Section("chain", "Chain", why, body, {})
    names = {"chain_id": "chain id", "blocks": "blocks", "authorities": "authorities", "head": "newest block"}
    names |= {
        "last_interval": "last settled interval",
        "bytes": "bytes",
        "bytes_per_block": "bytes per block",
    }
    last = facts["last_interval"]
    shown = {**facts, "last_interval": f"{moment(last, story.zone)} ({story.zone})" if last else "none"}
    frame = pd.DataFrame({"value": {text: str(shown.get(name)) for name, text in names.items()}})
    frame.index.name = "chain"
    if facts.get("signatures") is None:
        body = paragraph("This chain is long and was not verified for this report. This verifies it:")
        body += f"<p><code>wattswap chain verify {escape(str(facts['folder']))}</code></p>"
    else:
        signed = f"all {facts['blocks']:,} blocks and {facts['signatures']:,} signatures hold"
        body = paragraph(f"Verified when this report was written: {signed}.")
    return Section("chain", "Chain", why, body + table("The chain of the run.", frame), {})
