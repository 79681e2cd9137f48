"""Published results recomputed: about a minute; `--write` puts the table into docs/reference/validation.md.

Usage: python -m benchmarks.replications [--write]
"""

from __future__ import annotations

import sys

from benchmarks.replications import muda, pymarket, unit_auctions
from benchmarks.replications.table import as_text, write


def main(arguments: list[str]) -> int:
    """Print the table; 1 where a number lies outside its band."""
    found = [*unit_auctions.results(), *muda.results(), *pymarket.results()]
    print(as_text(found))
    if "--write" in arguments:
        write(found)
    return int(not all(one.inside for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
