"""Every domain separator of the chain, in one place so that no two can be equal.

A hash domain is a prefix of what is hashed; a leaf domain is the first byte of a leaf's data, inside the
Merkle leaf; a signature domain is the prefix of what is signed and ends with a zero byte.
"""

from __future__ import annotations

BLOCK = b"blk"
BLOB = b"blb"
VALIDATORS = b"val"
PARAMS = b"par"
ISSUANCE = b"iss"
TOTALS = b"tot"
HOUSEHOLD = b"wattswap/household/1\0"
ACCOUNT = b"wattswap/account/1\0"
CLEARING = b"wattswap/clearing/2\0"

LEAF_MEMBER = 0x01
LEAF_ORDER = 0x02
LEAF_ENTRY = 0x07
LEAF_TX = 0x08
LEAF_RECEIPT = 0x09
LEAF_MODULE = 0x0A
LEAF_EVIDENCE = 0x0B
LEAF_BUCKET = 0x0C
LEAF_READING = 0x0D
LEAF_INCLUSION = 0x0E
LEAF_TERMS = 0x0F
LEAF_PRICE = 0x10

SIGN_CONSENSUS = b"wattswap/cons/1\0"
SIGN_TX = b"wattswap/tx/1\0"
SIGN_POSSESSION = b"wattswap/possession/1\0"
SIGN_CLOSING = b"wattswap/closing/1\0"
SIGN_JUNK = b"wattswap/junk/1\0"

MAC_INTERVAL = b"wattswap/interval-secret/1\0"
"""Input prefix of HMAC(master secret, ...), which gives the secret of one interval."""

XOF_SALTS = b"wattswap/salts/1\0"
"""Input prefix of SHAKE-256 over an interval's secret, whose output is the salts of its accounts."""

XOF_INCLUSION = b"wattswap/inclusion/1\0"
"""The same prefix for the salts of the leaves of an inclusion root."""
