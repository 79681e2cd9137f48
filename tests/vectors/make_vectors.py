"""Makes the vectors: bytes of everything on the wire, for whoever writes a peer in another language.

    python -m tests.vectors.make_vectors

writes the JSON files beside this one. Keys and numbers are made up and always the same; binary is in hexadecimal
digits. A vector that changes is a change of the wire: it needs another version.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.vectors.chain_vectors import chain, consensus, merkle_trees, proofs
from tests.vectors.layouts import layouts
from tests.vectors.wire_vectors import Json, encoding, frames, keys, messages

HERE = Path(__file__).parent


def build() -> dict[str, Json]:
    """Every file of vectors by name."""
    return {
        "layouts.json": {"records": layouts()},
        "keys.json": keys(),
        "encoding.json": encoding(),
        "frames.json": frames(),
        "messages.json": messages(),
        "consensus.json": consensus(),
        "chain.json": chain(),
        "merkle.json": merkle_trees(),
        "proofs.json": proofs(),
    }


def text_of(content: Json) -> str:
    """The bytes of a file of vectors."""
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"


def main() -> None:
    """Write the files."""
    for name, content in build().items():
        (HERE / name).write_text(text_of(content), encoding="ascii")


if __name__ == "__main__":
    main()
