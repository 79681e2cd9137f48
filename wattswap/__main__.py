"""`python -m wattswap` is the command line."""

from wattswap.cli import main

main()
